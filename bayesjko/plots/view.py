"""Which part of a result a picture shows: a plane, a few periods, a few particles, the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from scipy.spatial import KDTree

from bayesjko.models.data import Snapshots
from bayesjko.potentials import POTENTIALS
from bayesjko.result import Result

__all__ = ["Plane", "part_of", "period_name", "short", "shown", "taking_part", "thin", "truth_of"]

_NEIGHBOUR = 5  # which nearest particle tells how dense the data are


@dataclass(frozen=True, eq=False)
class Plane:
    """The first two features (the only one, in one dimension), the others held fixed.

    Attributes:
        labels: what its axes are called.
        low: where it starts.
        high: where it ends.
        centre: where the features that it does not show are held.
    """

    labels: tuple[str, ...]
    low: Float[np.ndarray, " k"]
    high: Float[np.ndarray, " k"]
    centre: Float[np.ndarray, " d"]

    @classmethod
    def around(
        cls,
        points: Float[np.ndarray, "n d"],
        labels: Sequence[str],
        centre: Float[np.ndarray, " d"],
    ) -> Plane:
        """The box of these points, but for the farthest 1 in 1,000 on each side."""
        k = min(2, points.shape[1])
        seen = points[:, :k]
        low, high = np.quantile(seen, [0.001, 0.999], axis=0)
        flat = high <= low  # all but a few have the same value
        low, high = np.where(flat, [seen.min(axis=0), seen.max(axis=0)], [low, high])
        margin = 0.04 * (high - low)
        return cls(tuple(short(name) for name in labels[:k]), low - margin, high + margin, centre)

    @classmethod
    def of(cls, result: Result) -> Plane:
        """That of all snapshots, the other features at the data's mean."""
        snapshots = result.snapshots
        return cls.around(
            np.concatenate(snapshots.particles), snapshots.features, result.standardisation.mean
        )

    @property
    def sides(self) -> Float[np.ndarray, " k"]:
        """Its extent along each axis."""
        return self.high - self.low

    @property
    def is_line(self) -> bool:
        """Whether there is but one feature."""
        return len(self.low) == 1

    @property
    def caveat(self) -> str:
        """What a title adds where there are features that the plane does not show."""
        rest = len(self.centre) - len(self.low)
        if not rest:
            return ""
        others = f"the other {rest} features" if rest > 1 else "the other feature"
        return f"\nplane of {' and '.join(self.labels)}, {others} held at the mean"

    def ticks(self, count: int) -> list[Float[np.ndarray, " count"]]:
        """So many equidistant coordinates along each axis, in the middle of cells."""
        middles = (np.arange(count) + 0.5) / count
        return [a + middles * (b - a) for a, b in zip(self.low, self.high, strict=True)]

    def grid(self, count: int) -> Float[np.ndarray, "n d"]:
        """Points at all combinations of ticks, the first feature varying fastest."""
        mesh = np.meshgrid(*self.ticks(count))
        points = np.tile(self.centre, (mesh[0].size, 1))
        points[:, : len(mesh)] = np.stack([axis.ravel() for axis in mesh], axis=1)
        return points

    def support(
        self, points: Float[np.ndarray, "n d"], data: Float[np.ndarray, "m d"]
    ) -> Float[np.ndarray, " n"]:
        """From 1 among the data to 0 far from them, as seen in the plane."""
        k = len(self.low)
        seen = data[:, :k] / self.sides
        tree = KDTree(seen)
        nearest = [min(_NEIGHBOUR, len(seen))]
        usual = np.quantile(tree.query(seen, nearest)[0], 0.95)
        distance = tree.query(points[:, :k] / self.sides, nearest)[0][:, 0]
        return np.clip(2.0 - distance / max(1.2 * usual, 0.02), 0.0, 1.0)

    def frame(self, axes: Axes) -> None:
        """Limits and one scale for both axes, unless one side is very much longer."""
        axes.set_xlim(self.low[0], self.high[0])
        if self.is_line:
            return
        axes.set_ylim(self.low[1], self.high[1])
        if 0.4 < self.sides[1] / self.sides[0] < 2.5:
            axes.set_aspect("equal", adjustable="box")


def truth_of(result: Result) -> Mapping[str, Any] | None:
    """The energy that the snapshots were simulated with, if they were and it is one of ours."""
    truth = result.snapshots.truth
    if truth is None or truth.get("dimension") != result.snapshots.dimension:
        return None
    known = {*POTENTIALS, "none"}
    if truth.get("potential") not in known or truth.get("interaction") not in known:
        return None
    return truth


def shown(count: int, most: int) -> list[int]:
    """All positions, or as many as there is room for, from the first to the last."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, most))})


def part_of(count: int, whole: int, what: str) -> str:
    """What a title adds where there was no room for all."""
    return "" if count == whole else f" ({count} of {whole} {what})"


def period_name(result: Result, period: int) -> str:
    """When an energy is in force."""
    times = result.snapshots.times
    if result.periods == 1:
        return f"time {times[0]:g} to {times[-1]:g}"
    return f"time {times[period]:g} to {times[period + 1]:g}"


def taking_part(result: Result, period: int, count: int) -> Float[np.ndarray, "n d"]:
    """About so many particles of a period's two snapshots; of all, if it is the only period."""
    snapshots = result.snapshots
    only = result.periods == 1
    told = range(len(snapshots.times)) if only else range(period, period + 2)
    return np.concatenate([thin(snapshots, k, count // len(told) + 1) for k in told])


def short(name: str, most: int = 28) -> str:
    """A name that fits on an axis."""
    return name if len(name) <= most else name[: most - 1] + "…"


def thin(snapshots: Snapshots, snapshot: int, count: int) -> Float[np.ndarray, "n d"]:
    """At most so many of a snapshot's particles, drawn by their weights if these differ."""
    cloud, weight = snapshots.particles[snapshot], snapshots.weights[snapshot]
    rng = np.random.default_rng(snapshot)
    if np.ptp(weight) < 1e-9 / len(weight):
        return cloud[np.sort(rng.permutation(len(cloud))[:count])]
    return cloud[rng.choice(len(cloud), min(count, len(cloud)), p=weight)]
