"""The closed-form posterior of a linear energy, with the covariance that was asked for."""

from __future__ import annotations

import numpy as np

from bayesjko.inference.calibration import sandwich
from bayesjko.inference.conditioning import (
    Conditioned,
    condition,
    draw_conditioned,
    maximise_evidence,
)
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.posterior import Posterior
from bayesjko.inference.problem import LinearProblem

__all__ = ["conditioned_problem", "infer"]

_ROUNDS = 50  # of the fixed point between s² and a ridge given in the prior's own units


def infer(problem: LinearProblem, options: InferenceOptions) -> Posterior:
    """Condition a linear energy on its statistics.

    Raises:
        ValueError: the prior is too weak for features this collinear.
    """
    found = conditioned_problem(problem, options)
    periods, size = found.mean.shape
    if options.covariance == "sandwich":
        meat = problem.meat(found.mean)
        joint = sandwich(found, meat)
        coefficients, noise = draw_conditioned(found, joint, options.draws, options.seed)
        notes: tuple[str, ...] = ()
    else:
        joint = found.noise * found.joint_inverse()
        coefficients, noise = draw_conditioned(found, None, options.draws, options.seed)
        notes = (
            "The intervals are too narrow: they treat couplings as independent observations, "
            "though each is made of both snapshots at once (use covariance=sandwich).",
        )
    return Posterior(
        coefficients=coefficients,
        mean=found.mean,
        covariance=np.stack(
            [joint[p * size : (p + 1) * size, p * size : (p + 1) * size] for p in range(periods)]
        ),
        noise=noise if problem.noise != 1.0 else None,
        log_evidence=found.log_evidence,
        method="conjugate",
        uncertainty=options.covariance,
        prior_precision=found.precision,
        notes=notes,
    )


def conditioned_problem(problem: LinearProblem, options: InferenceOptions) -> Conditioned:
    """The problem conditioned under the prior of the options: a scale given, or by evidence."""
    slices = problem.energy.slices
    internal = slices.pop("internal", None)
    weak = [] if internal is None else [internal.start]
    if options.prior_scale is None:
        return maximise_evidence(
            problem.blocks, problem.energy.size, list(slices.values()), problem.noise, weak=weak
        )
    variance = 1.0
    for _ in range(_ROUNDS):
        ridge = np.full(problem.energy.size, variance / options.prior_scale**2)
        found = condition(problem.blocks, ridge, problem.noise)
        if np.isclose(found.noise, variance, rtol=1e-10, atol=0.0):
            break
        variance = found.noise
    return found
