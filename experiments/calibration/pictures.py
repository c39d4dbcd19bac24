"""Pictures of calibration: what intervals promise against what they hold, and ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binom

from bayesjko.experiments.axes import label_plainly
from bayesjko.experiments.calibration.ranks import BINS
from bayesjko.experiments.recovery import LEVELS
from bayesjko.plots.style import (
    BLACK,
    BLUE,
    CYCLE,
    GREEN,
    GREY,
    ORANGE,
    VERMILION,
    new_panels,
    save,
    styled,
)

__all__ = ["STROKES", "draw_pictures"]

_MARKS = "osD^vPX*<>dhH8"
STROKES: Mapping[str, dict[str, Any]] = {
    name: {"color": colour, "marker": mark, "linestyle": line}
    for name, colour, mark, line in zip(
        (
            "residual_explicit",
            "residual_model",
            "residual",
            "bootstrap",
            "weak_square",
            "weak",
            "weak_many",
            "flow",
            "network_last",
            "network_laplace",
            "network_vi",
            "network_mclmc",
            "network_8",
            "network_16",
        ),
        (GREY, GREY, CYCLE[1], ORANGE, CYCLE[2], BLUE, CYCLE[3], BLACK, *6 * (GREEN,)),
        _MARKS,
        (":", "-", "-", "-.", ":", "-", "-.", "-", ":", "-", "-.", "--", ":", "-"),
        strict=True,
    )
}
"""How each method is drawn: colour, mark and line each tell it apart."""


def draw_pictures(recovered: pd.DataFrame, ranks: pd.DataFrame, folder: Path) -> None:
    """Write `reliability.png`, `sharpness.png` and `ranks.png`, where there are cells."""
    with styled():
        if len(recovered):
            _draw_reliability(recovered, folder / "reliability.png")
            _draw_sharpness(recovered, folder / "sharpness.png")
        if len(ranks):
            _draw_ranks(ranks, folder / "ranks.png")


def _draw_reliability(table: pd.DataFrame, path: Path) -> None:
    cases = list(dict.fromkeys(table["case"]))
    figure, panels = new_panels(
        "Does the true drift lie in its interval as often as promised? (bars: 2 standard errors)",
        len(cases),
        width=3.4,
        height=3.2,
        labels=("nominal coverage, %", "actual coverage, %"),
    )
    for axes, case in zip(panels, cases, strict=True):
        axes.plot([45, 100], [45, 100], color=BLACK, linewidth=0.8, label="as promised")
        axes.fill_between([88.5, 91.5], 85, 95, color=GREY, alpha=0.3, linewidth=0, label="target")
        for row in table[table["case"] == case].to_dict("records"):
            actual = [100 * row[f"cover_{level}"] for level in LEVELS]
            error = [200 * row[f"cover_{level}_se"] for level in LEVELS]
            error = [0.0 if np.isnan(one) else one for one in error]
            stroke = STROKES[row["method"]]
            axes.errorbar(
                LEVELS, actual, error, **stroke, markersize=4, linewidth=1.2, elinewidth=0.8,
                label=row["method"],
            )  # fmt: skip
        axes.set_title(case)
        axes.set_xticks(LEVELS)
        axes.set_ylim(0, 101)
    _legend(figure, panels)
    save(figure, path)


def _draw_sharpness(table: pd.DataFrame, path: Path) -> None:
    cases = list(dict.fromkeys(table["case"]))
    figure, panels = new_panels(
        "Error of the mean and width of the interval, relative to the drift",
        len(cases),
        width=3.4,
        height=3.2,
        labels=("error / signal", "interval sd / signal"),
    )
    for axes, case in zip(panels, cases, strict=True):
        for row in table[table["case"] == case].to_dict("records"):
            stroke = STROKES[row["method"]] | {"linestyle": "none"}
            axes.plot(row["error"], row["spread"], **stroke, markersize=7, label=row["method"])
        axes.set_xscale("log")
        axes.set_yscale("log")
        label_plainly(axes.xaxis, axes.yaxis)
        axes.axline((0.1, 0.1), (1.0, 1.0), color=BLACK, linewidth=0.8, label="sd = error")
        axes.set_title(case)
    _legend(figure, panels)
    save(figure, path)


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """One for all panels, of everything that any of them shows."""
    shown: dict[str, Any] = {}
    for axes in panels:
        handles, names = axes.get_legend_handles_labels()
        shown |= dict(zip(names, handles, strict=True))
    columns = min(5, int(figure.get_figwidth() / 2.0))  # inches that the longest name takes
    figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=columns)


def _draw_ranks(table: pd.DataFrame, path: Path) -> None:
    methods = list(dict.fromkeys(table["method"]))
    figure, panels = new_panels(
        "Ranks of true quantities among posterior draws: uniform if the posterior is right",
        len(methods),
        width=3.8,
        height=3.0,
        labels=("rank of the truth, in tenths", "share of data sets"),
    )
    for axes, method in zip(panels, methods, strict=True):
        rows = table[table["method"] == method]
        counts = rows[[f"bin{b}" for b in range(BINS)]].to_numpy()
        total = counts.sum(axis=1)
        low, high = binom.ppf([0.005, 0.995], total[0], 1.0 / BINS) / total[0]
        axes.axhspan(low, high, color=GREY, alpha=0.3, linewidth=0, label="99% of a uniform rank")
        colour = BLUE if rows["uniform_p"].iloc[0] > 0.01 else VERMILION
        for index, share in enumerate(counts / total[:, None]):
            label = "one quantity each" if index == 0 else None
            axes.stairs(
                share, np.arange(BINS + 1), baseline=None, color=colour, alpha=0.7, label=label
            )
        axes.set_title(f"{method}: p = {rows['uniform_p'].iloc[0]:.2g}")
        axes.set_ylim(bottom=0)
    _legend(figure, panels)
    save(figure, path)
