"""The No-U-Turn sampler of BlackJAX: an implementation of its own, to check the other with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import blackjax
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.posterior import Posterior
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.running import Run
from bayesjko.inference.sampling import sample_problem
from bayesjko.inference.target import Target

__all__ = ["infer"]

_ACCEPTANCE = 0.9


class _Kernel:
    warmup = 0  # window adaptation runs as one piece, before the first block

    def __init__(self, target: Target, options: InferenceOptions) -> None:
        self._density, self._steps = target.log_density, options.warmup
        self._step = blackjax.nuts.build_kernel()

    def begin(self, key: PRNGKeyArray, position: Float[Array, " P"]) -> Any:
        adapt = blackjax.window_adaptation(
            blackjax.nuts, self._density, target_acceptance_rate=_ACCEPTANCE
        )
        key, own = jax.random.split(key)
        (state, parameters), _ = adapt.run(own, position, num_steps=self._steps)
        tuned = {name: parameters[name] for name in ("step_size", "inverse_mass_matrix")}
        _, info = jax.eval_shape(lambda: self._step(key, state, self._density, **tuned))
        empty = jax.tree.map(lambda s: jax.numpy.zeros(s.shape, s.dtype), _told(info))
        return {"key": key, "state": state, "tuned": tuned, "told": empty}

    def step(self, state: Any) -> Any:
        key, own = jax.random.split(state["key"])
        new, info = self._step(own, state["state"], self._density, **state["tuned"])
        return {"key": key, "state": new, "tuned": state["tuned"], "told": _told(info)}

    def read(self, state: Any) -> tuple[Float[Array, " P"], Mapping[str, Array]]:
        told = {"step_size": state["tuned"]["step_size"], "lp": state["state"].logdensity}
        return state["state"].position, state["told"] | told


def _told(info: Any) -> dict[str, Any]:
    return {
        "diverging": info.is_divergent,
        "energy": info.energy,
        "acceptance_rate": info.acceptance_rate,
        "n_steps": info.num_integration_steps,
    }


def infer(problem: LinearProblem, options: InferenceOptions, run: Run) -> Posterior:
    """Sample a linear energy's coefficients under the prior of the options."""
    return sample_problem("blackjax-nuts", _Kernel, problem, options, run)
