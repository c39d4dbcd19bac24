"""Times as people write them, to numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayesjko.models.errors import SnapshotError
from bayesjko.readers.source import listing

__all__ = ["Times", "read_times"]

# A minus counts only where nothing is written before it: "day-3" is day 3.
NUMBER = re.compile(r"(?:(?<![^\s=(\[])[-+])?(?:\d+\.?\d*|\.\d+)")


@dataclass(frozen=True)
class Times:
    """Times as numbers, and a sentence on how they were read."""

    values: Float[np.ndarray, " n"]
    note: str


def read_times(values: pd.Series, name: str, source: str) -> Times:
    """One number a particle.

    Numbers are taken as they are, dates as days since the first, ordered categories without
    numbers in them as their positions, and text as the one number in it.

    Args:
        values: one a particle.
        name: of the column, for messages.
        source: where it is from, for messages.

    Raises:
        SnapshotError: a time is missing or infinite, or the text has no clear number.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        numbers, note = _categories(values, name, source)
    elif pd.api.types.is_datetime64_any_dtype(values.dtype):
        numbers = _days(values - values.min())
        note = f"Times are days since {values.min()}, from the dates in {name!r}."
    elif pd.api.types.is_timedelta64_dtype(values.dtype):
        numbers = _days(values)
        note = f"Times are the durations in {name!r}, in days."
    elif pd.api.types.is_complex_dtype(values.dtype):
        raise SnapshotError(f"The times in {name!r} of {source} are complex; give real numbers.")
    elif pd.api.types.is_numeric_dtype(values.dtype):
        numbers = values.to_numpy(np.float64, na_value=np.nan)
        note = f"Times are the numbers in {name!r}."
    else:
        codes, labels = pd.factorize(values)
        parsed = _from_text(labels, name, source)
        numbers = _take(parsed, codes)
        note = _mapping("Times are the numbers in the text of", name, labels, parsed)
    bad = ~np.isfinite(numbers)
    if bad.any():
        raise SnapshotError(
            f"{int(bad.sum())} times in {name!r} of {source} are missing or infinite, the first in "
            f"row {int(bad.argmax()) + 1}; correct or drop these rows."
        )
    return Times(numbers, note)


def _categories(values: pd.Series, name: str, source: str) -> tuple[np.ndarray, str]:
    """Numbers where the categories have them, else positions where they are ordered."""
    labels, codes = values.cat.categories, values.cat.codes.to_numpy()
    used = np.unique(codes[codes >= 0])
    if pd.api.types.is_numeric_dtype(labels.dtype):
        parsed = labels.to_numpy(np.float64)
        return _take(parsed, codes), f"Times are the numbers in {name!r}."
    positions = np.arange(len(labels), dtype=np.float64)
    try:
        parsed = np.full(len(labels), np.nan)
        parsed[used] = _from_text(labels[used], name, source)
        verb = "Times are the numbers in the categories of"
        if values.cat.ordered and not np.all(np.diff(parsed[used]) > 0):
            parsed, verb = positions, "Times are the positions of the ordered categories of"
    except SnapshotError:
        if not values.cat.ordered:
            raise
        parsed, verb = positions, "Times are the positions of the ordered categories of"
    return _take(parsed, codes), _mapping(verb, name, labels[used], parsed[used])


def _from_text(labels: pd.Index, name: str, source: str) -> np.ndarray:
    """The one number in each label; what is around it, a unit, must be the same in all."""
    texts = [
        label.decode(errors="replace") if isinstance(label, bytes) else str(label).strip()
        for label in labels
    ]
    try:
        return np.array([float(text) for text in texts])
    except ValueError:
        pass
    found = [NUMBER.findall(text) for text in texts]
    for text, numbers in zip(texts, found, strict=True):
        if len(numbers) != 1:
            count = "no number" if not numbers else f"{len(numbers)} numbers"
            raise SnapshotError(
                f"The time {text[:60]!r} in {name!r} of {source} has {count} in it; write times as "
                "numbers, as text with one number, or make them an ordered category."
            )
    units = {re.sub(r"[\W\d_]", "", NUMBER.sub("", text)).lower().rstrip("s") for text in texts}
    if len(units) > 1:
        first, second = sorted(units)[:2]
        raise SnapshotError(
            f"The times in {name!r} of {source} are in different units or words ({first!r} and "
            f"{second!r}); write them all in the same way, best as numbers."
        )
    return np.array([float(numbers[0]) for numbers in found])


def _days(durations: pd.Series) -> np.ndarray:
    return durations.dt.total_seconds().to_numpy(np.float64) / 86400.0


def _take(parsed: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The number of each particle's label; NaN where it has none."""
    return np.append(parsed, np.nan)[codes]


def _mapping(verb: str, name: str, labels: pd.Index, parsed: np.ndarray) -> str:
    order = np.argsort(parsed, kind="stable")
    pairs = [f"{str(labels[i])!r} = {parsed[i]:g}" for i in order]
    return f"{verb} {name!r}: {listing(pairs, 6)}."
