"""Means over replicates with standard errors: an experiment's table, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

__all__ = ["dataset", "markdown", "mean_table", "whole"]

_DIGITS = 3


def mean_table(
    cells: pd.DataFrame,
    means: Sequence[str],
    medians: Sequence[str] = ("seconds",),
    keys: Sequence[str] = ("case", "method"),
) -> pd.DataFrame:
    """A row for each case and method, in the order in which the cells name them.

    Args:
        cells: one row each, those that failed with a `failure`.
        means: numbers to average, each followed by its standard error `NAME_se`; one that no cell
            of a row has is missing there.
        medians: numbers whose median is told instead.
        keys: columns that say which cells belong to a row.
    """
    rows = [
        {**dict(zip(keys, key, strict=True)), **_summary(group, means, medians)}
        for key, group in cells.groupby(list(keys), sort=False)
    ]
    return pd.DataFrame(rows)


def whole(cells: pd.DataFrame) -> pd.DataFrame:
    """Those that did not fail."""
    return cells[cells["failure"].isna()] if "failure" in cells else cells


def dataset(cells: pd.DataFrame) -> xr.Dataset:
    """All numbers of all cells over case, approach and replicate, NaN where there is none.

    An approach is a method by another name: `method` is an argument of xarray's own selections.

    Args:
        cells: one row each; why a cell failed is its `failure`, empty where it did not.
    """
    told = cells.drop(columns=["settings", "trace", "commit"], errors="ignore")
    told = told.assign(failure=told["failure"].fillna("")).rename(columns={"method": "approach"})
    order = {name: told[name].unique() for name in ("case", "approach")}
    told = told.set_index([*order, "replicate"])
    found = told.drop(columns="failure").astype(float).to_xarray()
    found["failure"] = told["failure"].to_xarray().fillna("").astype(str)
    # in the order in which the cells name them, which xarray sorts
    return found.sel(order)


def markdown(table: pd.DataFrame) -> list[str]:
    """A table's lines in Markdown, numbers in three significant digits."""
    rows = [list(map(str, table.columns)), ["---"] * len(table.columns)]
    rows += [[_shown(value) for value in row] for row in table.itertuples(index=False)]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]


def _shown(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.{_DIGITS}g}"
    return str(value)


def _summary(
    group: pd.DataFrame, means: Sequence[str], medians: Sequence[str]
) -> dict[str, float | int]:
    found = whole(group)
    numbers: dict[str, float | int] = {"replicates": len(found), "failed": len(group) - len(found)}
    for name in means:
        values = _values(found, name)
        count = len(values)
        numbers[name] = float(values.mean()) if count else np.nan
        numbers[f"{name}_se"] = float(values.std() / np.sqrt(count)) if count > 1 else np.nan
    for name in medians:
        values = _values(found, name)
        numbers[name] = float(values.median()) if len(values) else np.nan
    return numbers


def _values(cells: pd.DataFrame, name: str) -> pd.Series:
    if name not in cells:
        return pd.Series(dtype=float)
    return cells[name].dropna().astype(float)
