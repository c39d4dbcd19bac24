"""Arrays: NPZ and NPY files, and clouds in memory."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bayesjko.models.data import Snapshots
from bayesjko.models.errors import SnapshotError
from bayesjko.readers.blocks import from_block, from_named, read_column
from bayesjko.readers.particles import as_numbers
from bayesjko.readers.selection import Selection, is_time
from bayesjko.readers.source import existing, listing, reading, where
from bayesjko.readers.times import Times

__all__ = ["from_arrays", "read_npy", "read_npz"]

NUMBERED = "No times were given: the snapshots are numbered 0, 1, 2, …."


def read_npz(path: Path, selection: Selection) -> Snapshots:
    """NPZ with `x` (particle, feature), `t`, and maybe weights `w` and the names `features`.

    Raises:
        SnapshotError: it is damaged, or an array in it holds Python objects: that is a pickle,
            and none is ever loaded.
    """
    source = where(existing(path))
    # Opened here, since NumPy leaves a damaged archive open.
    with reading(source, "NPZ"), path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("it is no zip archive")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            named = {}
            for key in archive.files:
                try:
                    named[key] = np.asarray(archive[key])
                except ValueError as error:
                    if "allow_pickle" not in str(error):
                        raise
                    raise SnapshotError(
                        f"Array {key!r} of {source} holds Python objects, which are never "
                        "unpickled; save it as numbers or text."
                    ) from error
    return from_named(named, selection, source)


def read_npy(path: Path, selection: Selection) -> Snapshots:
    """NPY with one array (time, particle, feature)."""
    source = where(existing(path))
    with reading(source, "NPY"):
        array = np.load(path, allow_pickle=False)
    return from_block(as_numbers(array, "The array", source), None, source, asked=selection)


def from_arrays(data: Any, selection: Selection) -> Snapshots:
    """Clouds in memory.

    Understood are a list of arrays (particle, feature), at times 0, 1, 2, …; `(arrays, times)`; a
    mapping from time to array; one array (time, particle, feature), alone or as `(array, times)`;
    and `(x, t)` or a mapping of arrays such as an NPZ file has.

    Raises:
        SnapshotError: it is nothing of this kind.
    """
    source = "the arrays"
    if isinstance(data, Mapping):
        keys = [str(key) for key in data]
        if any(key in ("x", "X", selection.time) or is_time(key) for key in keys):
            with reading(source, "arrays", "give numbers in rows of the same length"):
                named = {str(key): np.asarray(array) for key, array in data.items()}
            return from_named(named, selection, source)
        return _from_clouds(list(data.values()), list(data), selection, source)
    if isinstance(data, tuple) and len(data) == 2 and _is_column(data[1]):
        clouds, times = data
        if isinstance(clouds, list | tuple):
            return _from_clouds(list(clouds), times, selection, source)
        block = as_numbers(clouds, "The array", source)
        return from_block(block, read_column(times, "times", source), source, asked=selection)
    if isinstance(data, list | tuple):
        return _from_clouds(list(data), None, selection, source)
    if not getattr(data, "ndim", 0):
        raise SnapshotError(
            f"An object of type {type(data).__name__} holds no snapshots; give a path, a data "
            "frame, or arrays with their times."
        )
    return from_block(as_numbers(data, "The array", source), None, source, asked=selection)


def _is_column(values: Any) -> bool:
    """Whether this can be the times beside positions: one axis of single values."""
    if isinstance(values, list | tuple):
        return all(not isinstance(value, list | tuple) and np.ndim(value) == 0 for value in values)
    return getattr(values, "ndim", None) == 1


def _from_clouds(clouds: list[Any], times: Any, selection: Selection, source: str) -> Snapshots:
    """One cloud a time, in any order."""
    arrays = [as_numbers(cloud, f"Snapshot {k + 1}", source) for k, cloud in enumerate(clouds)]
    arrays = [array[:, None] if array.ndim == 1 else array for array in arrays]
    _check_clouds(arrays, source)
    if times is None:
        read = Times(np.arange(len(arrays), dtype=np.float64), NUMBERED)
    else:
        read = read_column(times, "times", source)
    if len(read.values) != len(arrays):
        raise SnapshotError(
            f"There are {len(read.values)} times for {len(arrays)} snapshots in {source}; give one "
            "each."
        )
    if len(np.unique(read.values)) < len(arrays):
        shown = listing([f"{time:g}" for time in read.values])
        raise SnapshotError(
            f"Two snapshots of {source} have the same time ({shown}); merge them or correct their "
            "times."
        )
    rows = np.repeat(read.values, [len(array) for array in arrays])
    return from_block(np.concatenate(arrays), Times(rows, read.note), source, asked=selection)


def _check_clouds(arrays: list[np.ndarray], source: str) -> None:
    """What can be told of snapshots only while each has its own array."""
    if not arrays:
        raise SnapshotError(f"There are no snapshots in {source}; give one array a time.")
    for k, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] == 0:
            raise SnapshotError(
                f"Snapshot {k + 1} of {source} has shape {array.shape}; give (particle, feature)."
            )
        if array.shape[1] != arrays[0].shape[1]:
            raise SnapshotError(
                f"Snapshot {k + 1} of {source} has {array.shape[1]} features and the first has "
                f"{arrays[0].shape[1]}; all snapshots need the same features."
            )
        if len(array) < 2:
            raise SnapshotError(
                f"Snapshot {k + 1} of {source} has {len(array)} particle(s) and at least two are "
                "needed; drop it or merge it with another."
            )
