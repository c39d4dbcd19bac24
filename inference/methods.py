"""Every inference method by the name a user gives it: one file each, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from bayesjko.inference.options import InferenceOptions, Method
from bayesjko.inference.posterior import Posterior
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.running import Run

__all__ = ["METHODS", "infer_by_method"]

METHODS: Mapping[Method, str] = {
    "conjugate": "bayesjko.inference.conjugate",
    "nuts": "bayesjko.inference.nuts",
    "blackjax-nuts": "bayesjko.inference.blackjax_nuts",
    "mclmc": "bayesjko.inference.mclmc",
    "vi": "bayesjko.inference.vi",
}
"""The module of each, imported when it is asked for: samplers take seconds to import."""


def infer_by_method(
    problem: LinearProblem, options: InferenceOptions, run: Run | None = None
) -> Posterior:
    """Condition a linear energy on what the snapshots say, by the method of the options.

    Args:
        problem: what they say.
        options: the method, and what it may be told.
        run: how a long computation is watched, kept and taken up again.
    """
    module = import_module(METHODS[options.method])
    posterior: Posterior = module.infer(problem, options, run or Run())
    return posterior
