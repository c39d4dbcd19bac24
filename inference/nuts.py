"""The No-U-Turn sampler of NumPyro (Hoffman and Gelman, JMLR 15, 2014)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from numpyro.infer import NUTS

from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.posterior import Posterior
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.running import Run
from bayesjko.inference.sampling import sample_problem
from bayesjko.inference.target import Target

__all__ = ["infer"]

_ACCEPTANCE = 0.9  # aimed at: the scales of a prior bend the density


class _Kernel:
    def __init__(self, target: Target, options: InferenceOptions) -> None:
        self.warmup = options.warmup
        self._nuts = NUTS(
            potential_fn=lambda position: -target.log_density(position),
            target_accept_prob=_ACCEPTANCE,
        )

    def begin(self, key: PRNGKeyArray, position: Float[Array, " P"]) -> Any:
        return self._nuts.init(key, self.warmup, position, (), {})

    def step(self, state: Any) -> Any:
        return self._nuts.sample(state, (), {})

    def read(self, state: Any) -> tuple[Float[Array, " P"], Mapping[str, Array]]:
        return state.z, {
            "diverging": state.diverging,
            "energy": state.energy,
            "acceptance_rate": state.accept_prob,
            "n_steps": state.num_steps,
            "step_size": state.adapt_state.step_size,
            "lp": -jnp.asarray(state.potential_energy),
        }


def infer(problem: LinearProblem, options: InferenceOptions, run: Run) -> Posterior:
    """Sample a linear energy's coefficients under the prior of the options."""
    return sample_problem("nuts", _Kernel, problem, options, run)
