"""Differences of energy between two places, with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bayesjko.models.errors import InputError
from bayesjko.result import Result

__all__ = ["Barrier", "barrier"]


@dataclass(frozen=True)
class Barrier:
    """V(b) − V(a), in the user's units.

    Attributes:
        mean: over the posterior's draws.
        low: where their central interval starts.
        high: where it ends.
        level: how much of the posterior it holds.
    """

    mean: float
    low: float
    high: float
    level: float


def barrier(
    result: Result,
    a: ArrayLike,
    b: ArrayLike,
    level: float = 0.9,
    *,
    time: float | None = None,
) -> Barrier:
    """How much higher the potential is at b than at a.

    Where β is known to be the energy of the noise, exp(−difference/β) is how rare b is beside a at
    equilibrium. A basis says nothing of places that no particle has visited; the prior does there.

    Args:
        result: of a fit of an energy with a potential.
        a: one point, in the user's units.
        b: another.
        level: how much of the posterior the interval shall hold.
        time: of the snapshot whose period is meant; the last if None.

    Raises:
        InputError: a point is not one of the result's features or not finite, the level is not
            between 0 and 1, the energy has no potential, or no snapshot was taken then.

    Examples:
        Up the wall of V = |x|²/2, from its bottom to a distance of one:

        >>> import bayesjko
        >>> cells = bayesjko.simulate(
        ...     "quadratic", particles=1000, snapshots=3, tau=0.1, paired=True
        ... )
        >>> result = bayesjko.fit(cells, potential="poly:2")
        >>> height = bayesjko.barrier(result, [0.0, 0.0], [1.0, 0.0])
        >>> print(f"{height.mean:.1f}")
        0.5
        >>> height.low < 0.5 < height.high
        True
    """
    if not 0.0 < level < 1.0:
        raise InputError(f"The level is {level:g}; give a number between 0 and 1, such as 0.9.")
    draws = result.barrier(_point(result, a), _point(result, b), time)
    low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])
    return Barrier(float(draws.mean()), float(low), float(high), float(level))


def _point(result: Result, place: ArrayLike) -> np.ndarray:
    features = result.snapshots.features
    try:
        point = np.atleast_1d(np.asarray(place, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The point {place!r} is not made of numbers; give one a feature: {', '.join(features)}"
            "."
        ) from error
    if point.shape != (len(features),) or not np.all(np.isfinite(point)):
        raise InputError(
            f"The point {point.tolist()} must be {len(features)} finite numbers, one a feature: "
            f"{', '.join(features)}."
        )
    return point
