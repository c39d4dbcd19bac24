"""Measured cells of several days: how well are those predicted that the fit has not seen?

Nobody knows their true energy, so predictions are all there is to score: of cells held out of every
snapshot, one step ahead, and of whole snapshots left out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes

from bayesjko import Result, Snapshots, fit, leave_out, read_snapshots, simulate
from bayesjko.experiments.datafiles import DataFile
from bayesjko.experiments.onestep import one_step_scores
from bayesjko.experiments.specification import Report
from bayesjko.experiments.tables import mean_table, whole
from bayesjko.plots.style import BLUE, CYCLE, GREY, VERMILION, new_figure, save, styled

__all__ = ["Cells", "alike", "cells_report", "predict"]

_DRAWS = 10  # of a one-step score's interval
_FEW_DRAWS = 4  # of a whole snapshot's
_PLACES = 15  # along the first feature, at which the energy is looked at
_NEAR = 0.05  # share of cells that are near a place
_NUMBERS = ("w1", "w2", "still_w1", "still_w2", "mccann_w2", "floor_w1", "floor_w2")

_REFERENCES = {
    "still": "nobody moves",
    "mccann": "displacement interpolation",
    "floor": "two samples of what was seen",
}


@dataclass(frozen=True)
class Cells:
    """Cells, and what of them is kept from the fit.

    Attributes:
        file: where they are; a simulated stand-in if None.
        options: of `read_snapshots`.
        simulation: of the stand-in.
        left_out: positions of whole snapshots that are left out; a share of all if there are none.
        holdout: that share.
    """

    file: DataFile | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    simulation: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[int, ...] = ()
    holdout: float = 0.4

    def snapshots(self, replicate: int) -> Snapshots:
        """All of them.

        Raises:
            InputError: the file is not there.
        """
        if self.file is None:
            return simulate(**self.simulation, seed=replicate)
        return read_snapshots(self.file.path(), **self.options)


def predict(case: Cells, settings: Mapping[str, Any], replicate: int) -> dict[str, float]:
    """Fit the cells but for those kept from it, and predict these.

    Args:
        case: the cells.
        settings: the method's: of the fit.
        replicate: seed of the split, the fit and the scores; the cells themselves stay the same.

    Returns:
        W1 and W2 of the posterior mean, of nobody moving (`still_w1`), of displacement
        interpolation where whole snapshots are left out (`mccann_w2`) and of two samples of what
        was seen (`floor_w1`), means over the times predicted, with `w1_low` and the like around 90%
        of the draws' scores; where whole snapshots are left out, of each time too, as `w2@TIME`.
        `seconds` of processor time. The first replicate leaves the energy over time too.
    """
    cells = case.snapshots(replicate)
    if case.left_out:
        return _without_snapshots(case, cells, settings, replicate)
    train, test = cells.split(case.holdout, replicate)
    start = time.process_time()
    result = fit(train, jobs=1, seed=replicate, **settings)
    seconds = time.process_time() - start
    numbers = one_step_scores(result, test, draws=_DRAWS, seed=replicate) | {"seconds": seconds}
    if replicate == 0 and "potential" in result.energy.slices:
        numbers |= _energy_over_time(result)
    return numbers


def _without_snapshots(
    case: Cells, cells: Snapshots, settings: Mapping[str, Any], seed: int
) -> dict[str, float]:
    kept = [k for k in range(len(cells.times)) if k not in case.left_out]
    start = time.process_time()
    result = fit(cells.select(kept), jobs=1, seed=seed, **settings)
    seconds = time.process_time() - start
    gone = [float(cells.times[k]) for k in case.left_out]
    scores = leave_out(result, cells, gone, draws=_FEW_DRAWS, seed=seed, jobs=1)
    numbers = {"seconds": seconds}
    for measure in ("w1", "w2"):
        for kind in ("", "_low", "_high"):
            name = measure + kind
            each = [row[name] for row in scores["intervals"]]
            numbers[name] = float(np.mean(each))
            if len(each) > 1:
                numbers |= {f"{name}@{t:g}": one for t, one in zip(gone, each, strict=True)}
        for theirs, ours in (("persistence", "still"), ("mccann", "mccann"), ("floor", "floor")):
            among = [row.get(f"{theirs}_{measure}", np.nan) for row in scores["intervals"]]
            numbers[f"{ours}_{measure}"] = float(np.mean(among))
    return numbers


def _energy_over_time(result: Result) -> dict[str, float]:
    """The potential along the first feature and what cells fall by, interval by interval.

    A place on the way has the mean of all cells near it for its other features. `fall` is the
    potential's mean over the cells of the interval's first snapshot minus that of its last.
    """
    pooled = np.concatenate(result.snapshots.particles)
    places = _places(pooled)
    numbers = {f"place_{i}": float(place) for i, place in enumerate(places[:, 0])}
    for k, since in enumerate(result.snapshots.times[:-1]):
        height = result.potential(places, float(since))
        before, after = (
            result.potential(result.snapshots.particles[index], float(since))
            @ result.snapshots.weights[index]
            for index in (k, k + 1)
        )
        numbers |= {f"since_{k}": float(since), f"until_{k}": float(result.snapshots.times[k + 1])}
        numbers |= _spread(f"fall_{k}", before - after)
        for i in range(len(places)):
            numbers |= _spread(f"height_{k}_{i}", height[:, i])
    return numbers


def _places(pooled: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "m d"]:
    first = pooled[:, 0]
    near = max(2, int(_NEAR * len(pooled)))
    low, high = np.quantile(first, [0.02, 0.98])
    ticks = np.linspace(low, high, _PLACES)
    rows = [pooled[np.argsort(np.abs(first - tick))[:near]].mean(axis=0) for tick in ticks]
    return np.column_stack([ticks, np.array(rows)[:, 1:]])


def _spread(name: str, draws: Float[np.ndarray, " draws"]) -> dict[str, float]:
    low, high = np.quantile(draws, [0.05, 0.95])
    return {name: float(draws.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}


def alike(bumps: int) -> dict[str, dict[str, str]]:
    """One energy for all times on a poor basis, by couplings and by moments of paths."""
    potential = f"rbf:{bumps}:2"
    return {
        f"static_{bumps}": {"potential": potential, "likelihood": "residual"},
        "flow": {"potential": potential, "likelihood": "flow"},
    }


def cells_report(cells: pd.DataFrame, theirs: pd.DataFrame | None) -> Report:
    """Our scores, beside those published if there are any, and the energy over time.

    Args:
        cells: one row each.
        theirs: what others published, as `published` gives it: its settings are our cases.
    """
    named = [str(name) for name in cells if str(name).startswith(("w1@", "w2@"))]
    each = [name for name in named if "_" not in name.split("@")[0]]
    spreads = [name for name in named if name not in each]
    table = mean_table(
        cells,
        (*_NUMBERS, *each),
        medians=("w1_low", "w1_high", "w2_low", "w2_high", *spreads, "seconds"),
    ).dropna(axis="columns", how="all")
    tables = {"metrics": table}
    if theirs is not None:
        tables["published"] = _beside(table, theirs)
    energy = _energy_table(cells)
    if len(energy):
        tables["energy"] = energy
    return Report(tables, lambda folder: _draw(table, theirs, cells, folder))


def _beside(table: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Ours and theirs in one column, best first: one group a setting, a time and a measure."""
    rows = []
    for row in table.to_dict("records"):
        for (when, measure), _ in theirs[theirs["setting"] == row["case"]].groupby(
            ["case", "measure"], sort=False
        ):
            name = measure if when == "mean" else f"{measure}@{str(when).split()[-1]}"
            if name in row and np.isfinite(row[name]):
                rows.append(
                    {
                        "setting": row["case"],
                        "case": when,
                        "measure": measure,
                        "method": f"ours, {row['method']}",
                        "value": row[name],
                        "se": row.get(f"{name}_se", np.nan),
                        "source": "this run",
                    }
                )
    both = pd.concat([pd.DataFrame(rows), theirs.drop(columns="resolution")], ignore_index=True)
    both = both[both["setting"].isin(table["case"])]
    columns = ["setting", "case", "measure", "method", "value", "se", "source"]
    return both.reindex(columns=columns).sort_values(
        ["setting", "case", "measure", "value"], ignore_index=True
    )


def _energy_table(cells: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for row in _with_energy(cells).to_dict("records"):
        for k in _intervals(row):
            names = ("fall", "fall_low", "fall_high")
            found = [row[f"fall_{k}"], row[f"fall_{k}_low"], row[f"fall_{k}_high"]]
            rows.append(
                {"case": row["case"], "method": row["method"], "since": row[f"since_{k}"],
                 "until": row[f"until_{k}"], **dict(zip(names, found, strict=True))}
            )  # fmt: skip
    return pd.DataFrame(rows)


def _with_energy(cells: pd.DataFrame) -> pd.DataFrame:
    found = whole(cells)
    return found[found["place_0"].notna()] if "place_0" in found else found.iloc[:0]


def _intervals(row: Mapping[Any, Any]) -> list[int]:
    names = (str(name) for name in row if str(name).startswith("since_"))
    return sorted(int(name.split("_")[1]) for name in names if np.isfinite(row[name]))


def _draw(
    table: pd.DataFrame, theirs: pd.DataFrame | None, cells: pd.DataFrame, folder: Path
) -> None:
    with styled():
        for case, rows in table.groupby("case", sort=False):
            if not rows["replicates"].any():  # every fit failed: nothing to show
                continue
            measure = "w2" if "w2@" in "".join(table.columns) and "without" in str(case) else "w1"
            _draw_scores(str(case), rows, measure, theirs, folder / f"{_stem(str(case))}.png")
        for row in _with_energy(cells).to_dict("records"):
            _draw_energy(row, folder / f"energy_{row['method']}.png")


def _stem(case: str) -> str:
    return case.replace(",", "").replace(" ", "_")


def _draw_scores(
    case: str, rows: pd.DataFrame, measure: str, theirs: pd.DataFrame | None, path: Path
) -> None:
    """Ours with standard errors, what others published, and the references."""

    def known_to(row: Mapping[Any, Any]) -> float:
        return float(row.get(f"{measure}_se", np.nan))

    bars = [
        (f"ours, {row['method'].replace('_', ' ')}", row[measure], known_to(row), BLUE, "o")
        for row in rows.to_dict("records")
    ]
    if theirs is not None:
        of = theirs[(theirs["setting"] == case) & (theirs["measure"] == measure)]
        bars += [
            (f"{method}, published", value, np.nan, VERMILION, "s")
            for method, value in of.groupby("method", sort=False)["value"].mean().items()
        ]
    names = {
        "still": "nobody moves",
        "mccann": "displacement interpolation",
        "floor": "two samples",
    }  # noqa: E501
    for name, told in names.items():
        values = rows.get(f"{name}_{measure}", pd.Series(dtype=float)).dropna()
        if len(values):
            bars.append((told, values.mean(), np.nan, GREY, "|"))
    bars.sort(key=lambda bar: bar[1])
    figure = new_figure(
        f"{case}: {measure.upper()}, mean over times (bars: 2 standard errors)",
        7.0,
        0.28 * len(bars) + 1.2,
    )
    axes = figure.subplots()
    for place, (_, value, error, colour, mark) in enumerate(bars):
        axes.errorbar(
            value, place, xerr=2.0 * np.nan_to_num(error), color=colour, marker=mark, markersize=6,
        )  # fmt: skip
    axes.set_yticks(range(len(bars)), [bar[0] for bar in bars])
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlim(left=0.0)
    axes.grid(axis="y", color=GREY, alpha=0.2)
    axes.set_xlabel(f"{measure.upper()} (data's unit of length)")
    save(figure, path)


def _draw_energy(row: Mapping[Any, Any], path: Path) -> None:
    """The potential along the first feature in each interval, and what cells fall by."""
    intervals = _intervals(row)
    count = sum(str(name).startswith("place_") for name in row)
    places = np.array([row[f"place_{i}"] for i in range(count)])
    figure = new_figure(
        f"Energy over time, {row['case']}, {row['method']} (bands and bars: 90% intervals)",
        9.5,
        4.2,
    )
    axes, falls = figure.subplots(1, 2, width_ratios=(3, 2))
    for index, k in enumerate(intervals):
        mean, low, high = (
            np.array([row[f"height_{k}_{i}{end}"] for i in range(count)])
            for end in ("", "_low", "_high")
        )
        colour, line = CYCLE[index % len(CYCLE)], ("-", "--", "-.", ":")[index % 4]
        label = f"time {row[f'since_{k}']:g} to {row[f'until_{k}']:g}"
        axes.plot(places, mean, color=colour, linestyle=line, label=label)
        axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel("first feature, others at the mean of cells near")
    axes.set_ylabel("potential V (features² / time), 0 at the data's mean")
    axes.legend()
    _draw_falls(falls, row, intervals)
    save(figure, path)


def _draw_falls(axes: Axes, row: Mapping[Any, Any], intervals: list[int]) -> None:
    middle = np.array([row[f"fall_{k}"] for k in intervals])
    ends = np.array([[row[f"fall_{k}_low"], row[f"fall_{k}_high"]] for k in intervals])
    for index, k in enumerate(intervals):
        axes.errorbar(
            index, middle[index], np.abs(ends[index] - middle[index])[:, None],
            color=CYCLE[index % len(CYCLE)], marker="o", label=str(k),
        )  # fmt: skip
    axes.axhline(0.0, color=GREY, linewidth=0.8)
    names = [f"{row[f'since_{k}']:g}–{row[f'until_{k}']:g}" for k in intervals]
    axes.set_xticks(range(len(intervals)), names)
    axes.set_xlim(-0.5, len(intervals) - 0.5)
    axes.set_xlabel("interval of time")
    axes.set_ylabel("mean fall of V over it")
