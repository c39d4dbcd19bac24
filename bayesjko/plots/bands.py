"""Predictive bands of each feature's quantiles beside what was seen."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayesjko.plots.style import BLACK, BLUE, VERMILION, new_panels, time_label
from bayesjko.plots.view import part_of, shown

__all__ = ["draw_bands"]

_PANELS = 6
_NORMAL = 1.645  # standard deviations on either side that hold 90%


def draw_bands(bands: dict[str, Any]) -> Figure:
    """A panel a feature: bands of its quantiles by time, the part of the energy alone darker."""
    features = list(dict.fromkeys(q["feature"] for q in bands["intervals"][0]["quantiles"]))
    kept = [features[i] for i in shown(len(features), _PANELS)]
    title = (
        f"Predictive {bands['level']:.0%} bands of quantiles, one step ahead: "
        f"{bands['coverage']:.0%} hold what was seen{part_of(len(kept), len(features), 'features')}"
    )
    figure, panels = new_panels(
        title, len(kept), width=3.4, height=3.0, labels=(time_label(), "quantiles")
    )
    for axes, feature in zip(panels, kept, strict=True):
        axes.set_title(feature)
        for row in bands["intervals"]:
            for each in row["quantiles"]:
                if each["feature"] != feature:
                    continue
                middle, time = 0.5 * (each["low"] + each["high"]), row["time"]
                axes.vlines(time, each["low"], each["high"], color=BLUE, linewidth=9, alpha=0.25)
                known = _NORMAL * each["epistemic_sd"]
                axes.vlines(time, middle - known, middle + known, color=BLUE, linewidth=4)
                colour = BLACK if each["inside"] else VERMILION
                axes.plot(time, each["observed"], "o", color=colour, markersize=4)
    figure.legend(
        handles=[
            Patch(color=BLUE, alpha=0.25, label="band of a new sample"),
            Patch(color=BLUE, label="of it: what is not known of the energy"),
            Line2D([], [], marker="o", linestyle="", color=BLACK, label="seen, inside"),
            Line2D([], [], marker="o", linestyle="", color=VERMILION, label="seen, outside"),
        ],
        loc="outside lower center",
        ncols=2,
    )
    return figure
