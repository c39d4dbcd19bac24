"""Does the energy that is there win? Comparisons by log evidence of truths of every kind."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from bayesjko import simulate
from bayesjko.experiments.recovery import Truth
from bayesjko.experiments.specification import Experiment, Report, Study
from bayesjko.experiments.tables import mean_table
from bayesjko.plots.style import BLACK, new_panels, save, styled
from bayesjko.selection import Compared, compare

__all__ = ["EXPERIMENT"]

KINDS = ("V", "V+beta", "V+W", "V+W+beta")
METHODS = {name: {"likelihood": name} for name in ("residual", "weak", "flow")}


def _truths(particles: int, snapshots: int, settings: Mapping[str, Any]) -> dict[str, Truth]:
    """Two wells; an attraction of a range of one; a diffusion that spreads as far as the wells."""
    common = {
        "potential": "double_well",
        "start": "normal",
        "tau": 0.02,
        "particles": particles,
        "snapshots": snapshots,
    }
    return {
        kind: Truth(
            {
                **common,
                "interaction": "gaussian" if "W" in kind else "none",
                "interaction_scale": 20.0,
                "beta": 1.0 if "beta" in kind else 0.0,
            },
            settings,
        )
        for kind in KINDS
    }


def compete(truth: Truth, settings: Mapping[str, Any], replicate: int) -> dict[str, float]:
    """Compare all kinds of energy on one simulated population.

    Args:
        truth: what is simulated.
        settings: the method's: changes of the settings.
        replicate: seed of the simulation and of the comparison.

    Returns:
        `won_KIND`, one for the winner; `right`, whether that is the truth's kind; `lead`, the log
        evidence of the truth's kind over the best of the others; `seconds` of processor time.
    """
    snapshots = simulate(**truth.simulation, seed=replicate)
    start = time.process_time()
    found = compare(snapshots, jobs=1, seed=replicate, **{**truth.settings, **settings})
    seconds = time.process_time() - start
    evidence = {_kind(one): one.log_evidence for one in found.candidates}
    winner, true = _kind(found.candidates[0]), _kind_of(truth)
    others = max(value for kind, value in evidence.items() if kind != true)
    return {
        **{f"won_{kind}": float(kind == winner) for kind in KINDS},
        "right": float(winner == true),
        "lead": evidence[true] - others,
        "seconds": seconds,
    }


def _kind(one: Compared) -> str:
    return "V" + "+W" * (one.interaction != "none") + "+beta" * one.internal


def _kind_of(truth: Truth) -> str:
    simulation = truth.simulation
    return "V" + "+W" * (simulation["interaction"] != "none") + "+beta" * (simulation["beta"] > 0)


def _report(cells: pd.DataFrame) -> Report:
    table = mean_table(cells, ("right", *(f"won_{kind}" for kind in KINDS)), ("lead", "seconds"))
    return Report({"metrics": table}, lambda folder: _draw(table, folder / "confusion.png"))


def _draw(table: pd.DataFrame, path: Path) -> None:
    methods = list(dict.fromkeys(table["method"]))
    with styled():
        figure, panels = new_panels(
            "Which energy wins by log evidence: share of replicates, % (framed: the right one)",
            len(methods),
            width=3.2,
            height=3.0,
            labels=("the winner", "the truth"),
        )
        for axes, method in zip(panels, methods, strict=True):
            rows = table[table["method"] == method].set_index("case").reindex(KINDS)
            shares = rows[[f"won_{kind}" for kind in KINDS]].to_numpy()
            axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.6)  # black is legible on all of it
            for (truth, winner), share in np.ndenumerate(shares):
                text = "" if np.isnan(share) else f"{100 * share:.0f}"
                axes.text(winner, truth, text, ha="center", va="center", color=BLACK)
            for place in range(len(KINDS)):
                corner = (place - 0.48, place - 0.48)
                axes.add_patch(Rectangle(corner, 0.96, 0.96, fill=False, linewidth=1.5))
            names = [kind.replace("beta", "β") for kind in KINDS]
            axes.set_xticks(range(len(KINDS)), names)
            axes.set_yticks(range(len(KINDS)), names)
            axes.set_title(f"{method}: right {100 * rows['right'].mean():.0f}%")
        save(figure, path)


EXPERIMENT = Experiment(
    question="When energies with and without an interaction and an internal term are compared by "
    "log evidence, how often does the right one win?",
    studies=(
        Study(
            _truths(1000, 6, {"potential": "poly:4", "interaction": "fourier:6"}),
            METHODS,
            15,
            compete,
        ),
    ),
    smoke=(
        Study(
            _truths(100, 3, {"potential": "poly:2", "interaction": "poly:2"}),
            {"residual": METHODS["residual"]},
            2,
            compete,
        ),
    ),
    report=_report,
)
