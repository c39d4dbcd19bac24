"""What a sampler sees: a log-density on ℝᴾ, and what its positions mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro import distributions as dist  # by `from`: where ArviZ 1 made numpyro lazy, too
from numpyro.handlers import block, seed, trace
from numpyro.infer.util import constrain_fn, potential_energy
from scipy.linalg import block_diag

from bayesjko.inference.calibration import sandwich
from bayesjko.inference.conditioning import NOISE_SHAPE, Conditioned, noise_rate
from bayesjko.inference.conjugate import conditioned_problem
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.problem import LinearProblem
from bayesjko.models.precision import double
from bayesjko.models.program import EnergyLikelihood, LinearProgram

__all__ = ["Target", "energy_likelihood", "linear_program", "sites_of", "target_of"]

_WIDE = 2.0  # half the width of the cube that chains start in: about twice the posterior's sd


@dataclass(frozen=True, eq=False)
class Target:
    """A log-density on ℝᴾ whose positions stand for draws of a model's sites.

    Attributes:
        log_density: of one position, up to a constant.
        constrain: one position ↦ the model's sites by name, deterministic ones included.
        size: P.
    """

    log_density: Callable[[Float[Array, " P"]], Float[Array, ""]]
    constrain: Callable[[Float[Array, " P"]], Mapping[str, Array]]
    size: int

    def start(self, key: PRNGKeyArray) -> Float[Array, " P"]:
        """A place for a chain to start, further out than the posterior if that is whitened."""
        return jax.random.uniform(key, (self.size,), minval=-_WIDE, maxval=_WIDE)


def target_of(program: Callable[[], None]) -> Target:
    """Any NumPyro model without arguments, in its unconstrained coordinates.

    To be called, as all that is made of its result, within `double()`.
    """
    shape = jax.eval_shape(lambda: _unconstrained(program))
    flat, unravel = ravel_pytree(jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shape))

    # compiled whole: one by one their operations would take most of a short run to compile
    @jax.jit
    def log_density(position: Float[Array, " P"]) -> Float[Array, ""]:
        with block():  # whoever asks may be a program too, which must not see this one's sites
            return -potential_energy(program, (), {}, unravel(position))

    @jax.jit
    def constrain(position: Float[Array, " P"]) -> Mapping[str, Array]:
        sites = constrain_fn(program, (), {}, unravel(position), return_deterministic=True)
        return dict(sites)

    return Target(log_density, constrain, flat.size)


def _unconstrained(program: Callable[[], None]) -> dict[str, Array]:
    """A value of every site that is not observed, in the coordinates that samplers move in."""
    sites = trace(seed(program, jax.random.PRNGKey(0))).get_trace()
    return {
        name: dist.biject_to(site["fn"].support).inv(site["value"])
        for name, site in sites.items()
        if site["type"] == "sample" and not site["is_observed"]
    }


def energy_likelihood(
    problem: LinearProblem, options: InferenceOptions, found: Conditioned | None = None
) -> EnergyLikelihood:
    """The likelihood of a linear energy's coefficients that any prior may be put before.

    With the model's covariance −½SSE(θ)/s². With the sandwich's, the estimating function b is the
    datum, b ~ N(Aθ, M), M counted per particle at the conjugate estimate. Where the data are many
    its posterior is the conjugate one. Where they are few it is narrower, as Bayes' rule is the
    best of all estimates that are linear in b, and the ridge with the likelihood's own s² is not.

    Args:
        problem: what the snapshots say.
        options: whose covariance is meant.
        found: the conjugate estimate, if it is there already.
    """
    gram = block_diag(*(block.gram for block in problem.blocks))
    moment = np.concatenate([block.moment for block in problem.blocks])
    found = found or conditioned_problem(problem, options)
    if options.covariance == "sandwich":
        return EnergyLikelihood.calibrated(gram, moment, problem.meat(found.mean))
    return EnergyLikelihood(
        gram,
        moment,
        square=sum(block.square for block in problem.blocks),
        count=sum(block.count for block in problem.blocks),
        noise=None if problem.noise == "inverse-gamma" else found.noise,
    )


def linear_program(
    problem: LinearProblem, options: InferenceOptions, found: Conditioned | None = None
) -> LinearProgram:
    """The NumPyro model of a linear energy under the prior of the options.

    Under a normal prior of the conjugate's own scale it is the conjugate posterior itself, the
    sandwich's included: the likelihood is the one Gaussian that makes it so. No such likelihood
    goes with another prior (where the data say little the sandwich is wider than the prior, which
    no proper likelihood allows), so the others stand on `energy_likelihood`.

    Args:
        problem: what the snapshots say.
        options: the priors and the covariance.
        found: the conjugate estimate, if it is there already.
    """
    found = found or conditioned_problem(problem, options)
    beta_prior = options.beta_prior
    if beta_prior == "auto":
        beta_prior = problem.beta_prior
        if beta_prior == "normal" and options.prior != "normal":
            beta_prior = "half-normal"
    slices = problem.energy.slices
    bend = None if problem.bending is None else problem.bending(found)
    if options.covariance == "sandwich" and options.prior == "normal":
        whole = np.tile(found.precision, problem.periods)
        joint = sandwich(found, problem.meat(found.mean))
        likelihood = EnergyLikelihood.matching(found.mean.ravel(), joint, whole)
        likelihood = replace(likelihood, bend=bend)
        return LinearProgram(likelihood, found.precision, slices, "normal", beta_prior)
    likelihood = replace(energy_likelihood(problem, options, found), bend=bend)
    if likelihood.noise is not None:
        return LinearProgram(likelihood, found.precision, slices, options.prior, beta_prior)
    conditional = options.prior == "normal"
    return LinearProgram(
        likelihood,
        found.ridge if conditional else found.precision,
        slices,
        options.prior,
        beta_prior,
        conditional=conditional,
        guess=found.noise,
        rate=noise_rate(likelihood.square),
        shape=NOISE_SHAPE,
    )


def sites_of(target: Target, positions: Float[np.ndarray, "chain draw P"]) -> dict[str, np.ndarray]:
    """Every site of the model at every position."""
    with double():
        found = jax.jit(lambda all: jax.lax.map(jax.vmap(target.constrain), all))(
            jnp.asarray(positions)
        )
        return {name: np.asarray(values) for name, values in found.items()}
