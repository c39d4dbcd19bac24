"""Snapshots to the residual likelihood's statistics: couplings, densities, sums."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from bayesjko.inference.calibration import paired_meat, residual_meat
from bayesjko.inference.conditioning import Noise
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.score import DensityMethod, Score, fit_score
from bayesjko.inference.transport import Solver, couple
from bayesjko.models.data import Couplings, Snapshots
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.likelihoods.residual import SCHEMES, Scheme, Statistics, statistics

__all__ = ["TimeVariation", "period_of_interval", "residual_problem"]

TimeVariation = Literal["static", "piecewise"]


def residual_problem(
    energy: LinearEnergy,
    snapshots: Snapshots,
    *,
    scheme: Scheme = "explicit",
    time_variation: TimeVariation = "static",
    solver: Solver = "exact",
    density: DensityMethod = "mixture",
    noise: Noise = "inverse-gamma",
    jobs: int = 1,
    seed: int = 0,
    progress: bool = False,
) -> LinearProblem:
    """Couple consecutive snapshots and sum up what the residual likelihood needs of them.

    Args:
        energy: whose coefficients are sought.
        snapshots: in standard units.
        scheme: where between source and target the force is taken.
        time_variation: one θ for all intervals, or one for each.
        solver: of the optimal transport.
        density: estimator of ∇log ρ, used with an internal term only.
        noise: how s² is treated.
        jobs: how many threads couple at a time.
        seed: of mini-batches and density estimates.
        progress: show a progress bar on long work.
    """
    couplings = couple(snapshots, solver=solver, jobs=jobs, seed=seed, progress=progress)
    scores = None
    if energy.internal:
        scores = [
            fit_score(cloud, weight, density, seed)
            for cloud, weight in zip(snapshots.particles, snapshots.weights, strict=True)
        ]
        couplings = tuple(
            _with_score(c, scores[k], scores[k + 1], scheme) for k, c in enumerate(couplings)
        )
    period_of = period_of_interval(len(couplings), time_variation)
    sums: dict[int, Statistics] = {}
    for period, coupling in zip(period_of, couplings, strict=True):
        one = statistics(energy, coupling, scheme)
        sums[period] = sums[period] + one if period in sums else one
    counts = [coupling.effective_count for coupling in couplings]
    return LinearProblem(
        energy,
        tuple(sums[period] for period in sorted(sums)),
        len(sums),
        noise,
        (
            paired_meat(energy, couplings, scheme, period_of)
            if solver == "paired"
            else residual_meat(energy, snapshots, counts, period_of, scores)
        ),
    )


def period_of_interval(intervals: int, time_variation: TimeVariation) -> list[int]:
    """Which period's coefficients are in force in each interval."""
    return [0] * intervals if time_variation == "static" else list(range(intervals))


def _with_score(couplings: Couplings, before: Score, after: Score, scheme: Scheme) -> Couplings:
    """∇log ρ̂ where the scheme takes the force: between the ends, that share of theirs."""
    share = SCHEMES[scheme]
    score = np.zeros(np.shape(couplings.source))
    if share < 1.0:
        score += (1.0 - share) * before(np.asarray(couplings.source))
    if share > 0.0:
        score += share * after(np.asarray(couplings.target))
    return replace(couplings, score=score)
