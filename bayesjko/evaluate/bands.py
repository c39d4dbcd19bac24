"""Predictive calibration: do 90% bands hold what was seen, and what are they made of?"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from bayesjko.evaluate.predicting import check_questions, coefficients_of, moved
from bayesjko.forecast import Mode, default_mode
from bayesjko.inference.distances import wasserstein
from bayesjko.models.data import Snapshots
from bayesjko.models.errors import InputError
from bayesjko.result import Result

__all__ = ["bands_table", "predictive_bands"]

_PROBABILITIES = (0.05, 0.25, 0.5, 0.75, 0.95)


def predictive_bands(
    result: Result,
    test: Snapshots,
    *,
    level: float = 0.9,
    mode: Mode | None = None,
    draws: int = 60,
    resamples: int = 20,
    substeps: int = 20,
    seed: int = 0,
) -> dict[str, Any]:
    """Bands for each feature's quantiles and for W1, one step ahead, beside what was seen.

    A band for a quantile is that of a new sample: the forecast cloud of a draw, drawn again with as
    many particles as both snapshots together are worth, 1/(1/n + 1/n′). Its variance has two parts,
    which the result shows apart: `epistemic_sd`, between draws of the energy, which more data would
    shrink, and `aleatoric_sd`, within draws, which is the chance of sampling and of the motion.

    W1 is taken between half of the forecast cloud and a sample of the observed one, and its band
    between that half and a sample of the other half under a draw, so that the two are alike if the
    forecast is right.

    Args:
        result: of a fit.
        test: snapshots that the fit has not seen, with its features.
        level: how much a band should hold.
        mode: how particles are moved; by default what the fit's likelihood stands for.
        draws: of the energy.
        resamples: of each draw's cloud.
        substeps: of the stochastic equation, per sampling interval.
        seed: of draws, noise and samples.

    Returns:
        JSON types: `intervals`, each with `quantiles` and `w1`; the shares inside, `coverage` and
        `w1_coverage`; the `level`.

    Raises:
        InputError: the features are not the result's, or a number is not positive.
    """
    check_questions(result, test, draws, substeps, seed)
    if not 0.0 < level < 1.0 or resamples < 2 or draws < 3:
        raise InputError(
            f"Cannot make bands of {level:g} from {draws} draws and {resamples} samples of each; "
            "give a level between 0 and 1, at least 3 draws and 2 samples."
        )
    mode = mode or default_mode(result)
    coefficients = coefficients_of(result, draws, seed)
    rng = np.random.default_rng(seed)
    ends = [0.5 - level / 2, 0.5 + level / 2]
    intervals: list[dict[str, Any]] = []
    for k in range(len(test.times) - 1):
        until = test.times[k + 1 : k + 2]
        clouds = moved(
            result, coefficients, test, k, until, mode=mode, substeps=substeps, seed=seed + k
        )[:, 0]
        mean, others = clouds[0], clouds[1:]
        others = others[np.all(np.isfinite(others), axis=(1, 2))]
        weights = test.weights[k], test.weights[k + 1]
        seen = test.particles[k + 1]
        found = _sampled_quantiles(others, *weights, resamples, rng)
        low, high = np.quantile(found, ends, axis=(0, 1))
        within = found.var(axis=1, ddof=1).mean(axis=0)
        between = np.maximum(found.mean(axis=1).var(axis=0, ddof=1) - within / resamples, 0.0)
        observed = _quantiles(seen, weights[1])
        quantiles = [
            {
                "feature": test.features[f],
                "probability": probability,
                "observed": float(observed[p, f]),
                "low": float(low[p, f]),
                "high": float(high[p, f]),
                "epistemic_sd": float(np.sqrt(between[p, f])),
                "aleatoric_sd": float(np.sqrt(within[p, f])),
                "inside": bool(low[p, f] <= observed[p, f] <= high[p, f]),
            }
            for f in range(test.dimension)
            for p, probability in enumerate(_PROBABILITIES)
        ]
        distances = _distances(mean, others, seen, weights, rng)
        bottom, top = np.quantile(distances[1:], ends)
        intervals.append(
            {
                "time": float(until[0]),
                "quantiles": quantiles,
                "w1": {
                    "observed": float(distances[0]),
                    "low": float(bottom),
                    "high": float(top),
                    "inside": bool(bottom <= distances[0] <= top),
                },
            }
        )
    inside = [each["inside"] for row in intervals for each in row["quantiles"]]
    return {
        "level": level,
        "intervals": intervals,
        "coverage": float(np.mean(inside)),
        "w1_coverage": float(np.mean([row["w1"]["inside"] for row in intervals])),
    }


def bands_table(bands: dict[str, Any]) -> str:
    """Medians and W1 of each interval with their bands, and how many of all bands hold, as text."""
    head = ("time", 10), ("quantity", 16), ("observed", 10), ("band", 21)
    parts = ("energy ±", 9), ("chance ±", 9)
    lines = [" ".join(f"{name:>{width}}" for name, width in (*head, *parts))]
    for row in bands["intervals"]:
        for each in row["quantiles"]:
            if each["probability"] == 0.5:
                lines.append(
                    f"{row['time']:>10.4g} {'median ' + each['feature'][:9]:>16} "
                    f"{_cells(each)} {each['epistemic_sd']:>9.3g} {each['aleatoric_sd']:>9.3g}"
                )
        lines.append(f"{row['time']:>10.4g} {'W1':>16} {_cells(row['w1'])}")
    count = sum(len(row["quantiles"]) for row in bands["intervals"])
    lines.append(
        f"{bands['level']:.0%} bands hold {bands['coverage']:.0%} of {count} quantiles and "
        f"{bands['w1_coverage']:.0%} of {len(bands['intervals'])} distances W1."
    )
    return "\n".join(lines)


def _cells(each: dict[str, Any]) -> str:
    mark = " " if each["inside"] else "!"
    band = f"{each['low']:.4g} to {each['high']:.4g}"
    return f"{each['observed']:>10.4g} {band:>20}{mark}"


def _quantiles(
    cloud: Float[np.ndarray, "n d"], weight: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "p d"]:
    if np.ptp(weight) < 1e-9 / len(weight):
        return np.asarray(np.quantile(cloud, _PROBABILITIES, axis=0))
    return np.stack(
        [
            np.quantile(column, _PROBABILITIES, weights=weight, method="inverted_cdf")
            for column in cloud.T
        ],
        axis=1,
    )


def _sampled_quantiles(
    clouds: Float[np.ndarray, "draw n d"],
    before: Float[np.ndarray, " n"],
    after: Float[np.ndarray, " m"],
    resamples: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "draw resample p d"]:
    """Quantiles of samples as many as the two snapshots' sampling errors together are worth."""
    size = max(2, round(1.0 / (before @ before + after @ after)))
    rows = rng.choice(len(before), size=(len(clouds), resamples, size), p=before)
    return np.stack(
        [
            np.moveaxis(np.quantile(cloud[each], _PROBABILITIES, axis=1), 0, 1)
            for cloud, each in zip(clouds, rows, strict=True)
        ]
    )


def _distances(
    mean: Float[np.ndarray, "n d"],
    others: Float[np.ndarray, "draw n d"],
    seen: Float[np.ndarray, "m d"],
    weights: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> Float[np.ndarray, " draw_and_seen"]:
    """W1 of what was seen to half of the forecast, then of the other half under each draw."""
    before, after = weights
    found = []
    for cloud in [None, *others]:
        first, second = np.array_split(rng.permutation(len(mean)), 2)
        size = min(len(second), len(seen))
        if cloud is None:
            sample = rng.permutation(len(seen))[:size]
            other, share = seen[sample], after[sample]
        else:
            other, share = cloud[second[:size]], before[second[:size]]
        found.append(wasserstein(mean[first], other, before[first], share))
    return np.array(found)
