"""The residual likelihood of a population in parts: pieces coupled where their rows are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from bayesjko.inference.calibration import residual_meat
from bayesjko.inference.conditioning import Noise
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.residual import DENSE, period_of_interval, with_score
from bayesjko.inference.score import DensityMethod, Score, fit_score
from bayesjko.inference.transport import Block, mini_batches, plan_batch
from bayesjko.inference.whole import Part, Whole, in_turn, taken
from bayesjko.models.data import Couplings
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.likelihoods.residual import Scheme, Statistics, statistics

__all__ = ["residual_problem_in_parts"]

_TOGETHER = 16  # pieces a task: each reads all parts of two snapshots for the rows of its pieces


def residual_problem_in_parts(
    energy: LinearEnergy,
    whole: Whole,
    *,
    scheme: Scheme,
    time_variation: Literal["static", "piecewise"] = "static",
    solver: Literal["exact", "entropic"] = "exact",
    density: DensityMethod = "mixture",
    noise: Noise = "inverse-gamma",
    seed: int = 0,
) -> LinearProblem:
    """As `residual_problem`, of the same pieces and densities, from sums over them.

    Args:
        energy: whose coefficients are sought, without an interaction.
        whole: the population, in standard units.
        scheme: where between source and target the force is taken.
        time_variation: one θ for all intervals, or one for each.
        solver: of the optimal transport.
        density: estimator of ∇log ρ, used with an internal term only.
        noise: how s² is treated.
        seed: of the pieces and density estimates.
    """
    scores = None
    if energy.internal:
        seen = whole.thinned(DENSE)
        scores = tuple(
            fit_score(cloud, weight, density, seed)
            for cloud, weight in zip(seen.particles, seen.weights, strict=True)
        )
    weights = [_weights(whole, index) for index in range(len(whole.times))]
    counts = np.minimum(whole.effective_sizes[:-1], whole.effective_sizes[1:])
    intervals = []
    for k, tau in enumerate(np.diff(whole.times)):
        pieces = mini_batches(weights[k], weights[k + 1], k, seed=seed)
        ends = None if scores is None else (scores[k], scores[k + 1])
        work = partial(_couple, energy, scheme, solver, float(tau), float(counts[k]), ends)
        items = [
            _Pieces(whole.of_snapshot(k), whole.of_snapshot(k + 1), pieces[a : a + _TOGETHER])
            for a in range(0, len(pieces), _TOGETHER)
        ]
        total = whole.reduce(work, items)
        intervals.append(replace(total, count=counts[k] * len(whole.features)))
    period_of = period_of_interval(len(intervals), time_variation)
    blocks = intervals
    if time_variation == "static":
        blocks = [intervals[0]]
        for each in intervals[1:]:
            blocks = [blocks[0] + each]
    return LinearProblem(
        energy,
        tuple(blocks),
        len(blocks),
        noise,
        residual_meat(energy, whole, counts.tolist(), period_of, scores),
        intervals=tuple(zip(period_of, intervals, strict=True)),
    )


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Some pieces of an interval, and where their rows are read."""

    before: list[tuple[Part, int]]
    after: list[tuple[Part, int]]
    pieces: Sequence[tuple[Block, np.random.Generator]]


def _couple(
    energy: LinearEnergy,
    scheme: Scheme,
    solver: Literal["exact", "entropic"],
    duration: float,
    count: float,
    scores: tuple[Score, Score] | None,
    item: _Pieces,
) -> Statistics:
    blocks = [block for block, _ in item.pieces]
    x, _ = taken(in_turn, item.before, np.concatenate([block.rows for block in blocks]))
    y, _ = taken(in_turn, item.after, np.concatenate([block.columns for block in blocks]))
    sources, targets, masses = [], [], []
    i = j = 0
    for block, stream in item.pieces:
        own_x, own_y = x[i : i + len(block.rows)], y[j : j + len(block.columns)]
        i, j = i + len(own_x), j + len(own_y)
        plan = plan_batch(solver, own_x, own_y, block, stream)
        sources.append(own_x[plan.source])
        targets.append(own_y[plan.target])
        masses.append(plan.mass)
    rows = np.arange(sum(map(len, masses)))
    couplings = Couplings(
        np.concatenate(sources),
        np.concatenate(targets),
        np.concatenate(masses),
        duration,
        count,
        rows,
        rows,
    )
    if scores is not None:
        couplings = with_score(couplings, *scores, scheme)
    return statistics(energy, couplings, scheme)


def _weights(whole: Whole, index: int) -> np.ndarray:
    """Of every particle of a snapshot; they travel only where they differ."""
    count = whole.counts[index]
    if np.isclose(whole.effective_sizes[index], count, rtol=1e-12):
        return np.full(count, 1.0 / count)
    return whole.rows(index, np.arange(count))[1]
