"""Score forecasts of whole snapshots: fit again without them, and predict them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from bayesjko.evaluate import cloud_of
from bayesjko.evaluate.predicting import check_questions, coefficients_of, moved, unexplained
from bayesjko.evaluate.scoring import Cloud, Prediction, score_all
from bayesjko.fit import fit
from bayesjko.forecast import Mode, default_mode
from bayesjko.inference.transport import optimal_plan
from bayesjko.models.data import Snapshots
from bayesjko.models.errors import InputError
from bayesjko.result import Result
from bayesjko.settings import FitSettings

__all__ = ["extrapolate", "holdout_table", "leave_out"]

_BATCH = 5000  # particles whose transport is exact, as for the scores


def leave_out(
    result: Result,
    data: Snapshots,
    times: Sequence[float],
    *,
    mode: Mode | None = None,
    draws: int = 20,
    substeps: int = 20,
    seed: int = 0,
    jobs: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """How well snapshots are predicted by a fit that has not seen them.

    The energy is fitted again, with the result's settings, to all particles of the other snapshots.
    Each snapshot left out is predicted from the last one kept before it: one position for each of
    its particles, compared with all that were seen. Within an interval of the fit, a map by one
    step takes the part of the step that lies before the time in question. `persistence`, `floor`
    and `mccann` are the references: nobody moves; two halves of what was seen; and each particle on
    the straight way to the mean of what it is coupled to in the next snapshot kept, if there is one
    (displacement interpolation by the barycentric projection of the optimal coupling).

    Args:
        result: whose settings are used.
        data: all snapshots, with the result's features.
        times: of those to leave out.
        mode: how particles are moved; by default what the fit's likelihood stands for.
        draws: how many draws the intervals stand on.
        substeps: of the stochastic equation, per sampling interval.
        seed: of draws and noise.
        jobs: threads that solve transport problems at a time; one a core if None.
        progress: show a progress bar on long work.

    Returns:
        What `evaluate` does, one interval a snapshot left out, and their times as `left_out`.

    Raises:
        InputError: a time is none of the data's, nothing was seen before one left out, or fewer
            than two snapshots remain.
    """
    check_questions(result, data, draws, substeps, seed)
    gone = sorted({_position(data, time) for time in times})
    kept = [k for k in range(len(data.times)) if k not in gone]
    _check_rest(data, gone, kept)
    fitted = fit(data.select(kept), _settings(result), jobs=jobs, progress=progress)
    mode = mode or default_mode(fitted)
    coefficients = coefficients_of(fitted, draws, seed)
    steps: dict[str, Any] = {"mode": mode, "substeps": substeps}
    # the first snapshot goes all the way, to every time left out
    whole = moved(fitted, coefficients[:1], data, 0, data.times[gone], **steps, seed=seed)[0]
    predictions = []
    for place, k in enumerate(gone):
        before = max(j for j in kept if j < k)
        until = data.times[k : k + 1]
        predictions.append(
            Prediction(
                time=float(data.times[k]),
                observed=cloud_of(data, k),
                start=cloud_of(data, before),
                clouds=moved(fitted, coefficients, data, before, until, **steps, seed=seed + k)[
                    :, 0
                ],
                cumulative=Cloud(whole[place], data.weights[0]),
                displaced=_displaced(data, kept, before, float(data.times[k])),
                unexplained=unexplained(
                    fitted, coefficients, data, before, float(until[0]), **steps, variance_of=k
                ),
            )
        )
    scores = score_all(predictions, seed=seed, jobs=jobs)
    return scores | {"left_out": [float(data.times[k]) for k in gone]}


def extrapolate(result: Result, data: Snapshots, count: int, **options: Any) -> dict[str, Any]:
    """How well the last snapshots are forecast from those before: `leave_out` of the last `count`.

    Args:
        result: whose settings are used.
        data: all snapshots, with the result's features.
        count: how many to forecast, each from the last one kept.
        **options: as of `leave_out`.

    Raises:
        InputError: there are too few snapshots.
    """
    if not 1 <= count <= len(data.times) - 2:
        raise InputError(
            f"Cannot forecast the last {count} of {len(data.times)} snapshots; give a number from "
            f"1 to {len(data.times) - 2}, for at least two must remain to learn from."
            if len(data.times) > 2
            else f"There are {len(data.times)} snapshots, and at least two must remain to learn "
            "from; extrapolation needs three."
        )
    return leave_out(result, data, [float(t) for t in data.times[-count:]], **options)


def holdout_table(scores: dict[str, Any]) -> str:
    """W1 and W2 of each snapshot left out, W2 beside its references, as text."""
    lines = [
        f"{'time':>10} {'W1':>8} {'90% interval':>17} {'W2':>8} {'90% interval':>17} "
        f"{'nobody moves':>13} {'McCann':>8} {'noise floor':>12}"
    ]
    for row in scores["intervals"]:
        cells = [f"{row['time']:>10.4g}"]
        for name in ("w1", "w2"):
            spread = f"{row[f'{name}_low']:.4g} to {row[f'{name}_high']:.4g}"
            cells += [f"{row[name]:>8.4g}", f"{spread:>17}"]
        cells.append(f"{row['persistence_w2']:>13.4g}")
        cells.append(f"{row['mccann_w2']:>8.4g}" if "mccann_w2" in row else f"{'–':>8}")
        cells.append(f"{row['floor_w2']:>12.4g}")
        lines.append(" ".join(cells))
    lines.append(f"{'mean':>10} {scores['w1_mean']:>8.4g} {'':>17} {scores['w2_mean']:>8.4g}")
    lines.append("The last three columns are W2 of references: see the documentation of evaluate.")
    return "\n".join(lines)


def _settings(result: Result) -> FitSettings:
    """The result's own, all particles taking part."""
    known = {f.name for f in fields(FitSettings)}
    given = {name: value for name, value in result.settings.items() if name in known}
    return replace(FitSettings(**given), holdout=0.0)


def _position(data: Snapshots, time: float) -> int:
    gap = np.abs(data.times - time)
    if not gap.min() <= 1e-9 * max(1.0, np.abs(data.times).max()):
        times = ", ".join(f"{t:g}" for t in data.times)
        raise InputError(f"No snapshot at time {time:g} to leave out; there are some at {times}.")
    return int(np.argmin(gap))


def _check_rest(data: Snapshots, gone: Sequence[int], kept: Sequence[int]) -> None:
    if not gone:
        raise InputError("No time is given to leave out; give one or more of the data's.")
    if len(kept) < 2:
        raise InputError(
            f"Leaving out {len(gone)} of {len(data.times)} snapshots leaves {len(kept)}, and at "
            "least two are needed to learn from; leave out fewer."
        )
    if gone[0] < kept[0]:
        raise InputError(
            f"Nothing is seen before time {data.times[gone[0]]:g} to predict it from; leave out "
            "times after the first."
        )


def _displaced(data: Snapshots, kept: Sequence[int], before: int, time: float) -> Cloud | None:
    """Displacement interpolation (McCann, Adv. Math. 128, 1997), a position for each particle."""
    after = [j for j in kept if data.times[j] > time]
    if not after:
        return None
    start, end = cloud_of(data, before), cloud_of(data, after[0])
    plan = optimal_plan(start.points, end.points, start.weight, end.weight, batch=_BATCH)
    share = (time - data.times[before]) / (data.times[after[0]] - data.times[before])
    total = np.zeros_like(start.points)
    np.add.at(total, plan.source, plan.mass[:, None] * end.points[plan.target])
    mass = np.bincount(plan.source, plan.mass, len(start.points))[:, None]
    goal = np.divide(total, mass, out=start.points.copy(), where=mass > 0.0)
    return Cloud((1.0 - share) * start.points + share * goal, start.weight)
