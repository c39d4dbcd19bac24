"""An energy over a plane in one period: what maps and curves are drawn from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayesjko.energy import Spread
from bayesjko.plots.view import Plane

__all__ = ["Layer", "span"]

_CELLS = 64  # along each side of a map
_STEPS = 200  # along a curve
_HIGHEST = 0.97  # share of the data at which heights count


@dataclass(frozen=True, eq=False)
class Layer:
    """A quantity at the points of `Layer.points`.

    Attributes:
        name: of the period; empty if there is but one.
        spread: of the quantity over the posterior's draws.
        truth: the quantity itself, where it is known.
        dots: data to lay on top.
    """

    name: str
    spread: Spread
    truth: Float[np.ndarray, " n"] | None
    dots: Float[np.ndarray, "m d"]

    @staticmethod
    def count(plane: Plane) -> int:
        """How many points there are along each axis."""
        return _STEPS if plane.is_line else _CELLS

    @staticmethod
    def points(plane: Plane) -> Float[np.ndarray, "n d"]:
        """Where the quantity is needed."""
        return plane.grid(Layer.count(plane))

    def at_data(self, plane: Plane, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
        """Values at the points that are nearest to the dots."""
        count = Layer.count(plane)
        cells = (self.dots[:, : len(plane.low)] - plane.low) / plane.sides * count
        cells = np.clip(cells.astype(int), 0, count - 1)
        return values.reshape((count,) * len(plane.low))[tuple(cells.T[::-1])]


def span(
    plane: Plane, shown: Iterable[tuple[Layer, Float[np.ndarray, " n"] | None]]
) -> tuple[float, float]:
    """From the lowest to the highest value at the data, but for the highest of them.

    A wall around the data may be of any height; it shall not take a whole picture for itself.
    """
    ends = [
        np.quantile(layer.at_data(plane, values), [0.0, _HIGHEST])
        for layer, values in shown
        if values is not None
    ]
    lowest, highest = np.transpose(ends)
    low, high = float(lowest.min()), float(highest.max())
    margin = 0.05 * (high - low) or 0.5 * abs(high) or 0.5
    return low, high + margin
