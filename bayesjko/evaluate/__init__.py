"""Score a fit on snapshots it has not seen: earth mover's distance, with its uncertainty."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from bayesjko.forecast import Mode, default_mode, simulate_draws
from bayesjko.inference.distances import wasserstein
from bayesjko.models.data import Snapshots
from bayesjko.models.errors import InputError
from bayesjko.result import Result

__all__ = ["evaluate", "score_table"]

Order = Literal[1, 2]

_LEVEL = 0.90


def evaluate(
    result: Result,
    test: Snapshots,
    *,
    mode: Mode | None = None,
    draws: int = 20,
    substeps: int = 20,
    seed: int = 0,
    jobs: int | None = None,
) -> dict[str, Any]:
    """One-step-ahead and cumulative W1 and W2 of each interval of the test snapshots.

    One step ahead, every test snapshot is moved to the time of the next and compared with it;
    cumulatively, the first is moved all the way. `w1` is the score of the posterior-mean energy,
    `w1_low` and `w1_high` bound 90% of the scores of draws. Beside them stand `persistence`
    (nobody moves) and `floor`: another sample of the same population, the fitted snapshot of that
    time if there is one and it is another sample, else two halves of the test snapshot.

    Args:
        result: of a fit.
        test: snapshots with the result's features, at times of the fit or others.
        mode: how particles are moved; by default what the fit's likelihood stands for.
        draws: how many draws the intervals stand on.
        substeps: of the stochastic equation, per sampling interval.
        seed: of draws and noise.
        jobs: threads that solve transport problems at a time; one a core if None.

    Returns:
        JSON types: `intervals`, one object each, and `w1_mean` and `w2_mean` over them.

    Raises:
        InputError: the features are not the result's, or the numbers of draws and substeps are
            not positive.
    """
    if test.features != result.snapshots.features:
        raise InputError(
            f"The test snapshots have the features {', '.join(test.features)} and the fit "
            f"{', '.join(result.snapshots.features)}; give the same ones in the same order."
        )
    if draws < 1 or substeps < 1:
        raise InputError(f"Cannot score {draws} draws with {substeps} substeps; give at least 1.")
    if seed < 0:
        raise InputError(f"The seed is {seed}; give a whole number of at least 0.")
    mode = mode or default_mode(result)
    chosen = np.random.default_rng(seed).permutation(len(result.posterior.draws))[:draws]
    coefficients = np.concatenate([result.posterior.mean[None], result.posterior.draws[chosen]])

    def moved(start: int, stop: int, draws: np.ndarray) -> np.ndarray:
        times, clouds = simulate_draws(
            result,
            draws,
            test.particles[start],
            test.weights[start],
            float(test.times[start]),
            float(test.times[stop]),
            mode=mode,
            substeps=substeps,
            seed=seed + start,
        )
        wanted = [int(np.argmin(np.abs(times - t))) for t in test.times[start + 1 : stop + 1]]
        return clouds[:, wanted]

    intervals = len(test.times) - 1
    ahead = [moved(k, k + 1, coefficients)[:, 0] for k in range(intervals)]
    cumulative = moved(0, intervals, coefficients[:1])[0]
    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:

        def score(cloud: np.ndarray, k: int, weight: np.ndarray, order: Order) -> Future[float]:
            rest = test.particles[k + 1], weight, test.weights[k + 1]
            return pool.submit(wasserstein, cloud, *rest, order=order)

        waiting: list[dict[str, Any]] = []
        for k in range(intervals):
            now, first = test.weights[k], test.weights[0]
            waiting.append(
                {
                    "time": float(test.times[k + 1]),
                    "w1": score(ahead[k][0], k, now, 1),
                    "draws": [score(cloud, k, now, 1) for cloud in ahead[k][1:]],
                    "w2": score(ahead[k][0], k, now, 2),
                    "persistence_w1": score(test.particles[k], k, now, 1),
                    "persistence_w2": score(test.particles[k], k, now, 2),
                    "floor_w1": pool.submit(_floor, result.snapshots, test, k + 1, 1, seed),
                    "floor_w2": pool.submit(_floor, result.snapshots, test, k + 1, 2, seed),
                    "cumulative_w1": score(cumulative[k], k, first, 1),
                    "cumulative_w2": score(cumulative[k], k, first, 2),
                }
            )
        rows = [_collect(row) for row in waiting]
    return {
        "intervals": rows,
        "w1_mean": float(np.mean([row["w1"] for row in rows])),
        "w2_mean": float(np.mean([row["w2"] for row in rows])),
    }


def score_table(scores: dict[str, Any]) -> str:
    """The one-step-ahead W1 of each interval beside its two references, as text."""
    lines = [
        f"{'time':>10} {'W1':>9} {'90% interval':>19} {'nobody moves':>13} {'noise floor':>12}"
    ]
    for row in scores["intervals"]:
        interval = f"{row['w1_low']:.4g} to {row['w1_high']:.4g}"
        lines.append(
            f"{row['time']:>10.4g} {row['w1']:>9.4g} {interval:>19} "
            f"{row['persistence_w1']:>13.4g} {row['floor_w1']:>12.4g}"
        )
    lines.append(f"{'mean':>10} {scores['w1_mean']:>9.4g}")
    return "\n".join(lines)


def _collect(row: dict[str, Any]) -> dict[str, float]:
    values = {
        name: item if isinstance(item, float) else item.result()
        for name, item in row.items()
        if name != "draws"
    }
    scores = [item.result() for item in row["draws"]] or [values["w1"]]
    low, high = np.quantile(scores, [0.5 - _LEVEL / 2, 0.5 + _LEVEL / 2])
    return {name: float(v) for name, v in values.items()} | {
        "w1_low": float(low),
        "w1_high": float(high),
    }


def _floor(fitted: Snapshots, test: Snapshots, k: int, order: Order, seed: int) -> float:
    """How far apart two samples of the same population are."""
    x, w = test.particles[k], test.weights[k]
    same = np.flatnonzero(np.isclose(fitted.times, test.times[k], rtol=1e-9, atol=0.0))
    if len(same) and not _share_particles(fitted.particles[same[0]], x):
        return wasserstein(x, fitted.particles[same[0]], w, fitted.weights[same[0]], order=order)
    halves = np.array_split(np.random.default_rng(seed).permutation(len(x)), 2)
    a, b = (rows for rows in halves)
    return wasserstein(x[a], x[b], w[a] / w[a].sum(), w[b] / w[b].sum(), order=order)


def _share_particles(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> bool:
    return not {row.tobytes() for row in a}.isdisjoint(row.tobytes() for row in b)
