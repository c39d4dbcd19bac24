"""Score a fit on snapshots it has not seen: how far forecasts are, with their uncertainty."""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesjko.evaluate.predicting import check_questions, coefficients_of, moved, unexplained
from bayesjko.evaluate.scoring import Cloud, Prediction, score_all
from bayesjko.forecast import Mode, default_mode
from bayesjko.models.data import Snapshots
from bayesjko.result import Result

__all__ = ["evaluate", "score_table"]


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
    """One-step-ahead and cumulative scores of each interval of the test snapshots.

    One step ahead, every test snapshot is moved to the time of the next and compared with it;
    cumulatively, the first is moved all the way. `w1` is the score of the posterior-mean energy,
    `w1_low` and `w1_high` bound 90% of the scores of draws; likewise `w2`, `mmd`, `energy_score`,
    `bw_uvp` (Bures–Wasserstein unexplained variance, in percent) and, where the truth is known,
    `l2_uvp` (of the displacements). Beside them stand `persistence` (nobody moves) and `floor`:
    another sample of the same population, the fitted snapshot of that time if there is one and it
    is another sample, else two halves of the test snapshot.

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
    check_questions(result, test, draws, substeps, seed)
    mode = mode or default_mode(result)
    coefficients = coefficients_of(result, draws, seed)
    steps: dict[str, Any] = {"mode": mode, "substeps": substeps}
    whole = moved(result, coefficients[:1], test, 0, test.times[1:], **steps, seed=seed)[0]
    predictions = []
    for k, time in enumerate(test.times[1:]):
        until = test.times[k + 1 : k + 2]
        clouds = moved(result, coefficients, test, k, until, **steps, seed=seed + k)[:, 0]
        fitted = np.flatnonzero(np.isclose(result.snapshots.times, time, rtol=1e-9, atol=0.0))
        predictions.append(
            Prediction(
                time=float(time),
                observed=cloud_of(test, k + 1),
                start=cloud_of(test, k),
                clouds=clouds,
                cumulative=Cloud(whole[k], test.weights[0]),
                another=cloud_of(result.snapshots, int(fitted[0])) if len(fitted) else None,
                unexplained=unexplained(
                    result, coefficients, test, k, float(time), **steps, variance_of=k + 1
                ),
            )
        )
    return score_all(predictions, seed=seed, jobs=jobs)


def cloud_of(snapshots: Snapshots, index: int) -> Cloud:
    """One snapshot."""
    return Cloud(snapshots.particles[index], snapshots.weights[index])


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
