"""Countries whose names the fit does not see: are they coupled to themselves, and where do they go?

The snapshots are the same 142 countries twelve times, and no independent samples of a population:
what intervals of forecasts leave out is what each country has for itself, which no cloud of
nameless points shows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from scipy.stats import rankdata

from bayesjko import Result, Snapshots, fit
from bayesjko.countries import countries
from bayesjko.evaluate.predicting import coefficients_of, moved
from bayesjko.experiments.specification import Experiment, Report, Study
from bayesjko.forecast import default_mode
from bayesjko.inference.distances import wasserstein
from bayesjko.inference.transport import optimal_plan
from bayesjko.plots.style import BLACK, BLUE, GREY, ORANGE, VERMILION, new_figure, save, styled

__all__ = ["EXPERIMENT"]

GOAL = 2007
FORECASTS: Mapping[str, dict[str, Any]] = {
    "residual": {"potential": "poly:3", "likelihood": "residual"},
    "flow": {"potential": "poly:3", "likelihood": "flow"},
    "random walk": {
        "potential": "poly:3",
        "likelihood": "residual",
        "time_variation": "random-walk",
    },
}
COUPLINGS: Mapping[str, dict[str, Any] | None] = {
    "as they are": None,
    "moved by the energy": FORECASTS["residual"],
}
_DRAWS = 200
_SHOWN = 1982  # from which the picture forecasts


def _fitted(until: int, settings: Mapping[str, Any], seed: int) -> tuple[Result, Snapshots]:
    """A fit to the nameless countries up to a year, and the named ones."""
    named = countries().snapshots
    past = replace(named.select(np.flatnonzero(named.times <= until).tolist()), paired=False)
    return fit(past, jobs=1, seed=seed, **settings), named


def _paths(result: Result, named: Snapshots, start: int, end: int, seed: int, **how: Any) -> Any:
    """Of each named country under the posterior mean, and then under draws: (draw, n, d)."""
    return moved(
        result,
        coefficients_of(result, how.pop("draws", _DRAWS), seed),
        named,
        start,
        named.times[end : end + 1],
        mode=default_mode(result),
        substeps=20,
        seed=seed,
        **how,
    )[:, 0]


def forecast(until: int, settings: Mapping[str, Any], replicate: int) -> dict[str, float]:
    """Fit what was seen until a year, and forecast each country from there to 2007.

    Args:
        until: the last year that is fitted, from which countries start.
        settings: of the fit.
        replicate: seed of the fit's draws and of the forecast's noise.

    Returns:
        `error`, the mean distance of a country from its forecast, the mean over draws (in features:
        a doubling of income, ten years of life), `error_low` and `error_high`, within which lie 90%
        of the single draws' own; beside it `nobody_moves` and `all_alike`, where each country goes
        on as all did on average; `closer`, the share of countries nearer to their forecast than to
        where they were; `cover_income` and `cover_life`, the shares within their 90% intervals; and
        the distance W1 of the population with `w1_nobody_moves`.
    """
    begun = time.process_time()
    result, named = _fitted(until, settings, replicate)
    start, end = int(np.flatnonzero(named.times == until)[0]), len(named.times) - 1
    was, became = named.particles[start], named.particles[end]
    clouds = _paths(result, named, start, end, replicate)
    draws = clouds[1:][np.all(np.isfinite(clouds[1:]), axis=(1, 2))]
    expected = draws.mean(axis=0)
    each = np.linalg.norm(draws - became, axis=2).mean(axis=1)
    pace = (was - named.particles[0]).mean(axis=0) / (until - named.times[0])
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    income, life = np.mean((low <= became) & (became <= high), axis=0)
    gone, missed = _distance(was, became), _distance(expected, became)
    return {
        "error": missed.mean(),
        "error_low": np.quantile(each, 0.05),
        "error_high": np.quantile(each, 0.95),
        "nobody_moves": gone.mean(),
        "all_alike": _distance(was + pace * (GOAL - until), became).mean(),
        "closer": np.mean(missed < gone),
        "cover_income": income,
        "cover_life": life,
        "w1": wasserstein(expected, became),
        "w1_nobody_moves": wasserstein(was, became),
        "seconds": time.process_time() - begun,
    }


def couple(lag: int, settings: Mapping[str, Any] | None, replicate: int) -> dict[str, float]:
    """Couple all pairs of snapshots so many years apart by optimal transport, and ask for names.

    Args:
        lag: years between the two.
        settings: of a fit whose energy first moves the earlier cloud to the later time, without
            noise; None couples the clouds as they are.
        replicate: seed of the fit.

    Returns:
        `same`, the share of countries that are coupled to themselves; `rank_income` and
        `rank_life`, how many places of 142 their partner is away from them on average;
        `chance_same` and `chance_rank`, what a random coupling has.
    """
    begun = time.process_time()
    named = countries().snapshots
    pairs = [
        (int(k), int(after[0]))
        for k, t in enumerate(named.times)
        if len(after := np.flatnonzero(named.times == t + lag))
    ]
    result = None if settings is None else _fitted(GOAL, settings, replicate)[0]
    found = []
    for k, later in pairs:
        here, there = named.particles[k], named.particles[later]
        if result is not None:
            here = _paths(result, named, k, later, replicate, draws=1, noisy=False)[0]
        plan = optimal_plan(here, there, named.weights[k], named.weights[later])
        ranks = rankdata(there, axis=0)
        away = plan.mass @ np.abs(ranks[plan.target] - ranks[plan.source])
        found.append([plan.mass @ (plan.source == plan.target), *away])
    same, income, life = np.mean(found, axis=0)
    count = named.counts[0]
    return {
        "same": same,
        "rank_income": income,
        "rank_life": life,
        "chance_same": 1.0 / count,
        "chance_rank": (count**2 - 1.0) / (3.0 * count),
        "seconds": time.process_time() - begun,
    }


def _distance(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    return np.asarray(np.linalg.norm(x - y, axis=1))


_KEYS = ["case", "method"]
_TOLD = {
    "metrics": (
        "error", "error_low", "error_high", "nobody_moves", "all_alike", "closer", "cover_income",
        "cover_life", "w1", "w1_nobody_moves", "seconds",
    ),
    "couplings": ("same", "rank_income", "rank_life", "chance_same", "chance_rank", "seconds"),
}  # fmt: skip


def _report(cells: pd.DataFrame) -> Report:
    """Forecasts in one table and couplings in another, each the mean over replicates."""
    tables = {}
    for name, columns in _TOLD.items():
        present = cells.reindex(columns=[*_KEYS, *columns])
        whole = present[present[columns[0]].notna()]
        table = whole.groupby(_KEYS, sort=False).mean().reset_index()
        tables[name] = table.rename(columns={"case": "forecast" if name == "metrics" else "lag"})
    tables["couplings"]["lag"] = tables["couplings"]["lag"].astype(int)
    return Report(tables, lambda folder: _draw(tables, folder))


def _draw(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    with styled():
        figure = new_figure("Countries without their names, and what their names say", 9.6, 4.4)
        left, right = figure.subplots(1, 2)
        _draw_errors(left, tables["metrics"])
        _draw_couplings(right, tables["couplings"])
        save(figure, folder / "scores.png")
        figure = new_figure(f"Where each country was in {_SHOWN}, and where in {GOAL}", 9.6, 5.4)
        _draw_countries(figure.subplots(1, 2, sharex=True, sharey=True))
        figure.legend(
            *figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
        )
        save(figure, folder / "countries.png")


def _draw_errors(axes: Axes, table: pd.DataFrame) -> None:
    places = {case: place for place, case in enumerate(table["forecast"].unique())}
    for name, label, colour, mark in (
        ("nobody_moves", "nobody moves", VERMILION, "s"),
        ("all_alike", "all move alike", GREY, "^"),
    ):
        rows = table.drop_duplicates("forecast")
        spots = [places[case] for case in rows["forecast"]]
        axes.plot(spots, rows[name], mark, color=colour, label=label, markersize=7)
    marks = zip(FORECASTS, ("o", "D", "v"), (BLUE, BLACK, ORANGE), strict=True)
    for step, (method, mark, colour) in enumerate(marks):
        rows = table[table["method"] == method]
        where = [places[case] + 0.12 * (step + 1) for case in rows["forecast"]]
        bars = np.abs(rows[["error_low", "error_high"]].to_numpy() - rows[["error"]].to_numpy()).T
        axes.errorbar(
            where, rows["error"], bars, linestyle="none", marker=mark, color=colour, label=method
        )
    axes.set_xticks(list(places.values()), list(places))
    axes.set_xlim(-0.4, len(places) - 0.2)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("mean distance of a country from its forecast")
    axes.set_title("forecasts to 2007 (bars: 90% of draws)")
    axes.legend()


def _draw_couplings(axes: Axes, table: pd.DataFrame) -> None:
    marks = zip(COUPLINGS, ("o", "s"), (BLUE, ORANGE), strict=True)
    for method, mark, colour in marks:
        rows = table[table["method"] == method]
        axes.plot(
            rows["lag"], 100 * rows["same"], color=colour, marker=mark, label=f"clouds {method}"
        )
    if len(table):
        chance = 100 * float(table["chance_same"].iloc[0])
        axes.axhline(chance, color=GREY, linestyle=":", label="at random")
    axes.set_ylim(0, 100)
    axes.set_xlabel("years between the two snapshots")
    axes.set_ylabel("countries coupled to themselves, %")
    axes.set_title("couplings by optimal transport")
    axes.legend()


def _draw_countries(panels: np.ndarray) -> None:
    """Each country's way, and what is forecast of it."""
    result, named = _fitted(_SHOWN, FORECASTS["residual"], 0)
    start, end = int(np.flatnonzero(named.times == _SHOWN)[0]), len(named.times) - 1
    clouds = _paths(result, named, start, end, 0)[1:]
    expected = clouds[np.all(np.isfinite(clouds), axis=(1, 2))].mean(axis=0)
    was, became = named.particles[start], named.particles[end]
    for axes, goal, title in (
        (panels[0], became, "what happened"),
        (panels[1], expected, f"forecast from {_SHOWN}, names unseen"),
    ):
        for a, b in zip(was, goal, strict=True):
            axes.plot(*np.stack([a, b]).T, color=GREY, linewidth=0.6)
        axes.plot(*was.T, "o", color=VERMILION, markersize=3, label=f"{_SHOWN}")
        axes.plot(*became.T, "o", color=BLUE, markersize=3, label=f"{GOAL}, as it was")
        if goal is expected:
            axes.plot(*goal.T, "x", color=BLACK, markersize=3.5, label=f"{GOAL}, forecast")
        axes.set_title(title)
        axes.set_xlabel("income (doublings of one dollar a head)")
    panels[0].plot([], [], "x", color=BLACK, markersize=3.5, label=f"{GOAL}, forecast")
    panels[0].set_ylabel("life expectancy (decades)")


EXPERIMENT = Experiment(
    question="A fit does not see countries' names: how often are they coupled to themselves, and "
    "how near does a forecast come to where each of them was in 2007?",
    studies=(
        Study(
            {f"{GOAL - year} years": year for year in (1982, 1992, 2002)}, FORECASTS, 1, forecast
        ),
        Study({str(lag): lag for lag in (5, 10, 15, 25, 40, 55)}, COUPLINGS, 1, couple),
    ),
    smoke=(
        Study({"5 years": 2002}, {"residual": FORECASTS["residual"]}, 1, forecast),
        Study({"25": 25}, {"as they are": None}, 1, couple),
    ),
    report=_report,
)
