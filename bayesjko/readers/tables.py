"""Long tables, one row a particle: CSV, TSV, Parquet and data frames."""

from __future__ import annotations

import csv
import gzip
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from bayesjko.models.data import Snapshots
from bayesjko.models.errors import SnapshotError
from bayesjko.readers.particles import Particles, features_note
from bayesjko.readers.selection import Selection
from bayesjko.readers.source import existing, listing, reading, where
from bayesjko.readers.times import read_times

__all__ = ["from_frame", "read_parquet", "read_text"]


def read_text(path: Path, selection: Selection) -> Snapshots:
    """CSV or TSV with a line of names first, compressed where the ending says so.

    Separated by what the first line has: a tab, else a comma, else a semicolon (then a comma may
    be the decimal point).
    """
    source = where(existing(path))
    with reading(source, "a table in text"):
        opened = gzip.open if path.name.lower().endswith(".gz") else open
        with opened(path, "rt", encoding="utf-8-sig") as file:
            first, second = file.readline(), file.readline()
        separator = next((mark for mark in "\t,;" if mark in first), ",")
        _check_names(next(csv.reader([first], delimiter=separator), []), source)
        warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the names
        frame = pd.read_csv(
            path,
            sep=separator,
            decimal="," if separator == ";" and "," in second else ".",
            index_col=False,
            skipinitialspace=True,
            low_memory=False,
            float_precision="round_trip",
        )
    return from_frame(frame, selection, source)


def read_parquet(path: Path, selection: Selection) -> Snapshots:
    """Parquet, dictionaries as categories."""
    source = where(existing(path))
    with reading(source, "Parquet"):
        frame = pd.read_parquet(path, engine="pyarrow")
    return from_frame(frame, selection, source)


def from_frame(
    frame: pd.DataFrame, selection: Selection, source: str = "the data frame"
) -> Snapshots:
    """A data frame with a column of times; an index with a name counts as a column.

    Raises:
        SnapshotError: columns are missing, ambiguous or not numbers.
    """
    frame = _flat(frame, source)
    names = list(frame.columns)
    if frame.empty:
        raise SnapshotError(
            f"There are no rows or no columns in {source}; give one row a particle."
        )
    time = selection.time_name(names, source)
    weight = selection.weight_name(names, source)
    rest = [name for name in names if name not in (time, weight)]
    read = _features(frame, rest, time, selection, source)
    times = read_times(frame[time], time, source)
    left = tuple(name for name in rest if name not in read)
    notes = (times.note, features_note(tuple(read), left))
    return Particles(
        source=source,
        positions=_numbers(frame, read, source),
        times=times.values,
        weights=None if weight is None else _weights(frame, weight, source),
        features=tuple(read),
        notes=notes,
        paired=bool(selection.paired),
    ).snapshots()


def _check_names(names: list[str], source: str) -> None:
    """The first line of a text has one name a column, none twice.

    pandas would rename the second of two, and take a first line of numbers for names.
    """
    if names and all(map(_is_number, names)):
        raise SnapshotError(
            f"The first line of {source} has numbers where the names of the columns belong; add a "
            "line such as t,x1,x2."
        )
    given = [name.strip() for name in names if name.strip()]
    for name in given:
        if given.count(name) > 1:
            raise SnapshotError(f"Column {name!r} is twice in {source}; rename or drop one.")


def _flat(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """Columns with plain, different names; those without one, the mark of an index, dropped."""
    if frame.columns.nlevels > 1:
        raise SnapshotError(f"The columns of {source} have several levels; give them plain names.")
    levels = [name for name in frame.index.names if name is not None and name not in frame.columns]
    if levels and set(levels) == set(frame.index.names):
        frame = frame.reset_index()
    frame = frame.set_axis([str(name).strip() for name in frame.columns], axis="columns")
    doubled = frame.columns[frame.columns.duplicated()]
    if len(doubled):
        raise SnapshotError(f"Column {doubled[0]!r} is twice in {source}; rename or drop one.")
    unnamed = [n for n in frame.columns if n == "" or n.startswith("Unnamed: ")]
    return frame.drop(columns=unnamed)


def _features(
    frame: pd.DataFrame, names: list[str], time: str, selection: Selection, source: str
) -> list[str]:
    """The features asked for, or every column of numbers."""
    usable = [name for name in names if _usable(frame[name], name, selection, source)]
    if selection.features is None:
        chosen = usable
    else:
        wanted = selection.wanted(names)
        if time in wanted:
            raise SnapshotError(
                f"Column {time!r} of {source} is the time and cannot be a feature as well; leave "
                "it out of the features or name another time."
            )
        text = [name for name in wanted if name in names and name not in usable]
        if text:
            raise SnapshotError(
                f"Column {text[0]!r} of {source} does not hold numbers; leave it out of the "
                "features."
            )
        chosen = selection.feature_names(usable, source)
    if not chosen:
        raise SnapshotError(
            f"No feature found in {source}: beside the time {time!r}, none of its columns "
            f"({listing(list(frame.columns))}) holds numbers; add at least one."
        )
    return chosen


def _usable(column: pd.Series, name: str, selection: Selection, source: str) -> bool:
    """Whether a column holds real numbers.

    Raises:
        SnapshotError: it does but for a few cells, which nobody wants to lose in silence.
    """
    kind = column.dtype
    if pd.api.types.is_bool_dtype(kind) or pd.api.types.is_complex_dtype(kind):
        return False
    if pd.api.types.is_numeric_dtype(kind):
        return True
    if not (pd.api.types.is_object_dtype(kind) or pd.api.types.is_string_dtype(kind)):
        return False
    given = column.notna().to_numpy()
    numbers = pd.to_numeric(column, errors="coerce").notna().to_numpy()
    text = given & ~numbers
    asked = selection.features is None or name in selection.wanted([name])
    if asked and text.any() and 2 * text.sum() < given.sum():
        row = int(text.argmax())
        raise SnapshotError(
            f"{int(text.sum())} values of column {name!r} of {source} are not numbers, the first "
            f"{str(column.iloc[row])[:40]!r} in row {row + 1}; correct them or leave the column "
            "out of the features."
        )
    return bool(given.any() and not text.any())


def _numbers(frame: pd.DataFrame, names: list[str], source: str) -> np.ndarray:
    """Columns known to hold numbers as one array, missing ones as NaN."""
    if all(isinstance(kind, np.dtype) and kind.kind in "fiu" for kind in frame[names].dtypes):
        return frame[names].to_numpy(np.float64)
    with reading(f"{listing(names)} of {source}", "numbers", "correct or leave them out"):
        numbers = [pd.to_numeric(frame[name], errors="coerce") for name in names]
        return np.stack([n.to_numpy(np.float64, na_value=np.nan) for n in numbers], axis=1)


def _weights(frame: pd.DataFrame, name: str, source: str) -> np.ndarray:
    if not pd.api.types.is_numeric_dtype(frame[name].dtype):
        raise SnapshotError(
            f"The weights in column {name!r} of {source} are not numbers; correct them or name "
            "another column."
        )
    return _numbers(frame, [name], source)[:, 0]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
