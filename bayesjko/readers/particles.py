"""A long table of particles, the form every input passes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from bayesjko.models.data import Snapshots
from bayesjko.models.errors import SnapshotError
from bayesjko.readers.source import listing, reading

__all__ = ["Particles", "as_numbers"]


@dataclass(frozen=True)
class Particles:
    """One row a particle, in any order, before it is cut into snapshots.

    Attributes:
        source: what messages call the input.
        positions: where each particle was.
        times: when it was seen.
        weights: how much it counts; None for all the same.
        features: one name a coordinate.
        notes: how the input was read.
        paired: the rows of every time are the same particles in the same order.
        truth: what a simulation was made with.
    """

    source: str
    positions: Float[np.ndarray, "n d"]
    times: Float[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"] | None
    features: tuple[str, ...]
    notes: tuple[str, ...] = ()
    paired: bool = False
    truth: Mapping[str, Any] | None = None

    def snapshots(self) -> Snapshots:
        """One snapshot a distinct time, earliest first, rows within it in their order.

        Raises:
            SnapshotError: they are no usable snapshots.
        """
        self._check()
        times, counts = np.unique(self.times, return_counts=True)
        if len(self.times) > 2 and len(times) == len(self.times):
            raise SnapshotError(
                f"In {self.source} all {len(times)} particles have different times, so there are "
                "no snapshots; name the column that says which snapshot a particle is of."
            )
        cuts = np.cumsum(counts)[:-1]
        columns = [self.positions] + ([] if self.weights is None else [self.weights])
        if np.any(np.diff(self.times) < 0):
            order = np.argsort(self.times, kind="stable")
            columns = [column[order] for column in columns]
        positions, *weights = (tuple(np.split(column, cuts)) for column in columns)
        try:
            snapshots = Snapshots(
                times=times,
                particles=positions,
                weights=weights[0] if weights else (),
                features=self.features,
                notes=self.notes,
                paired=self.paired,
                truth=self.truth,
            )
        except SnapshotError as error:
            raise SnapshotError(f"In {self.source}: {error}") from error
        if np.allclose(snapshots.effective_sizes, snapshots.counts):
            return snapshots
        sizes = listing([f"{size:.0f}" for size in snapshots.effective_sizes])
        note = f"Particles have weights; the snapshots' effective sizes are {sizes}."
        return replace(snapshots, notes=(*self.notes, note))

    def _check(self) -> None:
        """What can be told of the rows only while they are in the user's order."""
        bad = ~np.isfinite(self.positions)
        if bad.any():
            row, column = np.unravel_index(int(bad.argmax()), bad.shape)
            raise SnapshotError(
                f"{int(bad.sum())} values of {self.source} are NaN or infinite, the first in row "
                f"{row + 1}, feature {self.features[column]!r}; drop or impute them."
            )


def as_numbers(values: Any, name: str, source: str) -> Float[np.ndarray, "..."]:
    """An array of float64 from whatever holds real numbers.

    Raises:
        SnapshotError: it holds something else, or rows of different lengths.
    """
    with reading(f"{name} of {source}", "numbers", "give numbers in rows of the same length"):
        array = np.asarray(values.toarray() if hasattr(values, "toarray") else values)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
    if array.dtype.kind not in "fiub":
        raise SnapshotError(
            f"{name} of {source} holds {array.dtype} values; particles need real numbers."
        )
    return array.astype(np.float64, copy=False)


def features_note(read: tuple[str, ...], left: tuple[str, ...]) -> str:
    """Which features were read and what was left out, in a sentence."""
    note = f"Features: {listing(read)}"
    return f"{note}; left out: {listing(left)}." if left else f"{note}."
