"""Scores of predicted clouds against observed ones, each beside its references."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from bayesjko.inference.distances import (
    bures_wasserstein,
    energy_score,
    median_distance,
    mmd,
    wasserstein,
)

__all__ = ["Cloud", "Prediction", "score_all"]

_LEVEL = 0.90
_COMPARED = 1500  # particles on which draws are told from their mean: transport is slow beyond

Distance = Callable[..., float]


@dataclass(frozen=True, eq=False)
class Cloud:
    """Weighted particles.

    Attributes:
        points: in the user's units.
        weight: of each, summing to one.
    """

    points: Float[np.ndarray, "n d"]
    weight: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was forecast for one time, what was seen, and what both are compared with.

    Attributes:
        time: of the snapshot that is predicted.
        observed: what was seen then.
        start: the snapshot it is predicted from, with whose weights the forecasts come.
        clouds: forecasts, the first under the posterior mean, the others under draws; infinite
            where particles escaped.
        cumulative: the forecast made at the very beginning.
        another: another sample of what was seen; halves of `observed` are compared if None.
        displaced: where displacement interpolation (McCann) puts the particles of `start`, if a
            later snapshot is known.
        unexplained: L²-UVP in percent of each of `clouds`, then of nobody moving, if the truth is
            known.
    """

    time: float
    observed: Cloud
    start: Cloud
    clouds: Float[np.ndarray, "draw n d"]
    cumulative: Cloud
    another: Cloud | None = None
    displaced: Cloud | None = None
    unexplained: Float[np.ndarray, " draw_and_still"] | None = None


def score_all(
    predictions: Sequence[Prediction], *, seed: int = 0, jobs: int | None = None
) -> dict[str, Any]:
    """`intervals`, one object a prediction, and the means of `w1` and `w2` over them.

    Each score comes as `name` for the posterior mean and as `name_low` and `name_high` around 90%
    of those of the draws (for W1 and W2 of more than 1,500 particles the mean's score and what the
    draws add to it on 1,500 random ones, the same for all); beside it `persistence_name` (nobody
    moves), `floor_name` (another sample of what was seen) and, where there is one, `mccann_name`.
    Draws under which particles escape to infinity have no score; `escaped` counts them where there
    are some.

    Args:
        predictions: in the order of time.
        seed: of the halves that a noise floor may be made of.
        jobs: threads that solve transport problems at a time; one a core if None.
    """
    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        waiting = [_submit(pool, prediction, seed) for prediction in predictions]
        rows = [_collect(*row) for row in waiting]
    return {
        "intervals": rows,
        "w1_mean": float(np.mean([row["w1"] for row in rows])),
        "w2_mean": float(np.mean([row["w2"] for row in rows])),
    }


def _distances(observed: Cloud) -> Mapping[str, Distance]:
    """Every score by its name, a function of (x, y, wx, wy)."""
    usual = median_distance(observed.points, observed.points)
    return {
        "w1": partial(wasserstein, order=1),
        "w2": partial(wasserstein, order=2),
        "mmd": partial(mmd, bandwidth=(0.5 * usual, usual, 2.0 * usual)),
        "energy_score": energy_score,
        "bw_uvp": _unexplained_moments,
    }


def _unexplained_moments(x: np.ndarray, y: np.ndarray, wx: np.ndarray, wy: np.ndarray) -> float:
    """BW²-UVP in percent: how far mean and covariance are from y's, in half of y's variance.

    Not a number where y has no variance. Korotin et al., Do neural optimal transport solvers
    work?, NeurIPS 2021.
    """
    variance = float(wy @ np.sum((y - wy @ y) ** 2, axis=1))
    if variance == 0.0:  # half of a snapshot of two
        return float("nan")
    return 100.0 * bures_wasserstein(x, y, wx, wy) ** 2 / (0.5 * variance)


_Waiting = dict[str, Future[float]]


def _submit(
    pool: ThreadPoolExecutor, prediction: Prediction, seed: int
) -> tuple[Prediction, _Waiting, dict[str, list[Future[float]]], _Waiting]:
    seen, start = prediction.observed, prediction.start
    one, other = _floor(prediction, seed)
    single: _Waiting = {}
    drawn: dict[str, list[Future[float]]] = {}
    baseline: _Waiting = {}  # the mean's score on as few particles as the draws'
    first, *others = prediction.clouds
    confined = [cloud for cloud in others if np.all(np.isfinite(cloud))]

    def against(distance: Distance, points: np.ndarray, weight: np.ndarray) -> Future[float]:
        return pool.submit(distance, points, seen.points, weight, seen.weight)

    few_rows = _few(start, seed), _few(seen, seed + 1)
    for name, distance in _distances(seen).items():
        single[name] = against(distance, first, start.weight)
        if name in ("w1", "w2") and max(len(first), len(seen.points)) > _COMPARED:
            few = partial(_among, few_rows, start.weight, seen, distance)
            baseline[name] = pool.submit(few, first)
            drawn[name] = [pool.submit(few, cloud) for cloud in confined]
        else:
            drawn[name] = [against(distance, cloud, start.weight) for cloud in confined]
        single[f"persistence_{name}"] = against(distance, start.points, start.weight)
        single[f"floor_{name}"] = pool.submit(
            distance, one.points, other.points, one.weight, other.weight
        )
        if prediction.displaced is not None:
            moved = prediction.displaced
            single[f"mccann_{name}"] = against(distance, moved.points, moved.weight)
        if name in ("w1", "w2"):
            far = prediction.cumulative
            single[f"cumulative_{name}"] = against(distance, far.points, far.weight)
    return prediction, single, drawn, baseline


def _few(cloud: Cloud, seed: int) -> np.ndarray:
    """Rows of at most so many particles."""
    return np.random.default_rng(seed).permutation(len(cloud.points))[:_COMPARED]


def _among(
    rows: tuple[np.ndarray, np.ndarray],
    weight: np.ndarray,
    seen: Cloud,
    distance: Distance,
    points: np.ndarray,
) -> float:
    """The distance between some particles of a forecast and some of what was seen."""
    own, others = rows
    return distance(points[own], seen.points[others], weight[own], seen.weight[others])


def _collect(
    prediction: Prediction,
    single: _Waiting,
    drawn: Mapping[str, list[Future[float]]],
    baseline: _Waiting,
) -> dict[str, float]:
    row = {"time": prediction.time} | {name: float(v.result()) for name, v in single.items()}
    scores = {name: np.array([v.result() for v in values]) for name, values in drawn.items()}
    for name, part in baseline.items():
        scores[name] = np.maximum(row[name] + scores[name] - part.result(), 0.0)
    if prediction.unexplained is not None:
        first, *rest, still = prediction.unexplained
        row |= {"l2_uvp": float(first), "persistence_l2_uvp": float(still)}
        scores["l2_uvp"] = np.array(rest)[np.isfinite(rest)]
    escaped = int(np.sum(~np.all(np.isfinite(prediction.clouds), axis=(1, 2))))
    if escaped:
        row["escaped"] = float(escaped)
    for name, values in scores.items():
        among = values if len(values) else [row[name]]
        low, high = np.quantile(among, [0.5 - _LEVEL / 2, 0.5 + _LEVEL / 2])
        row |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    return row


def _floor(prediction: Prediction, seed: int) -> tuple[Cloud, Cloud]:
    """Two samples of the population that was seen."""
    seen, another = prediction.observed, prediction.another
    if another is not None and not _share_particles(another.points, seen.points):
        return seen, another
    rows = np.random.default_rng(seed).permutation(len(seen.points))
    a, b = (
        Cloud(seen.points[half], seen.weight[half] / seen.weight[half].sum())
        for half in np.array_split(rows, 2)
    )
    return a, b


def _share_particles(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> bool:
    return not {row.tobytes() for row in a}.isdisjoint(row.tobytes() for row in b)
