"""A whole population, in memory or not: sums over parts that are read where they are added up.

Whatever a fit needs of all particles is a sum, and only sums and a few rows travel. What it needs
of single particles (their influence, the paths that correct a quadrature) is asked of some of them,
which are the same wherever the parts are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from bayesjko.models.bases import Basis
from bayesjko.models.blocks import evenly
from bayesjko.models.data import Snapshots, Standardisation
from bayesjko.models.energies import Field, LinearEnergy, field_of
from bayesjko.models.likelihoods.weak import WeakSums, weak_sums
from bayesjko.models.precision import wide

__all__ = [
    "Facts",
    "InMemory",
    "Part",
    "Reduce",
    "Spread",
    "Standard",
    "Whole",
    "facts_of",
    "in_turn",
    "taken",
]

Part = Callable[[], tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]]]
"""Reads some rows of a snapshot and their weights."""


@runtime_checkable
class Reduce(Protocol):
    """The sum of what is made of each item, the work done anywhere."""

    def __call__(self, work: Callable[[Any], Any], items: Sequence[Any]) -> Any:
        """Σ work(item); there is at least one."""


def in_turn(work: Callable[[Any], Any], items: Sequence[Any]) -> Any:
    """One item after the other, here; neighbours are added first, as in a tree."""
    waiting: list[tuple[int, Any]] = []
    for item in items:
        height, total = 0, work(item)
        while waiting and waiting[-1][0] == height:
            total = waiting.pop()[1] + total
            height += 1
        waiting.append((height, total))
    total = waiting.pop()[1]
    while waiting:
        total = waiting.pop()[1] + total
    return total


@dataclass(frozen=True, eq=False)
class InMemory:
    """A part that is there already."""

    points: Float[np.ndarray, "n d"]
    weight: Float[np.ndarray, " n"]

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        """Its rows and their weights."""
        return self.points, self.weight


@dataclass(frozen=True, eq=False)
class Spread:
    """Means and squared deviations from them, which add without cancellation.

    Chan, Golub and LeVeque, The American Statistician 37, 1983.

    Attributes:
        weight: Σw.
        mean: Σwv/Σw.
        square: Σw(v − mean)².
    """

    weight: float
    mean: Float[np.ndarray, " c"]
    square: Float[np.ndarray, " c"]

    @classmethod
    def of(cls, values: Float[np.ndarray, "n c"], weight: Float[np.ndarray, " n"]) -> Spread:
        """Of weighted rows."""
        total = float(weight.sum())
        mean = weight @ values / (total or 1.0)
        return cls(total, mean, weight @ (values - mean) ** 2)

    def __add__(self, other: Spread) -> Spread:
        weight = self.weight + other.weight
        step, share = other.mean - self.mean, other.weight / (weight or 1.0)
        square = self.square + other.square + step**2 * (self.weight * share)
        return Spread(weight, self.mean + step * share, square)


@dataclass(frozen=True, eq=False)
class Facts:
    """What must be known of a snapshot before anything else.

    Attributes:
        spread: of its features, by weight.
        square: Σw².
        least: smallest weight.
        low: smallest value of each feature.
        high: largest.
        digests: SHA-256 of each part, in hexadecimal.
    """

    spread: Spread
    square: float
    least: float
    low: Float[np.ndarray, " d"]
    high: Float[np.ndarray, " d"]
    digests: tuple[str, ...]

    @property
    def effective_size(self) -> float:
        """Kish's (Σw)²/Σw²."""
        return self.spread.weight**2 / (self.square or np.inf)

    def __add__(self, other: Facts) -> Facts:
        return Facts(
            self.spread + other.spread,
            self.square + other.square,
            min(self.least, other.least),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.digests + other.digests,
        )


def facts_of(part: Part) -> Facts:
    """Those of one part."""
    points, weight = part()
    with np.errstate(all="ignore"):  # values that are not finite are told when all are known
        spread = Spread.of(points, weight)
    return Facts(
        spread,
        float(weight @ weight),
        float(weight.min()),
        points.min(axis=0),
        points.max(axis=0),
        (hashlib.sha256(points.tobytes() + weight.tobytes()).hexdigest(),),
    )


@dataclass(frozen=True, eq=False)
class Whole:
    """All particles of all snapshots.

    Attributes:
        times: of the snapshots, in standard units.
        features: their names.
        parts: of each snapshot, in standard units, the weights of all its parts summing to one.
        sizes: how many rows each part has.
        effective_sizes: Kish's, of each snapshot.
        reduce: how sums over parts are made.
    """

    times: Float[np.ndarray, " T"]
    features: tuple[str, ...]
    parts: tuple[tuple[Part, ...], ...]
    sizes: tuple[tuple[int, ...], ...]
    effective_sizes: Float[np.ndarray, " T"]
    reduce: Reduce

    @classmethod
    def of(cls, snapshots: Snapshots) -> Whole:
        """Snapshots in memory, in standard units."""
        pairs = zip(snapshots.particles, snapshots.weights, strict=True)
        return cls(
            snapshots.times,
            snapshots.features,
            tuple((InMemory(cloud, weight),) for cloud, weight in pairs),
            tuple((count,) for count in snapshots.counts),
            snapshots.effective_sizes,
            in_turn,
        )

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of particles in each snapshot."""
        return tuple(sum(sizes) for sizes in self.sizes)

    def rows(
        self, index: int, rows: Int[np.ndarray, " r"]
    ) -> tuple[Float[np.ndarray, "r d"], Float[np.ndarray, " r"]]:
        """Some rows of a snapshot, in the order asked for, with their weights."""
        return taken(self.reduce, self.of_snapshot(index), rows)

    def thinned(self, most: int) -> Snapshots:
        """At most so many particles of each snapshot, evenly spaced among its rows."""
        clouds, weights = [], []
        for index, count in enumerate(self.counts):
            cloud, weight = self.rows(index, evenly(count, most))
            clouds.append(cloud)
            weights.append(weight)
        return Snapshots(self.times, tuple(clouds), tuple(weights), self.features)

    def drawn(self, rows: Int[np.ndarray, " r"]) -> Float[np.ndarray, "r d"]:
        """Some rows of all snapshots one after the other, in the order asked for."""
        every = [pair for index in range(len(self.parts)) for pair in self.of_snapshot(index)]
        return taken(self.reduce, every, rows)[0]

    def weak_sums(self, energy: LinearEnergy, tests: Basis) -> list[WeakSums]:
        """Averages of the tests and of their generator's design over each snapshot."""
        with wide():
            fields = [self.field(energy.at(time), index) for index, time in enumerate(self.times)]
        return [
            self.reduce(partial(_weak_sums, field, tests), parts)
            for field, parts in zip(fields, self.parts, strict=True)
        ]

    def field(self, energy: LinearEnergy, index: int) -> Field:
        """The energy's first variation around a snapshot."""
        if energy.interaction is None:
            dimension = len(self.features)
            return field_of(energy, np.zeros((1, dimension)), np.ones(1))
        (part,) = self.parts[index]  # an interaction is felt from all of a cloud, in memory
        return field_of(energy, *part())

    def of_snapshot(self, index: int) -> list[tuple[Part, int]]:
        """The parts of a snapshot, with their numbers of rows."""
        return list(zip(self.parts[index], self.sizes[index], strict=True))


def taken(
    reduce: Reduce, parts: Sequence[tuple[Part, int]], rows: Int[np.ndarray, " r"]
) -> tuple[Float[np.ndarray, "r d"], Float[np.ndarray, " r"]]:
    """Some rows of parts one after the other, in the order asked for, with their weights."""
    ends = np.cumsum([size for _, size in parts])
    owner = np.searchsorted(ends, rows, side="right")
    items = []
    for number, (part, size) in enumerate(parts):
        where = np.flatnonzero(owner == number)
        if len(where):
            items.append((part, rows[where] - (ends[number] - size), where))
    found = reduce(_take, items)
    order = np.argsort(found.where)
    return found.points[order], found.weight[order]


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows with the places they were asked for in; they add by being put together."""

    where: np.ndarray
    points: np.ndarray
    weight: np.ndarray

    def __add__(self, other: _Rows) -> _Rows:
        pairs = (
            (self.where, other.where),
            (self.points, other.points),
            (self.weight, other.weight),
        )
        return _Rows(*map(np.concatenate, pairs))


def _take(item: tuple[Part, np.ndarray, np.ndarray]) -> _Rows:
    part, rows, where = item
    points, weight = part()
    return _Rows(where, points[rows], weight[rows])


def _weak_sums(field: Any, tests: Basis, part: Part) -> WeakSums:
    return weak_sums(field, tests, *part())


@dataclass(frozen=True, eq=False)
class Standard:
    """A part in standard units, its weights divided by those of its whole snapshot.

    Attributes:
        part: in the user's units.
        standardisation: the change of units.
        total: of the snapshot's weights.
    """

    part: Part
    standardisation: Standardisation
    total: float

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        """Its rows and their weights."""
        points, weight = self.part()
        return self.standardisation.points(points), weight / self.total
