"""Snapshots to the residual likelihood's statistics: couplings, densities, sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.linalg import block_diag

from bayesjko.inference.calibration import paired_meat, residual_meat
from bayesjko.inference.conditioning import ROUNDING, Noise
from bayesjko.inference.displacement import displacement_meat
from bayesjko.inference.problem import LinearProblem, Meat
from bayesjko.inference.score import DensityMethod, Score, fit_score
from bayesjko.inference.transport import Solver, couple
from bayesjko.inference.whole import Whole
from bayesjko.models.data import Couplings, Snapshots
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.errors import InputError
from bayesjko.models.likelihoods.residual import SCHEMES, Scheme, Statistics, statistics

__all__ = [
    "DENSE",
    "ReweightedResidual",
    "TimeVariation",
    "period_of_interval",
    "residual_problem",
    "scored_couplings",
    "with_score",
]

TimeVariation = Literal["static", "piecewise", "random-walk"]


DENSE = 20_000
"""Particles of a snapshot, evenly spaced among all, that its density is fitted to at most."""


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
    couplings, scores = scored_couplings(
        snapshots,
        energy.internal,
        scheme,
        solver=solver,
        density=density,
        jobs=jobs,
        seed=seed,
        progress=progress,
    )
    period_of = period_of_interval(len(couplings), time_variation)
    counts = tuple(coupling.effective_count for coupling in couplings)
    intervals = _by_interval(energy, couplings, scheme, period_of)
    blocks = _by_period(intervals)
    # particles that were followed and stayed say that no force acts; clouds that agree are copies
    if solver != "paired" and not sum(block.square for block in blocks) > 0.0:
        raise InputError(
            "No particle moves: all snapshots hold the same positions, and there is nothing to "
            "learn a force from; look whether they are copies of one another."
        )
    if solver == "paired":
        meat = _rounded(paired_meat(energy, couplings, scheme, period_of), blocks)
    elif scheme == "explicit" and time_variation != "static":
        meat = displacement_meat(energy, snapshots, couplings, scores)
    else:
        meat = residual_meat(energy, snapshots, counts, period_of, scores)
    return LinearProblem(
        energy,
        blocks,
        len(blocks),
        noise,
        meat,
        intervals=intervals,
        reweighted=ReweightedResidual(
            energy, snapshots, scheme, tuple(period_of), solver, counts, scores, seed
        ),
    )


def _rounded(meat: Meat, blocks: Sequence[Statistics]) -> Meat:
    """That of the positions' rounding where nobody moves and no energy leaves anything to say."""

    def at_least(coefficients: Float[np.ndarray, "period K"]) -> Float[np.ndarray, "S S"]:
        found = meat(coefficients)
        if np.any(found):
            return found
        return ROUNDING * np.asarray(block_diag(*(block.gram for block in blocks)))

    return at_least


def scored_couplings(
    snapshots: Snapshots,
    internal: bool,
    scheme: Scheme,
    *,
    solver: Solver = "exact",
    density: DensityMethod = "mixture",
    jobs: int = 1,
    seed: int = 0,
    progress: bool = False,
) -> tuple[tuple[Couplings, ...], tuple[Score, ...] | None]:
    """Couplings of all intervals and, for an internal term, each snapshot's density.

    The couplings then have the density's gradient where the scheme takes the force.
    """
    couplings = couple(snapshots, solver=solver, jobs=jobs, seed=seed, progress=progress)
    if not internal:
        return tuple(couplings), None
    seen = snapshots
    if max(snapshots.counts) > DENSE:
        seen = Whole.of(snapshots).thinned(DENSE)
    scores = tuple(
        fit_score(cloud, weight, density, seed)
        for cloud, weight in zip(seen.particles, seen.weights, strict=True)
    )
    return _with_scores(couplings, scores, scheme), scores


@dataclass(frozen=True, eq=False)
class ReweightedResidual:
    """The residual's statistics of the same particles at other weights, all of it done again.

    What an interval is worth stays: other weights ask what other particles would have said, not
    how sure a weighted cloud can be.

    Attributes:
        energy: whose coefficients are sought.
        snapshots: in standard units, at their own weights.
        scheme: where the force is taken.
        period_of: period of each interval.
        solver: of the optimal transport.
        counts: n_k of each interval.
        scores: density of each snapshot at its own weights, which the others start from.
        seed: of mini-batches.
    """

    energy: LinearEnergy
    snapshots: Snapshots
    scheme: Scheme
    period_of: tuple[int, ...]
    solver: Solver
    counts: tuple[float, ...]
    scores: tuple[Score, ...] | None
    seed: int

    def __call__(self, weights: Sequence[Float[np.ndarray, " _"]]) -> tuple[Statistics, ...]:
        """The statistics of each period."""
        snapshots = replace(self.snapshots, weights=tuple(weights))
        couplings = couple(
            snapshots, solver=self.solver, effective_count=self.counts, seed=self.seed
        )
        couplings = tuple(map(_padded, couplings))
        if self.scores is not None:
            scores = [
                score.refitted(cloud, weight)
                for score, cloud, weight in zip(
                    self.scores, snapshots.particles, snapshots.weights, strict=True
                )
            ]
            couplings = _with_scores(couplings, scores, self.scheme)
        return _by_period(_by_interval(self.energy, couplings, self.scheme, self.period_of))


def period_of_interval(intervals: int, time_variation: TimeVariation) -> list[int]:
    """Which period's coefficients are in force in each interval."""
    return [0] * intervals if time_variation == "static" else list(range(intervals))


def _by_interval(
    energy: LinearEnergy, couplings: Sequence[Couplings], scheme: Scheme, period_of: Sequence[int]
) -> tuple[tuple[int, Statistics], ...]:
    return tuple(
        (period, statistics(energy, coupling, scheme))
        for period, coupling in zip(period_of, couplings, strict=True)
    )


def _by_period(intervals: Sequence[tuple[int, Statistics]]) -> tuple[Statistics, ...]:
    sums: dict[int, Statistics] = {}
    for period, one in intervals:
        sums[period] = sums[period] + one if period in sums else one
    return tuple(sums[period] for period in sorted(sums))


def _padded(couplings: Couplings) -> Couplings:
    """Pairs of no mass added up to a power of two: few shapes are compiled for many plans."""
    count = len(couplings.weight)
    added = (1 << (count - 1).bit_length()) - count

    def repeat(rows: np.ndarray) -> np.ndarray:
        return np.concatenate([rows, np.repeat(rows[:1], added, axis=0)])

    return replace(
        couplings,
        source=repeat(np.asarray(couplings.source)),
        target=repeat(np.asarray(couplings.target)),
        weight=np.concatenate([couplings.weight, np.zeros(added)]),
        source_index=repeat(couplings.source_index),
        target_index=repeat(couplings.target_index),
    )


def _with_scores(
    couplings: Sequence[Couplings], scores: Sequence[Score], scheme: Scheme
) -> tuple[Couplings, ...]:
    return tuple(
        with_score(coupling, *ends, scheme)
        for coupling, ends in zip(couplings, pairwise(scores), strict=True)
    )


def with_score(couplings: Couplings, before: Score, after: Score, scheme: Scheme) -> Couplings:
    """∇log ρ̂ where the scheme takes the force: between the ends, that share of theirs."""
    share = SCHEMES[scheme]
    score = np.zeros(np.shape(couplings.source))
    if share < 1.0:
        score += (1.0 - share) * before(np.asarray(couplings.source))
    if share > 0.0:
        score += share * after(np.asarray(couplings.target))
    return replace(couplings, score=score)
