"""Snapshots of an unpaired population, and couplings between consecutive ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from bayesjko.models.errors import SnapshotError

__all__ = ["Couplings", "SnapshotError", "Snapshots", "Standardisation", "check_sizes"]

_HUGE = 1e100  # its square and cube are finite
_NO_TIME = 1e-13  # of the longest interval: rounding


@dataclass(frozen=True, eq=False)
class Snapshots:
    """A population seen at a few times as clouds of weighted, unpaired particles.

    Attributes:
        times: when each snapshot was taken, strictly increasing, in the user's own unit.
        particles: one cloud a snapshot; counts may differ, the dimension may not.
        weights: one weight a particle, each snapshot's summing to one; equal if not given.
        features: one name a coordinate.
        notes: how the input was read, in sentences for the summary.
        paired: row i is the same particle in every snapshot.
        truth: what a simulation was made with (JSON types), if this is one.

    Raises:
        SnapshotError: the snapshots cannot be used; the message says why and what to do.

    Examples:
        >>> cells = Snapshots([0.0, 1.5], (np.zeros((2, 1)), np.ones((3, 1))), features=("height",))
        >>> cells.counts, cells.durations
        ((2, 3), array([1.5]))
        >>> Snapshots([0.0], (np.zeros((2, 1)),))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        bayesjko.models.errors.SnapshotError: Found 1 snapshot(s); at least two different ...
    """

    times: Float[np.ndarray, " T"]
    particles: tuple[Float[np.ndarray, "_ d"], ...]
    weights: tuple[Float[np.ndarray, " _"], ...] = ()
    features: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    paired: bool = False
    truth: Mapping[str, Any] | None = field(default=None)

    def __post_init__(self) -> None:
        clouds = tuple(np.ascontiguousarray(cloud, dtype=np.float64) for cloud in self.particles)
        times = np.asarray(self.times, dtype=np.float64)
        weights = self.weights or tuple(np.ones(len(cloud)) for cloud in clouds)
        _check_times(times, len(clouds))
        _check_clouds(times, clouds)
        _check_weights(times, clouds, weights)
        features = self.features or tuple(f"x{i + 1}" for i in range(clouds[0].shape[1]))
        if len(features) != clouds[0].shape[1]:
            raise SnapshotError(
                f"{len(features)} feature names for particles of dimension {clouds[0].shape[1]}; "
                "give one name a feature."
            )
        _check_features(clouds, features)
        if self.paired and len({len(cloud) for cloud in clouds}) > 1:
            raise SnapshotError(
                "Paired snapshots need the same number of particles at every time; "
                f"the counts are {[len(cloud) for cloud in clouds]}."
            )
        normalised = tuple(_normalise(np.asarray(w, dtype=np.float64)) for w in weights)
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "particles", clouds)
        object.__setattr__(self, "weights", normalised)
        object.__setattr__(self, "features", tuple(map(str, features)))

    @property
    def dimension(self) -> int:
        """Number of features d."""
        return int(self.particles[0].shape[1])

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of particles in each snapshot."""
        return tuple(len(cloud) for cloud in self.particles)

    @property
    def durations(self) -> Float[np.ndarray, " intervals"]:
        """τ_k = t_{k+1} − t_k, in the user's own unit."""
        return np.diff(self.times)

    @property
    def effective_sizes(self) -> Float[np.ndarray, " T"]:
        """Kish's (Σw)²/Σw² of each snapshot: its count when the weights are equal."""
        return np.array([1.0 / np.sum(w**2) for w in self.weights])

    def select(self, keep: Sequence[int]) -> Snapshots:
        """The snapshots at these positions, in time order."""
        order = sorted(keep)
        return replace(
            self,
            times=self.times[order],
            particles=tuple(self.particles[k] for k in order),
            weights=tuple(self.weights[k] for k in order),
        )

    def split(self, holdout: float, seed: int) -> tuple[Snapshots, Snapshots]:
        """A random fraction of every snapshot's particles held out: (train, test).

        Paired snapshots keep their pairing: the same rows go everywhere.

        Raises:
            SnapshotError: a part would have fewer than two particles in a snapshot.

        Examples:
            >>> rng = np.random.default_rng(0)
            >>> cells = Snapshots([0.0, 1.0], (rng.normal(size=(10, 2)), rng.normal(size=(20, 2))))
            >>> train, test = cells.split(0.3, seed=0)
            >>> train.counts, test.counts
            ((7, 14), (3, 6))
        """
        if not 0.0 < holdout < 1.0:
            raise SnapshotError(
                f"The held-out fraction is {holdout}; give a number between 0 and 1."
            )
        rng = np.random.default_rng(seed)
        orders = [rng.permutation(n) for n in self.counts]
        if self.paired:
            orders = [orders[0]] * len(orders)
        tests = [np.sort(order[: round(holdout * len(order))]) for order in orders]
        trains = [np.sort(order[round(holdout * len(order)) :]) for order in orders]
        if min(map(len, tests + trains)) < 2:
            raise SnapshotError(
                f"Holding out {holdout:.0%} of the smallest snapshot ({min(self.counts)} particles)"
                " leaves a part with fewer than two particles; choose another fraction."
            )
        return self._rows(trains), self._rows(tests)

    def _rows(self, rows: Sequence[np.ndarray]) -> Snapshots:
        return replace(
            self,
            particles=tuple(x[r] for x, r in zip(self.particles, rows, strict=True)),
            weights=tuple(w[r] for w, r in zip(self.weights, rows, strict=True)),
        )

    def digest(self) -> str:
        """SHA-256 of times, particles, weights, feature names and pairing, in hexadecimal."""
        sha = hashlib.sha256(json.dumps([self.features, self.paired]).encode())
        for block in (self.times, *self.particles, *self.weights):
            sha.update(np.ascontiguousarray(block).tobytes())
        return sha.hexdigest()


@dataclass(frozen=True)
class Standardisation:
    """The affine change of units in which everything is inferred.

    x̃ = (x − mean)/length with one length for all features, t̃ = t/duration: a gradient flow
    with isotropic noise stays one (per-feature scaling would not), with V = length²/duration·Ṽ
    and β = length²/duration·β̃.

    Attributes:
        mean: the population's mean over all snapshots.
        length: the root mean square distance of a feature from its mean.
        duration: the mean sampling interval.
    """

    mean: Float[np.ndarray, " d"]
    length: float
    duration: float

    @classmethod
    def of(cls, snapshots: Snapshots) -> Standardisation:
        """Fitted to snapshots, each of them counting the same.

        Raises:
            SnapshotError: their numbers are too large, too small or too close to compute with.
        """
        particles = np.concatenate(snapshots.particles)
        low, high = particles.min(axis=0), particles.max(axis=0)
        check_sizes(snapshots.times, snapshots.features, low, high)
        mean = np.mean(
            [w @ x for w, x in zip(snapshots.weights, snapshots.particles, strict=True)], axis=0
        )
        square = np.mean(
            [
                w @ (x - mean) ** 2
                for w, x in zip(snapshots.weights, snapshots.particles, strict=True)
            ]
        )
        return cls(mean, float(np.sqrt(square)), float(np.mean(snapshots.durations)))

    @property
    def energy(self) -> float:
        """One standard unit of V, W or β in the user's units: length²/duration."""
        return self.length**2 / self.duration

    @property
    def velocity(self) -> float:
        """One standard unit of a force in the user's units: length/duration."""
        return self.length / self.duration

    def points(self, x: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n d"]:
        """Points in the user's units to standard ones."""
        return (np.asarray(x, dtype=np.float64) - self.mean) / self.length

    def restore(self, x: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n d"]:
        """Standard points to the user's units."""
        return np.asarray(x, dtype=np.float64) * self.length + self.mean

    def apply(self, snapshots: Snapshots) -> Snapshots:
        """The same snapshots in standard units."""
        return replace(
            snapshots,
            times=snapshots.times / self.duration,
            particles=tuple(self.points(x) for x in snapshots.particles),
        )


class Couplings(eqx.Module):
    """The coupled pairs of one interval between consecutive snapshots.

    Attributes:
        source: where each pair starts (x).
        target: where it ends (y).
        weight: how much mass it carries; sums to one.
        duration: τ, the interval's length.
        effective_count: n, how many observations the interval is worth.
        source_index: row of each pair's source in its snapshot.
        target_index: row of each pair's target in its snapshot.
        score: ∇log ρ̂ where the scheme takes the force, for an energy with an internal term.
        middle: time in the middle of the interval, at which an energy that changes is taken.
    """

    source: Float[Array | np.ndarray, "m d"]
    target: Float[Array | np.ndarray, "m d"]
    weight: Float[Array | np.ndarray, " m"]
    duration: float
    effective_count: float
    source_index: np.ndarray
    target_index: np.ndarray
    score: Float[Array | np.ndarray, "m d"] | None = None
    middle: float = 0.0


def middles(times: Float[np.ndarray, " T"]) -> Float[np.ndarray, " intervals"]:
    """The middle of each interval, where an energy is meant to be what it is for the interval."""
    return 0.5 * (times[:-1] + times[1:])


def _check_times(times: np.ndarray, clouds: int) -> None:
    if times.ndim != 1 or len(times) != clouds:
        raise SnapshotError(
            f"{len(np.atleast_1d(times))} times for {clouds} snapshots; give one time each."
        )
    if clouds < 2:
        raise SnapshotError(
            f"Found {clouds} snapshot(s); at least two different times are needed to see movement."
        )
    if not np.all(np.isfinite(times)):
        raise SnapshotError(
            "A snapshot's time is missing or infinite; give every snapshot a finite time."
        )
    if not np.all(np.diff(times) > 0):
        raise SnapshotError(
            f"The times {[float(t) for t in times]} do not increase; "
            "sort the snapshots and merge equal times."
        )


def _check_clouds(times: np.ndarray, clouds: Sequence[np.ndarray]) -> None:
    for t, cloud in zip(times, clouds, strict=True):
        if cloud.ndim != 2 or cloud.shape[1] == 0:
            raise SnapshotError(
                f"The snapshot at time {t:g} has shape {cloud.shape}; "
                "it must be (particles, features)."
            )
        if cloud.shape[1] != clouds[0].shape[1]:
            raise SnapshotError(
                f"The snapshot at time {t:g} has {cloud.shape[1]} features and the one at time "
                f"{times[0]:g} has {clouds[0].shape[1]}; all snapshots need the same features."
            )
        if len(cloud) < 2:
            raise SnapshotError(
                f"The snapshot at time {t:g} has {len(cloud)} particle(s) and at least two are "
                "needed; drop this time or merge it with another."
            )
        bad = ~np.isfinite(cloud)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise SnapshotError(
                f"{int(bad.sum())} values are NaN or infinite, the first in the snapshot at time "
                f"{t:g}, row {row + 1}, feature {column + 1}; drop or impute them."
            )


def _check_weights(
    times: np.ndarray, clouds: Sequence[np.ndarray], weights: Sequence[np.ndarray]
) -> None:
    if len(weights) != len(clouds):
        raise SnapshotError(
            f"{len(weights)} sets of weights for {len(clouds)} snapshots; give one each."
        )
    for t, cloud, weight in zip(times, clouds, weights, strict=True):
        weight = np.asarray(weight, dtype=np.float64)
        if weight.shape != (len(cloud),):
            raise SnapshotError(
                f"The snapshot at time {t:g} has {len(cloud)} particles and weights of shape "
                f"{weight.shape}; give one weight a particle."
            )
        with np.errstate(over="ignore"):
            total = weight.sum()
        if not np.isfinite(total) or np.any(weight < 0) or np.count_nonzero(weight) < 2:
            raise SnapshotError(
                f"The weights of the snapshot at time {t:g} must be finite, not negative, and "
                "positive for at least two particles."
            )


def _normalise(weight: np.ndarray) -> np.ndarray:
    """Summing to one; one that does already stays bit for bit, so that copies keep their digest."""
    total = weight.sum()
    return weight if abs(total - 1.0) < 1e-12 else weight / total


def check_sizes(
    times: Float[np.ndarray, " T"],
    features: Sequence[str],
    low: Float[np.ndarray, " d"],
    high: Float[np.ndarray, " d"],
) -> None:
    """Refuses what can be held and not computed with: squares and ratios must be numbers too.

    Args:
        times: of the snapshots.
        features: their names.
        low: smallest value of each feature.
        high: largest.

    Raises:
        SnapshotError: times or features are too large, too small or too close.
    """
    durations = np.diff(times)
    _check_size("The times", times[0], times[-1])
    if durations.min() < _NO_TIME * durations.max():
        k = int(durations.argmin())
        raise SnapshotError(
            f"The snapshots at times {times[k]:g} and {times[k + 1]:g} are as good as simultaneous "
            "beside the others; merge them."
        )
    for name, a, b in zip(features, low, high, strict=True):
        _check_size(f"The values of feature {name!r}", a, b)


def _check_size(what: str, low: float, high: float) -> None:
    extent, spread = max(-low, high), high - low
    if not (extent < _HUGE and spread > 1.0 / _HUGE):
        size = f"reach {extent:g}" if extent >= _HUGE else f"differ by {spread:g} at most"
        raise SnapshotError(f"{what} {size}, too far from 1 to compute with; use another unit.")


def _check_features(clouds: Sequence[np.ndarray], features: Sequence[str]) -> None:
    low = np.min([cloud.min(axis=0) for cloud in clouds], axis=0)
    high = np.max([cloud.max(axis=0) for cloud in clouds], axis=0)
    constant = [name for name, a, b in zip(features, low, high, strict=True) if a == b]
    if constant:
        raise SnapshotError(
            f"Feature {constant[0]!r} has the same value for every particle; leave it out "
            "(choose the others with the option features)."
        )
