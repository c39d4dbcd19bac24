"""How good forecasts are: W1 one step ahead, between its two references."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from bayesjko.evaluate import evaluate
from bayesjko.models.data import Snapshots
from bayesjko.plots.style import BLACK, BLUE, GREEN, VERMILION, new_figure, time_label
from bayesjko.result import Result

__all__ = ["draw_scores"]

_TICKS = 12  # times that an axis has room for


def draw_scores(result: Result, test: Snapshots | None = None) -> Figure | None:
    """Held-out W1 by time with its interval, beside persistence and the noise floor.

    Returns:
        None if nothing was held out and no test snapshots are given.
    """
    scores = result.scores or (evaluate(result, test) if test is not None else None)
    if not scores:
        return None
    rows = scores["intervals"]
    time, w1, low, high, still, floor = (
        np.array([row[name] for row in rows])
        for name in ("time", "w1", "w1_low", "w1_high", "persistence_w1", "floor_w1")
    )
    figure = new_figure("How far forecasts are from held-out particles", 7.0, 4.4)
    axes = figure.subplots()
    axes.vlines(
        time, low, high, color=BLUE, linewidth=7, alpha=0.35, label="forecasts by 90% of draws"
    )
    axes.plot(time, still, "s--", color=VERMILION, label="reference: nobody moves")
    axes.plot(time, w1, "o-", color=BLUE, label="forecast by the posterior mean")
    axes.plot(time, floor, "^:", color=GREEN, label="reference: noise floor (as good as it gets)")
    axes.set_ylim(0.0, 1.08 * max(still.max(), high.max(), w1.max(), floor.max()))
    if len(time) <= _TICKS:
        axes.set_xticks(time)
    axes.set_xlabel(f"{time_label()} of the snapshot forecast from the one before")
    axes.set_ylabel("earth mover's distance W1\n(features' unit)")
    axes.grid(axis="y", color=BLACK, alpha=0.1)
    figure.legend(loc="outside lower center", ncols=2)
    return figure
