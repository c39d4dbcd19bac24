"""Forecasts of each snapshot from the one before, scored in few numbers: cheap enough to repeat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from bayesjko import Result, Snapshots
from bayesjko.evaluate.predicting import coefficients_of, moved
from bayesjko.forecast import default_mode
from bayesjko.inference.distances import bures_wasserstein, wasserstein

__all__ = ["at_the_mean", "one_step_scores"]

_LEVEL = 0.9


def one_step_scores(result: Result, test: Snapshots, *, draws: int, seed: int) -> dict[str, float]:
    """Means over the intervals of test snapshots that the fit has not seen.

    Args:
        result: of a fit to other particles at the same times.
        test: what is forecast, each snapshot from the one before.
        draws: of the energy, for the interval.
        seed: of draws and noise.

    Returns:
        `w1`, `w2` and `bw_uvp` (Bures–Wasserstein unexplained variance, in percent) of the
        posterior mean; `w1_low` and `w1_high` around 90% of the draws' W1; `still_w1` of nobody
        moving; and, where snapshots are samples of their own, `floor_w1` between the fitted and the
        test snapshot of one time.
    """
    coefficients = coefficients_of(result, draws, seed)
    rows = []
    for k in range(len(test.times) - 1):
        start, end = test.particles[k], test.particles[k + 1]
        weights = test.weights[k], test.weights[k + 1]
        until = test.times[k + 1 : k + 2]
        clouds = moved(
            result, coefficients, test, k, until, mode=default_mode(result), substeps=20,
            seed=seed + k,
        )[:, 0]  # fmt: skip
        each = [
            wasserstein(cloud, end, *weights) if np.all(np.isfinite(cloud)) else np.nan
            for cloud in clouds
        ]
        floor = np.nan
        if not test.paired:
            seen = result.snapshots
            floor = wasserstein(seen.particles[k + 1], end, seen.weights[k + 1], weights[1])
        rows.append(
            [
                wasserstein(clouds[0], end, *weights, order=2),
                _unexplained(clouds[0], end, *weights),
                wasserstein(start, end, *weights),
                floor,
                *each,
            ]
        )
    w2, uvp, still, floor, w1, *others = np.mean(rows, axis=0)
    numbers = {"w1": w1, "w2": w2, "bw_uvp": uvp, "still_w1": still, "floor_w1": floor}
    among = np.array(others)[np.isfinite(others)]
    if len(among):
        tail = 0.5 - _LEVEL / 2.0
        numbers["w1_low"], numbers["w1_high"] = np.quantile(among, [tail, 1.0 - tail])
    return {name: float(value) for name, value in numbers.items()}


def at_the_mean(result: Result) -> Result:
    """The posterior mean as the only draw."""
    posterior = replace(
        result.posterior,
        coefficients=result.posterior.mean[None, None],
        noise=None,
        log_likelihood=None,
        sample_stats={},
    )
    return replace(result, posterior=posterior)


def _unexplained(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    wx: Float[np.ndarray, " n"],
    wy: Float[np.ndarray, " m"],
) -> float:
    variance = float(wy @ np.sum((y - wy @ y) ** 2, axis=1))
    return 100.0 * bures_wasserstein(x, y, wx, wy) ** 2 / (0.5 * variance)
