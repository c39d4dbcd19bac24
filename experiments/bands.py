"""Do predictive bands hold what happens? Forecasts of populations whose truth is known."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesjko import fit, predictive_bands, simulate
from bayesjko.experiments.recovery import Truth
from bayesjko.experiments.specification import Experiment, Report, Study
from bayesjko.plots.style import BLACK, BLUE, GREY, ORANGE, new_figure, save, styled

__all__ = ["EXPERIMENT"]

METHODS = {"residual": {"likelihood": "residual"}, "flow": {"likelihood": "flow"}}
_FRESH = 1_000_000  # added to a replicate's seed for the population that is forecast


def _truths(particles: int) -> dict[str, Truth]:
    common = {"start": "normal", "beta": 0.3, "particles": particles}
    wells = {"potential": "tilted_double_well", "times": (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)}
    return {"tilted_double_well": Truth({**wells, **common}, {"potential": "poly:4"})}


def forecast(truth: Truth, settings: Mapping[str, Any], replicate: int) -> dict[str, float]:
    """Fit one simulated population and forecast each snapshot of another from the one before.

    Args:
        truth: what is simulated.
        settings: the method's: changes of the fit's settings.
        replicate: seed of the simulations, of the fit and of the forecasts.

    Returns:
        `cover_90` and `w1_cover_90`, the shares of quantiles and of distances W1 that lie within
        their 90% bands; `energy_part`, the share of the bands' variance that comes of not knowing
        the energy; `seconds` of processor time.
    """
    snapshots = simulate(**truth.simulation, seed=replicate)
    fresh = simulate(**truth.simulation, seed=replicate + _FRESH)
    start = time.process_time()
    result = fit(snapshots, jobs=1, seed=replicate, **{**truth.settings, **settings})
    found = predictive_bands(result, fresh, level=0.9, mode="sde", seed=replicate)
    parts = [
        (each["epistemic_sd"] ** 2, each["aleatoric_sd"] ** 2)
        for row in found["intervals"]
        for each in row["quantiles"]
    ]
    energy, chance = np.mean(parts, axis=0)
    return {
        "cover_90": found["coverage"],
        "w1_cover_90": found["w1_coverage"],
        "energy_part": float(energy / (energy + chance)),
        "seconds": time.process_time() - start,
    }


def _report(cells: pd.DataFrame) -> Report:
    rows = [
        {"case": case, "method": method, **_summary(group)}
        for (case, method), group in cells.groupby(["case", "method"], sort=False)
    ]
    table = pd.DataFrame(rows)
    return Report({"metrics": table}, lambda folder: _draw(table, folder / "bands.png"))


def _summary(group: pd.DataFrame) -> dict[str, float | int]:
    whole = group[group["failure"].isna()] if "failure" in group else group
    count = len(whole)
    numbers: dict[str, float | int] = {"replicates": count, "failed": len(group) - count}
    for name in ("cover_90", "w1_cover_90"):
        numbers[name] = float(whole[name].mean()) if count else np.nan
        numbers[f"{name}_se"] = float(whole[name].std() / np.sqrt(count)) if count > 1 else np.nan
    numbers["energy_part"] = float(whole["energy_part"].mean()) if count else np.nan
    numbers["seconds"] = float(whole["seconds"].median()) if count else np.nan
    return numbers


def _draw(table: pd.DataFrame, path: Path) -> None:
    rows = np.arange(len(table))
    with styled():
        figure = new_figure(
            "Do 90% predictive bands hold what happens? (bars: 2 standard errors)",
            7.0,
            0.6 * len(table) + 2.2,
        )
        axes = figure.subplots()
        axes.axvspan(85, 95, color=GREY, alpha=0.3, linewidth=0, label="target")
        axes.axvline(90, color=BLACK, linewidth=0.8)
        for name, label, colour, mark, offset in (
            ("cover_90", "quantiles", BLUE, "o", -0.1),
            ("w1_cover_90", "W1", ORANGE, "s", 0.1),
        ):
            error = 200 * table[f"{name}_se"].fillna(0.0)
            axes.errorbar(
                100 * table[name], rows + offset, xerr=error, color=colour, marker=mark,
                linestyle="none", label=label,
            )  # fmt: skip
        axes.set_yticks(rows, [f"{row.case}\n{row.method}" for row in table.itertuples()])
        axes.set_ylim(len(table) - 0.5, -0.5)
        axes.set_xlim(0, 101)
        axes.set_xlabel("share within the band, %")
        figure.legend(loc="outside lower center", ncols=3)
        save(figure, path)


EXPERIMENT = Experiment(
    question="Do 90% predictive bands for quantiles and for W1, one snapshot ahead, hold what "
    "another population of the same truth does?",
    studies=(Study(_truths(300), METHODS, 60, forecast),),
    smoke=(Study(_truths(100), {"residual": METHODS["residual"]}, 1, forecast),),
    report=_report,
)
