"""Pictures of the benchmark: distances beside the published ones, and level curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bayesjko.experiments.axes import label_powers
from bayesjko.experiments.tables import whole
from bayesjko.plots.style import (
    BLACK,
    BLUE,
    CYCLE,
    GREY,
    HEIGHTS,
    ORANGE,
    SPREADS,
    VERMILION,
    new_figure,
    save,
    styled,
)
from bayesjko.simulate import true_potential

__all__ = ["draw_pictures", "level_points"]

_COUNT = 24  # grid points of a side
_SIDE = 4.0  # half of the square in which the population starts
_LEAST = 1e-8  # what is smaller is drawn there

_STROKES: Mapping[str, dict[str, Any]] = {
    "linear": {"color": BLUE, "marker": "o"},
    "all_terms": {"color": CYCLE[2], "marker": "^"},
    "weak": {"color": ORANGE, "marker": "s"},
    "neural": {"color": CYCLE[3], "marker": "D"},
}


def level_points() -> Float[np.ndarray, "n 2"]:
    """The grid whose level curves are drawn."""
    ticks = np.linspace(-_SIDE, _SIDE, _COUNT)
    return np.stack([axis.ravel() for axis in np.meshgrid(ticks, ticks)], axis=1)


def draw_pictures(
    table: pd.DataFrame, beside: pd.DataFrame, cells: pd.DataFrame, folder: Path
) -> None:
    """Write `w1_SETTING.png` and `levels_SETTING.png`, and `l2_uvp.png` of unpaired particles."""
    measures = {"w1": "one-step W1", "l2_uvp": "gradient's L²-UVP, %"}
    with styled():
        for setting in dict.fromkeys(table["setting"]):
            rows = table[table["setting"] == setting]
            for measure, label in measures.items():
                if measure == "w1" or setting == "unpaired":
                    of = beside[(beside["setting"] == setting) & (beside["measure"] == measure)]
                    _draw_measure(rows, of, measure, label, folder / f"{measure}_{setting}.png")
            method = "linear" if setting == "paired" else "weak"
            first = whole(cells)
            first = first[(first["replicate"] == 0) & first["case"].str.endswith(f"@{setting}")]
            chosen = first[first["method"] == method]
            chosen = chosen if len(chosen) else first[first["method"] == "linear"]
            if len(chosen):
                _draw_levels(chosen, setting, folder / f"levels_{setting}.png")


def _draw_measure(
    rows: pd.DataFrame, beside: pd.DataFrame, measure: str, label: str, path: Path
) -> None:
    names = list(dict.fromkeys(rows["potential"]))
    places = {name: place for place, name in enumerate(names)}
    setting = rows["setting"].iloc[0]
    figure = new_figure(
        f"{label} of {len(names)} potentials, particles {setting} (bars: 2 standard errors)",
        7.2,
        0.34 * len(names) + 2.0,
    )
    axes = figure.subplots()
    methods = list(dict.fromkeys(rows["method"]))
    for index, method in enumerate(methods):
        own = rows[rows["method"] == method]
        offset = 0.16 * (index - 0.5 * (len(methods) - 1))
        value = np.maximum(own[measure].to_numpy(), _LEAST)
        error = 2.0 * np.nan_to_num(own[f"{measure}_se"].to_numpy())
        axes.errorbar(
            value, [places[name] + offset for name in own["potential"]],
            xerr=[np.minimum(error, value - 0.5 * _LEAST), error], **_STROKES[method],
            markersize=4.5, linestyle="none", elinewidth=0.8, label=f"{method}, ours",
        )  # fmt: skip
    for mark, (name, group) in zip("x+", beside.groupby("comparison", sort=False), strict=False):
        axes.plot(
            group["theirs"], [places[one] for one in group["potential"]], mark, color=VERMILION,
            markersize=7, markeredgewidth=1.6, label=f"{name}, published",
        )  # fmt: skip
    idle = rows.groupby("potential", sort=False)[f"still_{measure}"].mean()
    axes.plot(
        np.maximum(idle, _LEAST), [places[name] for name in idle.index], "|", color=GREY,
        markersize=9, markeredgewidth=1.6, label="nobody moves" if measure == "w1" else "no force",
    )  # fmt: skip
    if measure == "w1" and setting == "unpaired":
        floor = rows.groupby("potential", sort=False)["floor_w1"].mean()
        axes.plot(
            floor, [places[name] for name in floor.index], "|", color=BLACK, markersize=9,
            label="two samples of one population",
        )  # fmt: skip
    if measure == "w1" and setting == "unpaired":  # all of the size of the sampling noise
        axes.set_xlim(left=0.0)
    else:
        axes.set_xscale("log")
        label_powers(axes.xaxis)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", color=GREY, alpha=0.2)
    small = bool((rows[measure] < _LEAST).any())
    axes.set_xlabel(label + (f" (below {_LEAST:g}: drawn there)" if small else ""))
    figure.legend(loc="outside lower center", ncols=3)
    save(figure, path)


def _draw_levels(cells: pd.DataFrame, setting: str, path: Path) -> None:
    """Truth, posterior mean and standard deviation of each potential, three potentials a row."""
    across = min(3, len(cells))
    down = -(-len(cells) // across)
    method = cells["method"].iloc[0]
    figure = new_figure(
        f"Level curves of V: truth, posterior mean (same levels) and standard deviation "
        f"({setting}, {method})",
        4.6 * across + 0.4,
        1.75 * down + 1.0,
    )
    panels = figure.subplots(down, 3 * across, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[3 * len(cells) :]:
        axes.remove()
    points = level_points()
    for index, row in enumerate(cells.to_dict("records")):
        trio = panels.reshape(-1, 3)[index]
        name = str(row["case"]).split("@")[0]
        true = true_potential({"potential": name}, points)
        mean = np.array([row[f"mean_{place}"] for place in range(len(points))])
        spread = np.array([row[f"sd_{place}"] for place in range(len(points))])
        mean = mean + np.median(true - mean)  # potentials are known up to a constant
        levels = np.array(MaxNLocator(9).tick_values(*np.quantile(true, [0.02, 0.98])))
        if np.ptp(true) == 0.0:
            levels = np.linspace(-1.0, 1.0, 8)
        for axes, values in zip(trio, (true, mean), strict=False):
            _draw_contours(axes, values, levels, HEIGHTS)
        steps = np.array(MaxNLocator(8).tick_values(0.0, spread.max()))
        _draw_contours(trio[2], spread, steps, SPREADS)
        trio[0].set_title(name, loc="left")
        trio[1].set_title("mean")
        trio[2].set_title(f"sd, up to {spread.max():.2g}")
    save(figure, path)


def _draw_contours(axes: Axes, values: np.ndarray, levels: np.ndarray, colours: Any) -> None:
    ticks = np.linspace(-_SIDE, _SIDE, _COUNT)
    square = values.reshape(_COUNT, _COUNT)
    axes.contourf(ticks, ticks, square, levels, cmap=colours, extend="both")
    axes.contour(ticks, ticks, square, levels, colors=BLACK, linewidths=0.4)
    axes.set_aspect("equal")
    axes.set_xticks([-4, 0, 4])
    axes.set_yticks([-4, 0, 4])
