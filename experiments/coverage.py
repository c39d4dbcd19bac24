"""How often intervals hold, a row for each case and method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bayesjko.plots.style import BLACK, BLUE, GREY, ORANGE, new_figure, save, styled

__all__ = ["draw_coverage"]

_MARKS = ((BLUE, "o"), (ORANGE, "s"))


def draw_coverage(
    table: pd.DataFrame, path: Path, title: str, columns: Sequence[tuple[str, str]], label: str
) -> None:
    """Shares of what lies within nominal 90% intervals, with two standard errors.

    Args:
        table: a row each, with `case`, `method` and the columns, their standard errors `NAME_se`
            where there are several replicates.
        path: of the picture.
        title: of the picture.
        columns: names of one or two shares, and what they are called.
        label: of the axis, without the unit.
    """
    rows = np.arange(len(table))
    with styled():
        figure = new_figure(f"{title} (bars: 2 standard errors)", 7.6, 0.55 * len(table) + 2.1)
        axes = figure.subplots()
        axes.axvspan(85, 95, color=GREY, alpha=0.3, linewidth=0, label="target")
        axes.axvline(90, color=BLACK, linewidth=0.8)
        offsets = 0.1 * (2 * np.arange(len(columns)) - len(columns) + 1)
        for (name, said), (colour, mark), offset in zip(columns, _MARKS, offsets, strict=False):
            error = table.get(f"{name}_se", pd.Series(0.0, table.index)).fillna(0.0)
            axes.errorbar(
                100 * table[name], rows + offset, xerr=200 * error, color=colour, marker=mark,
                linestyle="none", label=said,
            )  # fmt: skip
        axes.set_yticks(rows, [f"{row.case}\n{row.method}" for row in table.itertuples()])
        axes.set_ylim(len(table) - 0.5, -0.5)
        axes.set_xlim(0, 101)
        axes.set_xlabel(f"{label}, %")
        figure.legend(loc="outside lower center", ncols=1 + len(columns))
        save(figure, path)
