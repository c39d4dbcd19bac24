"""Arrays to snapshots: which array holds what, and one array of positions with its times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayesjko.models.data import Snapshots
from bayesjko.models.errors import SnapshotError
from bayesjko.readers.particles import Particles, as_numbers, features_note
from bayesjko.readers.selection import WEIGHTS, Selection, is_time
from bayesjko.readers.source import listing, reading
from bayesjko.readers.tables import from_frame
from bayesjko.readers.times import Times, read_times

__all__ = ["from_block", "from_named", "read_column"]


def from_named(
    named: Mapping[str, Any],
    selection: Selection,
    source: str,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Snapshots:
    """Arrays by name: one of positions, `x`, and one of times, or else one for each column.

    Args:
        named: arrays, or what has their `ndim`, `shape` and `dtype` and becomes one.
        selection: what the user asked for.
        source: what messages call them.
        labels: for an array of positions, the names of its features.

    Raises:
        SnapshotError: they are missing, ambiguous, not numbers or of different lengths.
    """
    key, first = _positions(named, selection, source)
    if key is None:
        return _from_columns(named, selection, source)
    block = as_numbers(named[key], f"Array {key!r}", source)
    weight = _weight(named, block, selection, source)
    time = _time(named, block, weight, selection, source)
    names = (labels or {}).get(key)
    if names is None and "features" in named and named["features"].dtype.kind in "US":
        names = [str(name) for name in np.asarray(named["features"]).ravel()]
    return from_block(
        block,
        None if time is None else read_column(named[time], time, source),
        source,
        weights=None if weight is None else as_numbers(named[weight], f"Array {weight!r}", source),
        names=names,
        asked=Selection(features=None if first else selection.features, paired=selection.paired),
        first=first,
    )


def from_block(
    block: np.ndarray,
    times: Times | None,
    source: str,
    *,
    weights: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    asked: Selection,
    first: int | None = None,
) -> Snapshots:
    """An array (particle, feature) with a time each, or (time, particle, feature).

    Args:
        block: positions.
        times: one a particle, or one for each of the first of three axes (by default 0, 1, 2, …).
        source: what messages call the input.
        weights: one a particle.
        names: of the features.
        asked: which of them to take; where they have no names, it may give them.
        first: how many of them to take; None for all.

    Raises:
        SnapshotError: the shapes do not fit.
    """
    positions = block[:, None] if block.ndim == 1 else block
    if positions.ndim == 3 and times is None:
        note = "No times were given: the snapshots are numbered 0, 1, 2, …."
        times = Times(np.arange(len(positions), dtype=np.float64), note)
    if positions.ndim not in (2, 3) or times is None or 0 in positions.shape:
        raise SnapshotError(
            f"The positions in {source} have shape {block.shape}; give (time, particle, feature), "
            "or (particle, feature) with one time each."
        )
    when = times.values
    if positions.ndim == 3:
        if len(when) == len(positions):
            when = np.repeat(when, positions.shape[1])
        positions = positions.reshape(-1, positions.shape[2])
        weights = None if weights is None else weights.reshape(-1)
    for name, column in (("times", when), ("weights", weights)):
        if column is not None and column.shape != positions.shape[:1]:
            raise SnapshotError(
                f"There are {column.size} {name} for {len(positions)} particles in {source}; give "
                "one each."
            )
    available = _names(names, positions.shape[1], asked, source)
    chosen = _chosen(available, asked, first, source)
    if chosen != available:
        positions = positions[:, [available.index(name) for name in chosen]]
    left = tuple(name for name in available if name not in chosen)
    notes = (times.note, features_note(chosen, left))
    return Particles(
        source, positions, when, weights, chosen, notes, bool(asked.paired)
    ).snapshots()


def read_column(values: Any, name: str, source: str) -> Times:
    """The times in an array or sequence of numbers, categories or text.

    Raises:
        SnapshotError: it has more than one axis, or its times cannot be read.
    """
    with reading(f"{name!r} of {source}", "times", "give one value for each"):
        kept = isinstance(values, pd.Series | pd.Index | pd.api.extensions.ExtensionArray)
        series = pd.Series(values if kept else np.asarray(values))
    return read_times(series, name, source)


def _positions(
    named: Mapping[str, Any], selection: Selection, source: str
) -> tuple[str | None, int | None]:
    """The array of positions and how many of its features; no array where there are columns."""
    blocks = [
        key
        for key, array in named.items()
        if array.ndim in (2, 3) and array.dtype.kind in "fiu" and key not in (*WEIGHTS, "features")
    ]
    asked = selection.block(blocks)
    if asked is not None:
        return asked
    for key in ("x", "X"):
        if key in named and named[key].ndim != 1:
            return key, None
    if len(blocks) > 1:
        raise SnapshotError(
            f"More than one array of {source} may hold the positions ({listing(blocks)}); name one "
            "with the option features."
        )
    return (blocks[0] if blocks else None), None


def _from_columns(named: Mapping[str, Any], selection: Selection, source: str) -> Snapshots:
    """Arrays that are the columns of a table, those of other lengths than its times left out."""
    flat = [key for key, array in named.items() if array.ndim == 1]
    if not flat:
        raise SnapshotError(
            f"There are no positions in {source}; save them as x (particle, feature) with times t."
        )
    time = selection.time_name(flat, source)
    rows = named[time].shape
    with reading(source, "columns", "give arrays of the same length"):
        frame = pd.DataFrame({k: np.asarray(named[k]) for k in flat if named[k].shape == rows})
    return from_frame(frame, selection, source)


def _weight(
    named: Mapping[str, Any], block: np.ndarray, selection: Selection, source: str
) -> str | None:
    """The array of weights: the one asked for, or one that fits and is called so."""
    if selection.weight is not None:
        selection.weight_name(list(named), source)
        return selection.weight
    shape = block.shape[:-1] if block.ndim > 1 else block.shape
    fitting = [key for key in WEIGHTS if key in named and named[key].shape == shape]
    return fitting[0] if fitting else None


def _time(
    named: Mapping[str, Any],
    block: np.ndarray,
    weight: str | None,
    selection: Selection,
    source: str,
) -> str | None:
    """The array of times: the one asked for, called so, or alone in fitting; None to number."""
    if selection.time is not None:
        return selection.time_name([key for key in named if key != weight], source)
    fitting = [
        key
        for key, array in named.items()
        if array.shape == block.shape[:1] and key not in (weight, "features")
    ]
    plausible = [key for key in fitting if is_time(key)]
    if not plausible and block.ndim == 3:
        return None
    if not plausible and len(fitting) == 1:
        return fitting[0]
    return selection.time_name(plausible or list(named), source)


def _names(
    names: Sequence[str] | None, dimension: int, asked: Selection, source: str
) -> tuple[str, ...]:
    """The features' names: given, x1, x2, …, or those asked for where none of these is meant."""
    available = tuple(names or (f"x{i + 1}" for i in range(dimension)))
    if len(available) != dimension or len(set(available)) != dimension:
        raise SnapshotError(
            f"The {len(available)} feature names in {source} do not name {dimension} features; "
            "give a different name to each."
        )
    wanted = asked.wanted(available)
    new = names is None and len(set(wanted)) == dimension and not set(wanted) & set(available)
    return wanted if new and all(name.isidentifier() for name in wanted) else available


def _chosen(
    available: tuple[str, ...], asked: Selection, first: int | None, source: str
) -> tuple[str, ...]:
    if first is not None and first > len(available):
        raise SnapshotError(
            f"There are {len(available)} features in {source} and {first} were asked for; ask for "
            "fewer."
        )
    if asked.features is None:
        return available[:first]
    return tuple(asked.feature_names(available, source))
