"""The log-likelihood of each interval between snapshots, for comparisons by leaving one out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import block_diag

from bayesjko.inference.conjugate import conditioned_problem
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.posterior import Posterior
from bayesjko.inference.problem import LinearProblem

__all__ = ["with_intervals"]


def with_intervals(
    posterior: Posterior, problem: LinearProblem, options: InferenceOptions
) -> Posterior:
    """With log p(interval | θ, s²) at every draw, up to −½ d n log τ, which no energy changes.

    Couplings are no observations: where the posterior's spread is counted per particle, so is the
    likelihood, tempered by the rate s² tr(Q⁻¹A)/tr(Q⁻¹M) at which both are as sure of θ on average
    over the directions that the data tell. Snapshots still belong to two intervals each.

    Returns:
        The posterior as it is where the likelihood is not one of intervals.
    """
    if not problem.intervals or problem.walk is not None or posterior.noise is None:
        return posterior
    rate = 1.0
    if posterior.uncertainty != "model":
        found = conditioned_problem(problem, options)
        inverse = found.joint_inverse()
        gram = block_diag(*(block.gram for block in problem.blocks))
        meat = problem.meat(found.mean)
        rate = float(found.noise * np.sum(inverse * gram) / np.sum(inverse * meat))
    columns = []
    for period, data in problem.intervals:
        theta = posterior.coefficients[:, :, period]
        square = np.sum((theta @ data.gram - 2.0 * data.moment) * theta, axis=-1) + data.square
        constant = 0.5 * data.count * np.log(2.0 * np.pi * posterior.noise)
        columns.append(-0.5 * square / posterior.noise - constant)
    return replace(posterior, log_likelihood=rate * np.stack(columns, axis=-1), tempering=rate)
