"""Where each particle ends: the probability of each of a few fates, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from bayesjko.forecast import Mode, forecast
from bayesjko.models.errors import InputError
from bayesjko.result import Result

__all__ = ["Fates", "fate_probabilities"]


@dataclass(frozen=True, eq=False)
class Fates:
    """How probable each fate is for each particle.

    Attributes:
        names: of the fates.
        mean: over the posterior's draws.
        low: where the central interval over the draws starts: what is not known of the energy.
        high: where it ends.
        level: how much of the posterior it holds.
    """

    names: tuple[str, ...]
    mean: Float[np.ndarray, "n fate"]
    low: Float[np.ndarray, "n fate"]
    high: Float[np.ndarray, "n fate"]
    level: float


def fate_probabilities(
    result: Result,
    cells: Float[np.ndarray, "n d"],
    targets: Mapping[str, ArrayLike],
    *,
    start_time: float | None = None,
    horizon: float | None = None,
    copies: int = 20,
    draws: int = 50,
    level: float = 0.9,
    mode: Mode | None = None,
    substeps: int = 20,
    seed: int = 0,
) -> Fates:
    """Follow copies of each particle under draws of the energy to the target they end nearest to.

    Under one draw the probability is a share of the copies, which differ by the noise of the motion
    alone; the interval is over the draws. With few copies it also holds the copies' own noise.

    Args:
        result: of a fit.
        cells: where the particles are, in the user's units.
        targets: one point for each fate, such as the bottom of a basin.
        start_time: when they are there; the last snapshot's time if None.
        horizon: for how long they are followed; as long as the snapshots span if None.
        copies: of each particle.
        draws: of the energy.
        level: how much of the posterior an interval holds.
        mode: how particles are moved, as of `forecast`.
        substeps: of the stochastic equation, per sampling interval.
        seed: of draws and noise.

    Raises:
        InputError: there are fewer than two targets, or one is not a point of the features.

    Examples:
        >>> import bayesjko
        >>> cells = bayesjko.simulate("quadratic", particles=500, snapshots=3, tau=0.1, paired=True)
        >>> result = bayesjko.fit(cells, potential="poly:2")
        >>> ends = {"left": [-1.0, 0.0], "right": [1.0, 0.0]}
        >>> fates = bayesjko.fate_probabilities(result, np.array([[-3.0, 0.0]]), ends, draws=20)
        >>> fates.names, fates.mean.round(1)
        (('left', 'right'), array([[1., 0.]]))
    """
    goals = _points(result, targets)
    if copies < 1 or not 0.0 < level < 1.0:
        raise InputError(
            f"Cannot follow {copies} copies for an interval of {level:g}; give at least 1 copy and "
            "a level between 0 and 1."
        )
    times = result.snapshots.times
    found = forecast(
        result,
        start=np.repeat(np.asarray(cells, dtype=np.float64), copies, axis=0),
        start_time=start_time,
        horizon=float(times[-1] - times[0]) if horizon is None else horizon,
        mode=mode,
        substeps=substeps,
        draws=draws,
        seed=seed,
    )
    ends = found.trajectories[:, -1]
    nearest = np.stack([np.argmin(cdist(cloud, goals), axis=1) for cloud in ends])
    chosen = nearest.reshape(len(ends), len(cells), copies, 1) == np.arange(len(goals))
    share = chosen.mean(axis=2)
    low, high = np.quantile(share, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return Fates(tuple(targets), share.mean(axis=0), low, high, level)


def _points(result: Result, targets: Mapping[str, ArrayLike]) -> Float[np.ndarray, "fate d"]:
    features = result.snapshots.features
    if len(targets) < 2:
        raise InputError(
            f"There are {len(targets)} fates; give at least two targets to tell apart."
        )
    goals = []
    for name, target in targets.items():
        point = np.asarray(target, dtype=np.float64)
        if point.shape != (len(features),) or not np.all(np.isfinite(point)):
            raise InputError(
                f"The target of {name!r} must be {len(features)} finite numbers, one a feature: "
                f"{', '.join(features)}."
            )
        goals.append(point)
    return np.stack(goals)
