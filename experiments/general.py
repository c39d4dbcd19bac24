"""Potential, interaction and diffusion at once (JKOnet* §4.3): is each found again?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bayesjko.experiments.published import published
from bayesjko.experiments.recovery import Truth
from bayesjko.experiments.specification import Experiment, Report, Study
from bayesjko.experiments.terms import recover_terms, terms_table
from bayesjko.plots.style import BLUE, CYCLE, GREEN, GREY, ORANGE, new_figure, save, styled

__all__ = ["EXPERIMENT"]

POTENTIALS = ("styblinski_tang", "wavy_plateau", "oakley_ohagan")
INTERACTIONS = {"none": 1.0, "flowers": 1.0, "quadratic": 10.0, "gaussian": 100.0}
"""What is felt of the others, and how strongly: a push, an attraction at all ranges, at one."""

BETAS = (0.0, 0.1, 0.2)
_SETTINGS = {"potential": "poly:4+rbf:40", "interaction": "fourier:12"}
METHODS = {"residual": {"likelihood": "residual"}}
_AS_MADE = {"residual_explicit": {"likelihood": "residual", "scheme": "explicit"}}
"""Of data whose particles took one explicit step from snapshot to snapshot, as those published."""

_PAIRED = "styblinski_tang+flowers@0.1 paired"
_COLOURS = {"drift": BLUE, "potential": GREEN, "interaction": ORANGE}


def _case(potential: str, interaction: str, beta: float, particles: int, **changes: Any) -> Truth:
    simulation = {
        "potential": potential,
        "interaction": interaction,
        "interaction_scale": INTERACTIONS[interaction],
        "beta": beta,
        "particles": 2 * particles,  # half of which are kept for the test
        "tau": 0.01,
        "substeps": 4,  # each of all pairs
    }
    return Truth({**simulation, **changes}, _SETTINGS)


def _cases(
    potentials: tuple[str, ...], interactions: tuple[str, ...], betas: tuple[float, ...],
    particles: int,
) -> dict[str, Truth]:  # fmt: skip
    return {
        f"{potential}+{interaction}@{beta:g}": _case(potential, interaction, beta, particles)
        for potential in potentials
        for interaction in interactions
        for beta in betas
    }


def _report(cells: pd.DataFrame) -> Report:
    table = terms_table(cells)
    beside = _beside(table)
    return Report(
        {"metrics": table, "published": beside}, lambda folder: _draw(table, folder / "terms.png")
    )


def _beside(table: pd.DataFrame) -> pd.DataFrame:
    """Ours and theirs of the one case that was published: particles followed."""
    theirs = published("general")[["case", "measure", "method", "value", "source"]]
    rows = [
        {
            "case": row["case"],
            "measure": measure,
            "method": f"ours, {row['method']}",
            "value": row[measure],
            "se": row[f"{measure}_se"],
            "source": "this run",
        }
        for row in table.to_dict("records")
        for measure in ("w1", "beta")
        if row["case"] in set(theirs["case"])
    ]
    both = pd.concat([pd.DataFrame(rows), theirs], ignore_index=True)
    return both[both["case"].isin(table["case"])].sort_values(["case", "measure"])


def _draw(table: pd.DataFrame, path: Path) -> None:
    cases = list(table["case"])
    with styled():
        figure = new_figure(
            "Is each term found again? (bars: 2 standard errors)",
            11.0,
            0.26 * len(cases) + 2.0,
        )
        error, cover, beta = figure.subplots(1, 3, sharey=True)
        for term, colour in _COLOURS.items():
            prefix = "" if term == "drift" else f"{term}_"
            offset = 0.2 * (list(_COLOURS).index(term) - 1)
            _dots(error, table, f"{prefix}error", offset, colour, term)
            _dots(cover, table, f"{prefix}cover_90", offset, colour, term)
        _dots(beta, table, "beta", 0.0, CYCLE[1], "posterior mean")
        beta.plot(table["beta_true"], np.arange(len(cases)), "|", color=GREY, markersize=10,
                  markeredgewidth=2, label="truth")  # fmt: skip
        said = np.flatnonzero(table["unidentified"] > 0.5)
        error.plot(np.full(len(said), 1.02), said, "s", transform=error.get_yaxis_transform(),
                   fillstyle="none", color=GREY, clip_on=False,
                   label="the fit says that a term cannot be told")  # fmt: skip
        error.set_xscale("symlog", linthresh=1.0)
        error.set_xticks([0, 0.5, 1, 10, 100], ["0", "0.5", "1", "10", "100"])
        error.set_xlim(left=0.0)
        error.set_xlabel("error / force's own size")
        cover.axvspan(0.85, 0.95, color=GREY, alpha=0.3, linewidth=0)
        cover.set_xlim(-0.02, 1.02)
        cover.set_xlabel("coverage of 90% intervals")
        beta.set_xlabel("β")
        error.set_yticks(range(len(cases)), cases)
        error.set_ylim(len(cases) - 0.5, -0.5)
        for axes in (error, beta):
            axes.grid(axis="y", color=GREY, alpha=0.2)
        handles = [axes.get_legend_handles_labels() for axes in (error, beta)]
        figure.legend(
            [one for each, _ in handles for one in each],
            [name for _, each in handles for name in each],
            loc="outside lower center", ncols=6,
        )  # fmt: skip
        save(figure, path)


def _dots(
    axes: Axes, table: pd.DataFrame, name: str, offset: float, colour: str, label: str
) -> None:
    if name not in table:
        return
    bars = 2.0 * table[f"{name}_se"].fillna(0.0) if f"{name}_se" in table else None
    axes.errorbar(
        table[name], np.arange(len(table)) + offset, xerr=bars, color=colour, marker="o",
        markersize=4, linestyle="none", elinewidth=0.8, label=label,
    )  # fmt: skip


EXPERIMENT = Experiment(
    question="Are a potential, an interaction and β found again where all three act at once, and "
    "does the fit say so where one of them cannot be?",
    studies=(
        Study(
            {_PAIRED: _case("styblinski_tang", "flowers", 0.1, 1000, paired=True, substeps=1)},
            _AS_MADE,
            5,
            recover_terms,
        ),
        Study(_cases(POTENTIALS, tuple(INTERACTIONS), BETAS, 1000), METHODS, 5, recover_terms),
    ),
    smoke=(
        Study(
            {
                name: Truth(truth.simulation, {"potential": "poly:2", "interaction": "poly:2"})
                for name, truth in _cases(
                    ("styblinski_tang",), ("none", "quadratic"), (0.1,), 40
                ).items()
            },
            METHODS,
            2,
            recover_terms,
        ),
    ),
    report=_report,
)
