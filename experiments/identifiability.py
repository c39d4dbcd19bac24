"""What cannot be learned, and whether we say so: gauges, equilibrium, too few snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bayesjko.experiments.axes import label_plainly
from bayesjko.experiments.recovery import Truth
from bayesjko.experiments.specification import Experiment, Report, Study
from bayesjko.experiments.terms import recover_terms, terms_table
from bayesjko.plots.style import BLUE, CYCLE, GREEN, GREY, ORANGE, new_figure, save, styled

__all__ = ["EXPERIMENT"]

METHODS: Mapping[str, Mapping[str, Any]] = {
    "residual": {"likelihood": "residual"},
    "flow": {"likelihood": "flow"},
}
_STROKES: Mapping[str, dict[str, Any]] = {
    "residual": {"color": CYCLE[1], "marker": "s", "linestyle": "-."},
    "flow": {"color": BLUE, "marker": "o", "linestyle": "-"},
}
_TOGETHER = 6000  # particles of all snapshots, however many these are
_LAST = 0.3
_STILL = "quadratic W, mean still"


def _gauge(particles: int, basis: str = "poly:4") -> dict[str, Truth]:
    """A quadratic confinement and an attraction, while the mean stands still or moves."""
    settings = {"potential": basis, "interaction": basis}
    common = {"beta": 0.2, "start": "normal", "particles": 2 * particles, "tau": 0.05}
    quadratic = {"interaction": "quadratic", "interaction_scale": 1.0}
    gaussian = {"interaction": "gaussian", "interaction_scale": 4.0}
    cases = {
        _STILL: {"potential": "quadratic", **quadratic},
        "quadratic W, mean moves": {"potential": "tilted_double_well", **quadratic},
        "short-ranged W, mean still": {"potential": "quadratic", **gaussian},
        "short-ranged W, mean moves": {"potential": "tilted_double_well", **gaussian},
    }
    return {name: Truth({**common, **case}, settings) for name, case in cases.items()}


def _equilibrium(betas: tuple[float, ...], particles: int) -> dict[str, Truth]:
    """N(0, I) in a bowl whose equilibrium is N(0, βI): nothing happens at β = 1."""
    common = {"start": "normal", "particles": 2 * particles, "tau": 0.1}
    return {
        f"equilibrium@{abs(1.0 - beta):g}": Truth(
            {"potential": "quadratic", "beta": beta, **common}, {"potential": "poly:2"}
        )
        for beta in betas
    }


def _wells(snapshots: int, particles: int) -> Truth:
    """So many snapshots of a span in which wells relax."""
    return Truth(
        {
            "potential": "tilted_double_well",
            "beta": 0.3,
            "start": "normal",
            "particles": 2 * particles,
            "times": tuple(np.round(np.linspace(0.0, _LAST, snapshots), 10).tolist()),
            "substeps": max(2, 60 // (snapshots - 1)),
        },
        {"potential": "poly:4"},
    )


def _snapshots(counts: tuple[int, ...], together: int) -> dict[str, Truth]:
    """As many particles in all, at more and more times of the same span."""
    return {f"snapshots@{count}": _wells(count, together // count) for count in counts}


def _particles(counts: tuple[int, ...], snapshots: int) -> dict[str, Truth]:
    """More and more particles at the same times."""
    return {f"particles@{count}": _wells(snapshots, count) for count in counts}


def _report(cells: pd.DataFrame) -> Report:
    table = terms_table(cells)
    return Report({"metrics": table}, lambda folder: _draw(table, folder))


def _draw(table: pd.DataFrame, folder: Path) -> None:
    with styled():
        along = table[table["case"].str.contains("@")]
        if len(along):
            _draw_along(along, folder / "beta.png")
        gauge = table[~table["case"].str.contains("@")]
        if len(gauge):
            _draw_gauge(gauge, folder / "gauge.png")


def _draw_gauge(table: pd.DataFrame, path: Path) -> None:
    """How well each term and their sum are known, and what the fit says of it."""
    figure = new_figure(
        "Can potential and interaction be told apart? (bars: 2 standard errors)", 9.5,
        0.55 * len(table) + 2.0,
    )  # fmt: skip
    panels = figure.subplots(1, 3, sharey=True)
    rows = np.arange(len(table))
    terms = {"potential_": ("force of V", GREEN, "^"), "interaction_": ("force of W", ORANGE, "s"),
             "": ("their sum", BLUE, "o")}  # fmt: skip
    for axes, kind, label in zip(
        panels, ("spread", "cover_90"), ("interval sd / own size", "coverage of 90% intervals"),
        strict=False,
    ):  # fmt: skip
        for index, (prefix, (name, colour, mark)) in enumerate(terms.items()):
            column = f"{prefix}{kind}"
            axes.errorbar(
                table[column], rows + 0.15 * (index - 1),
                xerr=2.0 * table[f"{column}_se"].fillna(0.0), color=colour, marker=mark,
                linestyle="none", markersize=5, label=name,
            )  # fmt: skip
        axes.set_xlabel(label)
    panels[0].set_xlim(left=0.0)
    panels[1].axvspan(0.85, 0.95, color=GREY, alpha=0.3, linewidth=0)
    panels[1].set_xlim(-0.02, 1.02)
    panels[2].barh(rows, 100 * table["gauge"], color=GREY, height=0.5)
    panels[2].set_xlabel("fits that say they cannot, %")
    panels[2].set_xlim(0, 101)
    panels[0].set_yticks(rows, table["case"])
    panels[0].set_ylim(len(table) - 0.5, -0.5)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    save(figure, path)


def _draw_along(table: pd.DataFrame, path: Path) -> None:
    """β and the drift against the distance from equilibrium and the number of snapshots."""
    split = table["case"].str.split("@", expand=True)
    table = table.assign(study=split[0], place=split[1].astype(float))
    labels = {
        "equilibrium": "distance from equilibrium, |1 − β|",
        "snapshots": "number of snapshots, 6,000 particles in all",
        "particles": "particles of each of 6 snapshots",
    }
    studies = [name for name in labels if name in set(table["study"])]
    figure = new_figure(
        "What β and the drift are known to (bars: 2 standard errors)", 4.6 * len(studies) + 0.6, 9.5
    )
    panels = figure.subplots(4, len(studies), squeeze=False, sharex="col")
    quantities = ("beta_error", "beta_covered", "spread", "unidentified")
    names = ("(mean β − truth) / truth", "coverage of β, 90%", "drift's interval sd / signal",
             "fits that warn")  # fmt: skip
    table = table.assign(
        beta_error=table["beta"] / table["beta_true"] - 1.0,
        beta_error_se=table["beta_se"] / table["beta_true"],
    )
    for column, study in zip(panels.T, studies, strict=True):
        of = table[table["study"] == study]
        column[-1].set_xlabel(labels[study])
        for axes, quantity in zip(column, quantities, strict=True):
            _draw_panel(axes, of, quantity)
    for axes, name in zip(panels[:, 0], names, strict=True):
        axes.set_ylabel(name)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    save(figure, path)


def _draw_panel(axes: Axes, table: pd.DataFrame, quantity: str) -> None:
    for method, rows in table.groupby("method", sort=False):
        rows = rows.sort_values("place")
        error = 2.0 * rows[f"{quantity}_se"].fillna(0.0) if f"{quantity}_se" in rows else None
        axes.errorbar(
            rows["place"], rows[quantity], error, **_STROKES[str(method)], markersize=4,
            linewidth=1.2, elinewidth=0.8, label=method,
        )  # fmt: skip
    if table["place"].min() >= 2:
        axes.set_xscale("log")
        label_plainly(axes.xaxis)
        axes.set_xticks(sorted(set(table["place"])))
    if quantity == "beta_error":
        axes.axhline(0.0, color=GREY, linewidth=1.0)
    elif quantity == "beta_covered":
        axes.axhspan(0.85, 0.95, color=GREY, alpha=0.3, linewidth=0)
        axes.set_ylim(-0.02, 1.02)
    elif quantity == "unidentified":
        axes.set_ylim(-0.02, 1.02)
    else:
        axes.set_ylim(bottom=0.0)


EXPERIMENT = Experiment(
    question="Do intervals widen and warnings come where V and W trade off, where the population "
    "is close to equilibrium, and where there are few snapshots or few particles?",
    studies=(
        Study(_gauge(1000), {"residual": METHODS["residual"]}, 20, recover_terms),
        Study(_equilibrium((1.0, 0.9, 0.8, 0.6, 0.4, 0.2), 1000), METHODS, 15, recover_terms),
        Study(_snapshots((2, 3, 4, 6, 11), _TOGETHER), METHODS, 15, recover_terms),
        Study(_particles((100, 200, 400), 6), METHODS, 15, recover_terms),
    ),
    smoke=(
        Study(
            {_STILL: _gauge(40, "poly:2")[_STILL]},
            {"residual": METHODS["residual"]},
            2,
            recover_terms,
        ),
        Study(_equilibrium((1.0, 0.4), 40), {"residual": METHODS["residual"]}, 2, recover_terms),
    ),
    report=_report,
)
