"""What a fit may be told: one frozen dataclass for the command line and for Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bayesjko.inference.options import BetaPrior, Covariance, Guide, Method, PriorName
from bayesjko.models.likelihoods.residual import Scheme

__all__ = ["FitSettings"]


@dataclass(frozen=True)
class FitSettings:
    """How an energy is learned from snapshots."""

    potential: str = "rbf:100"
    """Basis of the potential V: poly:DEGREE, powers:DEGREE (of each feature by itself),
    rbf:CENTRES[:WIDTH], fourier:FEATURES[:WIDTH], joined by '+', or none. Widths are in units of
    the data's spread. Or a network, mlp:UNITS,UNITS with as many hidden layers as numbers: trained
    on the couplings, then inferred."""
    interaction: str = "none"
    """Basis of the interaction W, likewise, or an even network, as mlp:16."""
    inferred: Literal["last-layer", "all"] = "last-layer"
    """Networks: what is inferred once they are trained: the last layer, the others taken for known;
    or all weights of the potential's, as far as they move forces at the particles, the network
    taken for linear in them (generalised Gauss-Newton)."""
    internal: bool = True
    """Learn the strength β of the internal energy (how much the particles diffuse)."""
    time_variation: Literal["static", "piecewise", "random-walk", "neural"] = "static"
    """One energy for all times, one for each interval between snapshots, one that wanders from
    interval to interval by as much as the evidence says (β staying the same), or neural: one whose
    potential is a network of position and time (β and the interaction staying the same)."""
    likelihood: Literal["auto", "residual", "weak", "flow"] = "auto"
    """How snapshots are explained: residual (couplings, JKOnet*), weak (moments, trapezoidal in
    time), flow (moments of simulated paths), or auto: residual for paired snapshots, for piecewise
    energies (whose β no moments of two snapshots can tell from V), for snapshots of fewer than 50
    particles, for energies of more than 110 coefficients or all weights of a network and for the
    bootstrap; weak for others as long as the sampling interval is short enough and β is clearly
    positive, else flow."""
    scheme: Literal["auto"] | Scheme = "auto"
    """Residual: where between two coupled particles the force is taken: explicit (the first),
    midpoint, implicit (the second), or auto: midpoint, whose intervals hold; explicit for paired
    snapshots without an internal energy, whose noise comes after the force, and for piecewise
    energies, which are one step of any length an interval. With one energy for all times, auto also
    takes off what one step misses of paired particles with an internal energy."""
    covariance: Covariance = "sandwich"
    """What intervals stand on: sandwich (counted per particle), model (overconfident) or bootstrap
    (residual: couplings and all made again at random weights of the particles)."""
    bootstraps: int = 200
    """Bootstrap: how often; as many draws are kept."""
    noise: Literal["inverse-gamma", "estimate"] | float = "inverse-gamma"
    """Residual: variance per unit time: unknown, the most probable one, or a number in standard
    units."""
    prior_scale: float | None = None
    """Prior standard deviation of a coefficient in standard units; by evidence if not given."""
    tests: int | None = None
    """Weak and flow: Gaussian bumps used as tests beside the potential's own features; as many as
    coefficients, and at least 50, if not given."""
    shrinkage: float | None = None
    """Weak and flow: share of the identity in the tests' covariance that weighs them; the square of
    tests per particle, and at least 0.02, if not given."""
    copies: int | None = None
    """Weak and flow: noise copies of each simulated path, an even number; enough to add little to
    the variance, if not given."""
    steps: int | None = None
    """Weak and flow: steps of each simulated path; as many as doubling them asks for, if not
    given."""
    coupling: Literal["exact", "entropic"] = "exact"
    """Residual: solver of the optimal transport between snapshots; paired snapshots need none."""
    density: Literal["mixture", "kernel"] = "mixture"
    """Residual: estimator of the density's gradient, for the internal energy."""
    holdout: float = 0.0
    """Fraction of every snapshot's particles held out and scored at the end."""
    method: Method | Literal["bootstrap", "laplace", "ensemble"] = "conjugate"
    """How the posterior is found: conjugate (a closed form; of a network, its last layer's: also
    laplace), nuts (NumPyro), blackjax-nuts, mclmc (BlackJAX), vi (variational), bootstrap (the
    closed form with the covariance bootstrap) or ensemble (several networks, a closed form
    each)."""
    members: int = 5
    """Ensemble: how many networks."""
    prior: PriorName = "normal"
    """Of the coefficients: normal, hierarchical (an unknown scale a term), ard (one a coefficient)
    or horseshoe (a few matter); all but normal need a method that samples, or vi."""
    beta_prior: BetaPrior = "auto"
    """Normal (β may be negative), half-normal (not), amplitude (nor that; flat in √β, how strong
    the noise is) or vague (nor that; flat in β^¼); auto: amplitude under flow, or vague where the
    data do not tell β, and half-normal under weak, which know the sign, else normal, or half-normal
    where a method samples under another prior."""
    draws: int = 1000
    """Draws of the posterior to keep, over all chains."""
    chains: int = 4
    """Sampling: chains, spread over the cores."""
    warmup: int = 500
    """Sampling: steps of each chain that tune it and are no draws."""
    guide: Guide = "full-rank"
    """Vi: family of approximations: full-rank, low-rank or mean-field."""
    seed: int = 0
    """Of every random number."""
