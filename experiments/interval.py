"""How far apart may snapshots be? Each likelihood against the sampling interval."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bayesjko.experiments.axes import label_plainly
from bayesjko.experiments.recovery import Grid, Truth, recover, recovery_table
from bayesjko.experiments.specification import Experiment, Report, Study
from bayesjko.plots.style import BLACK, BLUE, CYCLE, GREY, new_figure, save, styled

__all__ = ["EXPERIMENT", "INTERVALS", "SCHEMES", "along", "apart"]

INTERVALS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_LEAST_WIDTH = 7.5  # inches, of a title and a legend
_STEP = 5e-4  # of the simulated truth at most: the steepest walls turn a particle in 0.01

SCHEMES = {
    f"residual_{scheme}": {"likelihood": "residual", "scheme": scheme}
    for scheme in ("explicit", "midpoint", "implicit")
}
METHODS = {
    **SCHEMES,
    "weak": {"likelihood": "weak"},
    "flow": {"likelihood": "flow"},
}

NETWORK = {
    "flow_network": {"likelihood": "flow", "method": "vi", "potential": "mlp:64,64"},
}
"""A network for V instead of the truth's basis, inferred by VI."""

_WELLS = ("tilted_double_well", "styblinski_tang")
_FLOW = {"flow": METHODS["flow"]}
_OTHERS = {name: settings for name, settings in METHODS.items() if name != "flow"}

_STROKES: Mapping[str, dict[str, Any]] = {
    name: {"color": colour, "marker": mark, "linestyle": line}
    for name, colour, mark, line in zip(
        (*METHODS, *NETWORK, "residual"),
        (CYCLE[4], CYCLE[1], CYCLE[3], BLUE, BLACK, CYCLE[2], BLACK),
        "o^vsDXD",
        ("-.", ":", "--", "-", "-", "-", "-"),
        strict=True,
    )
}  # fmt: skip

_QUANTITIES = {
    "error": "drift error / signal",
    "cover_90": "coverage, 90%",
    "beta": "β, mean of fits",
    "beta_covered": "coverage of β, 90%",
    "seconds": "processor seconds",
}


_WELL = Grid((-1.3, -0.8), (1.3, 0.8), (12, 8))
TRUTHS: Mapping[str, tuple[Mapping[str, Any], str, Grid | None]] = {
    "tilted_double_well": ({"beta": 0.3, "start": "normal"}, "poly:4", _WELL),
    "styblinski_tang": ({"beta": 0.1}, "poly:4", None),
    "quadratic": ({"beta": 0.2, "start": "normal"}, "poly:2", None),
    "wavy_plateau": ({"beta": 0.1}, "rbf:50", None),
}
"""Arguments of the simulation, the basis of the fit and where drifts are compared; in all
but the last V is of the basis."""


def apart(
    particles: int,
    intervals: tuple[float, ...],
    truths: tuple[str, ...] = tuple(TRUTHS),
    *,
    paired: bool = False,
) -> dict[str, Truth]:
    """Six snapshots at each of some intervals, the last one after a pause of two."""
    cases = {}
    for interval in intervals:
        substeps = max(20, int(np.ceil(interval / _STEP)))
        times = tuple(round(k * interval, 10) for k in (0, 1, 2, 3, 4, 6))
        common = {"particles": particles, "substeps": substeps, "times": times, "paired": paired}
        for truth in truths:
            simulation, basis, grid = TRUTHS[truth]
            cases[f"{truth}@{interval:g}"] = Truth(
                {"potential": truth, **simulation, **common}, {"potential": basis}, grid
            )
    return cases


def along(cells: pd.DataFrame) -> Report:
    """Tables and a picture of cells whose cases are a truth and an interval."""
    table = recovery_table(cells)
    split = table["case"].str.split("@", expand=True)
    table.insert(1, "truth", split[0])
    table.insert(2, "interval", split[1].astype(float))
    return Report({"metrics": table}, lambda folder: _draw(table, folder / "interval.png"))


def _draw(table: pd.DataFrame, path: Path) -> None:
    truths = list(dict.fromkeys(table["truth"]))
    with styled():
        figure = new_figure(
            "What is made of snapshots further and further apart (bars: 2 standard errors)",
            max(4.2 * len(truths), _LEAST_WIDTH),
            2.1 * len(_QUANTITIES) + 0.8,
        )
        panels = figure.subplots(len(_QUANTITIES), len(truths), sharex=True, squeeze=False)
        for column, truth in zip(panels.T, truths, strict=True):
            column[0].set_title(truth)
            column[-1].set_xlabel("sampling interval (truth's own unit of time)")
            for axes, quantity in zip(column, _QUANTITIES, strict=True):
                _draw_panel(axes, table[table["truth"] == truth], quantity)
        for axes, label in zip(panels[:, 0], _QUANTITIES.values(), strict=True):
            axes.set_ylabel(label)
        panels[0, 0].set_xlim(table["interval"].min() / 1.5, table["interval"].max() * 1.5)
        entries = [axes.get_legend_handles_labels() for axes in panels[0]]
        named = {name: handle for pair in entries for handle, name in zip(*pair, strict=True)}
        figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=3)
        save(figure, path)


def _draw_panel(axes: Axes, table: pd.DataFrame, quantity: str) -> None:
    for method, rows in table.groupby("method", sort=False):
        rows = rows.sort_values("interval")
        error = 2.0 * rows[f"{quantity}_se"].fillna(0.0) if f"{quantity}_se" in rows else None
        axes.errorbar(
            rows["interval"], rows[quantity], error, **_STROKES[str(method)], markersize=4,
            linewidth=1.2, elinewidth=0.8, label=method,
        )  # fmt: skip
    axes.set_xscale("log")
    label_plainly(axes.xaxis)
    true = float(table["beta_true"].iloc[0])
    if quantity in ("error", "seconds"):
        axes.set_yscale("log")
        label_plainly(axes.yaxis)
    elif quantity == "beta":
        axes.axhline(true, color=GREY, linewidth=1.2)
        axes.annotate("truth", (1, true), xycoords=("axes fraction", "data"))
        axes.set_ylim(-2.0 * true, 4.0 * true)
    else:
        axes.axhspan(0.85, 0.95, color=GREY, alpha=0.3, linewidth=0)
        axes.set_ylim(0, 1.02)


EXPERIMENT = Experiment(
    question="How far apart may snapshots be before a likelihood is wrong about the drift, about "
    "β, or about how sure it is?",
    studies=(
        # most of the time for what intervals are promised of; --replicates 50 for two digits
        Study(apart(1000, INTERVALS[:-1], _WELLS), _FLOW, 20, recover),
        Study(apart(1000, INTERVALS[-1:], _WELLS), _FLOW, 3, recover),
        Study(apart(1000, INTERVALS, _WELLS), _OTHERS, 3, recover),
        Study(apart(1000, INTERVALS, ("quadratic", "wavy_plateau")), METHODS, 1, recover),
        Study(apart(1000, (0.05,), ("tilted_double_well",)), NETWORK, 1, recover),
    ),
    smoke=(
        Study(
            apart(200, (0.01, 0.05), ("tilted_double_well",)),
            {name: METHODS[name] for name in ("residual_explicit", "weak", "flow")},
            2,
            recover,
        ),
    ),
    report=along,
)
