"""Zarr and Parquet read in parts, for populations that memory does not hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from bayesjko.inference.whole import Part
from bayesjko.models.errors import SnapshotError
from bayesjko.readers.datasets import check_codecs
from bayesjko.readers.particles import features_note
from bayesjko.readers.selection import Selection
from bayesjko.readers.source import existing, reading, where

__all__ = ["ROWS", "Population", "open_population"]

ROWS = 2**16
"""Of a part at most: what a worker holds at a time."""


@dataclass(frozen=True, eq=False)
class Population:
    """Snapshots as parts of a file that whoever works on them reads.

    Attributes:
        times: of the snapshots, increasing, in the user's own unit.
        parts: of each snapshot, in the user's units.
        sizes: how many rows each part has.
        features: one name a coordinate.
        notes: how the file is read, in sentences for the summary.
        truth: what a simulation was made with, if this is one.
    """

    times: Float[np.ndarray, " T"]
    parts: tuple[tuple[Part, ...], ...]
    sizes: tuple[tuple[int, ...], ...]
    features: tuple[str, ...]
    notes: tuple[str, ...] = ()
    truth: Mapping[str, Any] | None = None


def open_population(
    path: str | Path,
    *,
    time: str | None = None,
    features: str | None = None,
    weight: str | None = None,
    rows: int = ROWS,
) -> Population:
    """A Zarr store as `write_snapshots` makes it, or a Parquet table with one row a particle.

    Rows of one snapshot have to follow each other, and times have to be numbers.

    Args:
        path: of the store or the table.
        time: name of the times; by default the only one that is called like a time.
        features: names or patterns, separated by commas; by default all.
        weight: name of the particles' weights; by default `w`, if there is one.
        rows: of a part at most.

    Raises:
        SnapshotError: it cannot be read so.
    """
    place, selection = Path(path).expanduser(), Selection(time, features, weight)
    if place.suffix.lower() == ".zarr":
        return _zarr(place, selection, rows)
    if place.suffix.lower() == ".parquet":
        return _parquet(place, selection, rows)
    raise SnapshotError(
        f"'{place}' cannot be read in parts: only .zarr and .parquet can; write it as one of them, "
        "or leave the scheduler out."
    )


@dataclass(frozen=True)
class ZarrRows:
    """Consecutive rows of the arrays of a Zarr store.

    Attributes:
        path: of the store.
        start: first row.
        stop: the row after the last.
        columns: of the positions; all if None.
        positions: name of their array.
        weight: name of the weights' array, if there is one.
    """

    path: str
    start: int
    stop: int
    columns: tuple[int, ...] | None
    positions: str
    weight: str | None

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions and weights."""
        import zarr

        store: Any = zarr.open_group(self.path, mode="r")
        points = np.asarray(store[self.positions][self.start : self.stop], np.float64)
        if self.columns is not None:
            points = np.ascontiguousarray(points[:, list(self.columns)])
        if self.weight is None:
            return points, np.ones(len(points))
        return points, np.asarray(store[self.weight][self.start : self.stop], np.float64)


@dataclass(frozen=True)
class ParquetRows:
    """Consecutive rows of a row group of a Parquet table.

    Attributes:
        path: of the table.
        group: which row group.
        start: first row in it.
        stop: the row after the last.
        features: columns of the positions.
        weight: column of the weights, if there is one.
    """

    path: str
    group: int
    start: int
    stop: int
    features: tuple[str, ...]
    weight: str | None

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions and weights."""
        from pyarrow import parquet

        names = [*self.features, *([] if self.weight is None else [self.weight])]
        table = parquet.ParquetFile(self.path).read_row_group(self.group, columns=names)
        table = table.slice(self.start, self.stop - self.start)
        columns = [np.asarray(table[name], np.float64) for name in names]
        points = np.stack(columns[: len(self.features)], axis=1)
        return points, np.ones(len(points)) if self.weight is None else columns[-1]


def _zarr(path: Path, selection: Selection, rows: int) -> Population:
    import zarr

    source = where(existing(path, folder=True))
    with reading(source, "Zarr"):
        check_codecs(path, source)
        store: Any = zarr.open_group(str(path), mode="r")
        names = sorted(name for name, _ in store.arrays())
        attributes = dict(store.attrs)
    if "x" not in names or store["x"].ndim != 2:
        raise SnapshotError(
            f"The {source} has no array x (particle, feature); write it with write_snapshots or "
            "bayesjko.simulate."
        )
    if attributes.get("paired"):
        raise SnapshotError(
            f"The particles in {source} are paired, and in parts only unpaired ones are read; "
            "leave the scheduler out."
        )
    time = selection.time_name([n for n in names if n not in ("x", "feature")], source)
    weight = selection.weight or ("w" if "w" in names else None)
    if weight is not None and weight not in names:
        raise SnapshotError(f"No weight {weight!r} in {source}; the arrays are {names}.")
    count, dimension = store["x"].shape
    with reading(source, "Zarr"):
        labels = _labels(store, names, dimension)
        pieces = (store[time][a : a + 2**20] for a in range(0, count, 2**20))
        runs = _runs(((piece, None) for piece in pieces), source, time)
    chosen = selection.feature_names(labels, source) if selection.features else labels
    columns = None if chosen == labels else tuple(labels.index(name) for name in chosen)

    def part(a: int, b: int, group: int | None) -> Part:
        return ZarrRows(str(path.resolve()), a, b, columns, "x", weight)

    truth = attributes.get("truth")
    return _population(
        runs, part, chosen, labels, rows, None if truth is None else json.loads(str(truth))
    )


def _labels(store: Any, names: list[str], dimension: int) -> list[str]:
    if "feature" in names and store["feature"].shape == (dimension,):
        return [str(name) for name in store["feature"][:]]
    return [f"x{i + 1}" for i in range(dimension)]


def _parquet(path: Path, selection: Selection, rows: int) -> Population:
    import pyarrow as pa
    from pyarrow import parquet

    source = where(existing(path))
    with reading(source, "Parquet"):
        file = parquet.ParquetFile(path)
        schema = file.schema_arrow
    names = list(schema.names)
    time, weight = selection.time_name(names, source), selection.weight_name(names, source)
    numbers = [
        name
        for name in names
        if pa.types.is_floating(schema.field(name).type)
        or pa.types.is_integer(schema.field(name).type)
    ]
    if time not in numbers:
        raise SnapshotError(
            f"The times {time!r} of {source} are no numbers, which they must be to be read in "
            "parts; write numbers, or leave the scheduler out."
        )
    labels = [name for name in numbers if name not in (time, weight)]
    chosen = selection.feature_names(labels, source) if selection.features else labels
    with reading(source, "Parquet"):
        pieces = (
            (np.asarray(file.read_row_group(g, columns=[time])[time], np.float64), g)
            for g in range(file.num_row_groups)
        )
        runs = _runs(pieces, source, time)

    def part(a: int, b: int, group: int | None) -> Part:
        assert group is not None
        return ParquetRows(str(path.resolve()), group, a, b, tuple(chosen), weight)

    return _population(runs, part, chosen, labels, rows, None)


_Run = tuple[float, int, int, int | None]  # time, first row, row after the last, row group


def _runs(pieces: Iterator[tuple[Any, int | None]], source: str, time: str) -> list[_Run]:
    """Stretches of rows of one time; rows are counted through unless pieces have a group."""
    runs: list[_Run] = []
    offset = 0
    for values, group in pieces:
        values = np.asarray(values, np.float64)
        if not np.all(np.isfinite(values)):
            raise SnapshotError(
                f"A time in {time!r} of {source} is missing or infinite; correct it or drop its "
                "row."
            )
        if group is not None:
            offset = 0
        cuts = np.flatnonzero(np.diff(values)) + 1
        for a, b in zip([0, *cuts], [*cuts, len(values)], strict=True):
            if b == a:
                continue
            run = (float(values[a]), offset + int(a), offset + int(b), group)
            last = runs[-1] if runs else None
            if last and group is None and last[0] == run[0] and last[2] == run[1]:
                runs[-1] = (last[0], last[1], run[2], None)
            else:
                runs.append(run)
        offset += len(values)
    order = [time for time, *_ in runs]
    if any(later < earlier for earlier, later in zip(order, order[1:], strict=False)):
        raise SnapshotError(
            f"The rows of {source} are not in the order of {time!r}, which they must be to be read "
            "in parts; sort them by it."
        )
    return runs


def _population(
    runs: list[_Run],
    part: Any,
    chosen: list[str],
    labels: list[str],
    rows: int,
    truth: Mapping[str, Any] | None,
) -> Population:
    times = sorted({time for time, *_ in runs})
    parts: dict[float, list[Part]] = {time: [] for time in times}
    sizes: dict[float, list[int]] = {time: [] for time in times}
    for time, start, stop, group in runs:
        for a in range(start, stop, rows):
            b = min(a + rows, stop)
            parts[time].append(part(a, b, group))
            sizes[time].append(b - a)
    left = tuple(name for name in labels if name not in chosen)
    return Population(
        np.array(times),
        tuple(tuple(parts[time]) for time in times),
        tuple(tuple(sizes[time]) for time in times),
        tuple(chosen),
        (features_note(tuple(chosen), left),) if left else (),
        truth,
    )
