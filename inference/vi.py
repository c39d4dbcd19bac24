"""Variational inference with NumPyro's guides (Kucukelbir et al., JMLR 18, 2017).

The family is normal in the program's own coordinates, in which the posterior is close to that:
full-rank is exact under a normal prior. How far it is from the posterior is told by the Pareto
shape of its importance ratios (Yao et al., ICML 2018), which diagnostics read off the draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro import distributions as dist
from numpyro.infer import SVI, Trace_ELBO, autoguide, init_to_value
from tqdm import tqdm

from bayesjko.inference.conjugate import conditioned_problem
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.posterior import CHAINS, Posterior
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.running import Run
from bayesjko.inference.sampling import posterior_of_sites
from bayesjko.inference.target import Target, linear_program, sites_of, target_of
from bayesjko.models.precision import double

__all__ = ["GUIDES", "approximate", "infer"]

GUIDES: Mapping[str, Callable[..., autoguide.AutoContinuous]] = {
    "full-rank": autoguide.AutoMultivariateNormal,
    "low-rank": autoguide.AutoLowRankMultivariateNormal,
    "mean-field": autoguide.AutoNormal,
}
"""Families by the name a user gives them."""

_STEPS, _FEW_STEPS = 2000, 500  # fewer where each draw simulates a population
_BLOCK = 250
_RATE = 0.02  # of Adam at the start; falls to a hundredth along a cosine
_PARTICLES = 16  # draws that each step's gradient is a mean over
_FEW = 2  # the same, where each draw simulates a population
_WIDTH = 0.5  # of the family at the start, in units of the whitened posterior's


def infer(problem: LinearProblem, options: InferenceOptions, run: Run) -> Posterior:
    """Approximate a linear energy's posterior by the normal family of the options."""
    found = conditioned_problem(problem, options)
    with double():
        program = linear_program(problem, options, found)
        simulated = program.likelihood.bend is not None
        steps, particles = (_FEW_STEPS, _FEW) if simulated else (_STEPS, _PARTICLES)
        target = target_of(program)
        positions, ratios, complete = approximate(
            target, options, run, steps=steps, particles=particles
        )
        sites = sites_of(target, positions)
    notes = () if complete else ("Interrupted: the approximation had not settled yet.",)
    stats = {"log_importance_ratio": ratios}
    return posterior_of_sites(
        "vi", problem, options, found, sites, stats, notes=notes, complete=complete
    )


def approximate(
    target: Target,
    options: InferenceOptions,
    run: Run,
    *,
    steps: int = _STEPS,
    particles: int = _PARTICLES,
) -> tuple[Float[np.ndarray, "chain draw P"], Float[np.ndarray, "chain draw"], bool]:
    """Independent draws of the best member of the family, and log p − log q of each."""
    guide = GUIDES[options.guide](
        _as_model(target),
        init_loc_fn=init_to_value(values={"position": jnp.zeros(target.size)}),
        init_scale=_WIDTH,
    )
    rate = optax.cosine_decay_schedule(_RATE, steps, 0.01)
    svi = SVI(_as_model(target), guide, optax.adam(rate), Trace_ELBO(particles))
    key, own = jax.random.split(jax.random.PRNGKey(options.seed))
    state, complete = svi.init(own), True

    @jax.jit
    def advance(state):  # type: ignore[no-untyped-def]
        return jax.lax.fori_loop(0, _BLOCK, lambda _, s: svi.update(s)[0], state)

    with tqdm(total=steps, disable=not run.progress, desc="approximating", unit="step") as bar:
        try:
            for _ in range(0, steps, _BLOCK):
                state = jax.block_until_ready(advance(state))
                bar.update(_BLOCK)
        except KeyboardInterrupt:
            complete = False
    shape = (CHAINS, -(-options.draws // CHAINS))
    drawn, density = _draws(guide, svi.get_params(state), key, shape)
    found = jax.lax.map(jax.vmap(target.log_density), drawn)
    return np.asarray(drawn), np.asarray(found - density), complete


def _as_model(target: Target) -> Callable[[], None]:
    def model() -> None:
        place = dist.ImproperUniform(dist.constraints.real_vector, (), (target.size,))
        position = numpyro.sample("position", place)
        numpyro.factor("target", target.log_density(position))

    return model


def _draws(
    guide: autoguide.AutoContinuous,
    parameters: Mapping[str, Array],
    key: PRNGKeyArray,
    shape: tuple[int, int],
) -> tuple[Float[Array, "chain draw P"], Float[Array, "chain draw"]]:
    if isinstance(guide, autoguide.AutoNormal):
        loc, scale = (parameters[f"position_auto_{name}"] for name in ("loc", "scale"))
        family = dist.Normal(loc, scale).to_event(1)
    else:
        family = guide.get_posterior(parameters)
    drawn = family.sample(key, shape)
    return drawn, family.log_prob(drawn)
