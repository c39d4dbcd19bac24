"""Intervals of draws."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

__all__ = ["shortest_interval"]

_EDGE = 0.01  # share of the draws below which a strength of zero is as good as reached


def shortest_interval(
    draws: Float[np.ndarray, " draws"], level: float = 0.9
) -> tuple[float, float]:
    """The shortest interval that holds a share of the draws of a strength, such as β.

    A strength that is known not to be negative has its interval begin at zero where the draws say
    nothing against zero; a central interval would exclude it whatever the data.

    Args:
        draws: of the strength.
        level: share of them.
    """
    ordered = np.sort(draws)
    count = min(max(int(np.ceil(level * len(ordered))), 1), len(ordered))
    widths = ordered[count - 1 :] - ordered[: len(ordered) - count + 1]
    first = int(np.argmin(widths))
    low, high = float(ordered[first]), float(ordered[first + count - 1])
    if ordered[0] >= 0.0 and first <= _EDGE * len(ordered):
        low = 0.0
    return low, high
