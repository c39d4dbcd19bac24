"""The probabilistic program of a linear energy, in NumPyro.

The likelihood is a quadratic form of the coefficients, so one step of any sampler costs a product
with a matrix of their size (a factorisation of it, under priors with a scale for each) and touches
no particle; only simulated moments, which bend, are simulated again at every step.
`EnergyLikelihood` also goes into programs of the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import numpyro
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Array, Float
from numpyro import distributions as dist

from bayesjko.models.beta import POWERS, BetaPrior
from bayesjko.models.priors import PRIORS

__all__ = ["EnergyLikelihood", "LinearProgram"]

_SHRINKAGE = 0.02  # of an empirical covariance towards the model's own, scaled: it is inverted
_SINGULAR = 1e-10  # relative: below it a covariance of unit diagonal is round-off


@dataclass(frozen=True, eq=False)
class EnergyLikelihood:
    """What snapshots say of an energy's coefficients: −½(θᵀAθ − 2bᵀθ + c)/s² − ½m log s².

    All periods' coefficients stand one after the other.

    Attributes:
        gram: A.
        moment: b.
        square: c.
        count: m, how many observations tell s²; 0 where s² is not asked about.
        noise: s², or None where it is unknown.
        bend: θ ↦ the coefficients that stand in its place here, where what the snapshots say is a
            quadratic form of these only (simulated moments).
    """

    gram: Float[np.ndarray, "P P"]
    moment: Float[np.ndarray, " P"]
    square: float = 0.0
    count: float = 0.0
    noise: float | None = 1.0
    bend: Callable[[Float[Array, " P"]], Float[Array, " P"]] | None = None

    @classmethod
    def calibrated(
        cls,
        gram: Float[np.ndarray, "P P"],
        moment: Float[np.ndarray, " P"],
        meat: Float[np.ndarray, "P P"],
    ) -> EnergyLikelihood:
        """B ~ N(Aθ, M): the estimating function itself is the datum, at the scale counted of it.

        M is of particles, few of them perhaps, and inverted here: it is shrunk a little towards A
        scaled to its size, which bounds how sure it can be of a direction that it hardly sees.
        """
        scale = 1.0 / np.sqrt(np.maximum(np.diag(meat), 1e-12 * np.diag(meat).max()))
        model = scale[:, None] * gram * scale
        size = len(model) / max(np.trace(model), np.finfo(float).tiny)
        shrunk = (1.0 - _SHRINKAGE) * scale[:, None] * meat * scale + _SHRINKAGE * size * model
        values, vectors = np.linalg.eigh(shrunk)
        root = (vectors / np.sqrt(np.maximum(values, _SINGULAR * values[-1]))).T
        design, datum = root @ (scale[:, None] * gram), root @ (scale * moment)
        return cls(design.T @ design, design.T @ datum, float(datum @ datum))

    @classmethod
    def matching(
        cls,
        mean: Float[np.ndarray, " P"],
        covariance: Float[np.ndarray, "P P"],
        precision: Float[np.ndarray, " P"],
    ) -> EnergyLikelihood:
        """That which makes of the prior N(0, Λ⁻¹) the posterior N(mean, covariance).

        Under any other prior it means nothing: A may have negative directions.
        """
        inverse = _inverse(covariance, precision)
        return cls(inverse - np.diag(precision), inverse @ mean)

    def log_density(
        self,
        coefficients: Float[Array | np.ndarray, "*shape"],
        noise: Float[Array, ""] | float = 1.0,
    ) -> Float[Array, ""]:
        """Log p(data | θ), up to a constant; s² from `noise` where it is unknown."""
        theta = jnp.ravel(jnp.asarray(coefficients))
        if self.bend is not None:
            theta = self.bend(theta)
        variance = noise if self.noise is None else self.noise
        square = theta @ (jnp.asarray(self.gram) @ theta) - 2.0 * jnp.asarray(self.moment) @ theta
        return -0.5 * (square + self.square) / variance - 0.5 * self.count * jnp.log(variance)

    def observe(
        self,
        coefficients: Float[Array | np.ndarray, "*shape"],
        noise: Float[Array, ""] | float = 1.0,
        name: str = "snapshots",
    ) -> None:
        """Condition the NumPyro model that this is called in."""
        numpyro.factor(name, self.log_density(coefficients, noise))


@dataclass(frozen=True, eq=False)
class LinearProgram:
    """A linear energy's coefficients under a prior, given what snapshots say of them.

    Call it inside NumPyro as any model. Its sites are standard normal where the posterior is
    Gaussian: coefficients are whitened by their posterior given the prior's scales, s² and β.

    Attributes:
        likelihood: of all periods' coefficients.
        base: Λ of one period, which priors are relative to.
        slices: where each term's coefficients are in a period.
        prior: name of the prior.
        beta_prior: of β.
        conditional: the base is relative to s², as in the conjugate normal–inverse-gamma prior;
            then `base` is R = s²Λ.
        guess: s² to start from, where it is unknown.
        rate: of s²'s inverse-gamma prior.
        shape: likewise.
    """

    likelihood: EnergyLikelihood
    base: Float[np.ndarray, " K"]
    slices: Mapping[str, slice]
    prior: str = "normal"
    beta_prior: BetaPrior = "normal"
    conditional: bool = False
    guess: float = 1.0
    rate: float = 0.0
    shape: float = 0.0

    def __call__(self) -> None:
        """State the model; the site `coefficients` is deterministic, one row a period."""
        noise = self._noise()
        beta = self._beta() if self._beta_apart else None
        terms = dict(self.slices)
        terms.pop("internal", None)
        asked = len(self.base) - int(self._beta_apart)
        relative = PRIORS[self.prior](terms, asked)
        theta = self._coefficients(relative, noise, beta)
        self.likelihood.observe(theta, noise)
        numpyro.deterministic("coefficients", theta.reshape(-1, len(self.base)))
        numpyro.deterministic("noise", noise)

    @property
    def _beta_apart(self) -> bool:
        """Whether β has a site of its own: no scale of a prior is for it, nor may it be bounded."""
        return "internal" in self.slices and (self.prior != "normal" or self.beta_prior != "normal")

    @property
    def _periods(self) -> int:
        return len(self.likelihood.moment) // len(self.base)

    def _noise(self) -> Float[Array, ""]:
        """s² on a logarithmic scale about the guess, as wide as so many observations tell it."""
        if self.likelihood.noise is not None:
            return jnp.asarray(self.likelihood.noise)
        width = np.sqrt(2.0 / self.likelihood.count)
        standard = numpyro.sample("standard_noise", dist.Normal(0.0, 1.0))
        log_noise = np.log(self.guess) + width * standard
        noise = jnp.exp(log_noise)
        density = -self.shape * log_noise - self.rate / noise + 0.5 * standard**2
        numpyro.factor("noise_prior", density)
        return noise

    def _beta(self) -> Float[Array, " S"]:
        """β of each period, about as wide as its posterior."""
        column = self.slices["internal"].start
        at = column + len(self.base) * np.arange(self._periods)
        own = self.base[column] / (self.guess if self.conditional else 1.0)
        precision = np.tile(self.base, self._periods) / (self.guess if self.conditional else 1.0)
        inverse = np.linalg.inv(
            _scaled(self.likelihood.gram / self._unit + np.diag(precision), precision)
        ) / np.sqrt(np.outer(precision, precision))
        mean = (inverse @ self.likelihood.moment / self._unit)[at]
        spread = np.sqrt(np.diag(inverse)[at])
        standard = numpyro.sample("standard_beta", dist.Normal(jnp.zeros(len(at)), 1.0).to_event(1))
        below = -standard  # how many spreads β is below the mean
        if self.beta_prior != "normal":
            # through the distribution function: a normal cut at zero becomes a whole one
            share = ndtr(-standard) * ndtr(mean / spread)
            below = ndtri(jnp.minimum(share, 1.0 - np.finfo(float).epsneg))
        beta = mean - spread * below
        density = -0.5 * own * beta**2 + 0.5 * below**2
        power = POWERS.get(self.beta_prior, 0.0)
        if power:
            density = density + power * jnp.log(beta)
        numpyro.factor("beta_prior", jnp.sum(density))
        return beta

    @property
    def _unit(self) -> float:
        """s² where it is known, else the guess: what turns A into a precision."""
        return self.guess if self.likelihood.noise is None else self.likelihood.noise

    def _coefficients(
        self,
        relative: Float[Array, "*K"],
        noise: Float[Array, ""],
        beta: Float[Array, " S"] | None,
    ) -> Float[Array, " P"]:
        """θ = m + P^{-½}z with P its posterior precision, so that z is standard normal.

        In units of the base P is G/s² + diag(q), diagonal in G's eigenvectors for one q.
        """
        total = len(self.likelihood.moment)
        apart = np.zeros(total, dtype=bool)
        if beta is not None:
            apart[self.slices["internal"].start :: len(self.base)] = True
        rest = np.flatnonzero(~apart)
        if beta is not None and not len(rest):
            return beta
        gram, moment = self.likelihood.gram, jnp.asarray(self.likelihood.moment[rest])
        if beta is not None:
            moment = moment - jnp.asarray(gram[np.ix_(rest, np.flatnonzero(apart))]) @ beta
        unit = 1.0 / np.sqrt(np.tile(self.base, self._periods)[rest])
        scaled = unit[:, None] * gram[np.ix_(rest, rest)] * unit
        standard = numpyro.sample("standard", dist.Normal(jnp.zeros(len(rest)), 1.0).to_event(1))
        prior = relative / noise if self.conditional else relative
        if jnp.ndim(prior) == 0:
            values, vectors = np.linalg.eigh(scaled)
            precision = values / noise + prior
            aim = jnp.asarray(vectors.T * unit) @ moment / noise
            relaxed = aim / precision + standard / jnp.sqrt(precision)
            theta = unit * (jnp.asarray(vectors) @ relaxed)
            log_volume = -0.5 * jnp.sum(jnp.log(precision))
            log_prior = 0.5 * len(rest) * jnp.log(prior) - 0.5 * prior * jnp.sum(relaxed**2)
        else:
            each = jnp.tile(prior, self._periods)
            factor = jnp.linalg.cholesky(jnp.asarray(scaled) / noise + jnp.diag(each))
            aim = solve_triangular(factor, unit * moment / noise, lower=True)
            relaxed = solve_triangular(factor, aim + standard, lower=True, trans=1)
            theta = unit * relaxed
            log_volume = -jnp.sum(jnp.log(jnp.diag(factor)))
            log_prior = 0.5 * jnp.sum(jnp.log(each)) - 0.5 * jnp.sum(each * relaxed**2)
        # the density of θ in place of that of z
        numpyro.factor("prior", log_prior + log_volume + 0.5 * jnp.sum(standard**2))
        if beta is None:
            return theta
        return jnp.zeros(total).at[rest].set(theta).at[np.flatnonzero(apart)].set(beta)


def _scaled(matrix: np.ndarray, precision: np.ndarray) -> np.ndarray:
    root = 1.0 / np.sqrt(precision)
    return np.asarray(root[:, None] * matrix * root)


def _inverse(covariance: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """By eigenvalues in units of the prior, in which they range over the fewest decades."""
    root = np.sqrt(precision)
    values, vectors = np.linalg.eigh(root[:, None] * covariance * root)
    values = np.maximum(values, np.finfo(float).eps * values[-1])
    return np.asarray(root[:, None] * ((vectors / values) @ vectors.T) * root)
