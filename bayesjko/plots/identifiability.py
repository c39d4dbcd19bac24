"""What the data could tell: information beside the prior's, and how well each force is known."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesjko.inference.identifiability import Identifiability
from bayesjko.models.data import Snapshots
from bayesjko.plots.style import BLACK, BLUE, GREY, VERMILION, new_figure
from bayesjko.result import Result

__all__ = ["draw_identifiability"]

_FLOOR = 1e-6  # information below which there is none to tell apart on a logarithmic axis
_FEW = 60  # directions that have room for a marker each
_NAMES = {
    "potential": "potential",
    "interaction": "interaction",
    "internal": "internal\nenergy",
    "drift": "potential +\ninteraction",
}


def draw_identifiability(result: Result, test: Snapshots | None = None) -> Figure | None:
    """The spectrum of information with the line at one, and bars of each force's size and sd.

    Returns:
        None if the fit names no prior to compare the data with.
    """
    report = result.identifiability
    if not report.spectrum:
        return None
    figure = new_figure("What the data could tell", 10.0, 4.6)
    spectrum, forces = figure.subplots(1, 2)
    _draw_spectrum(spectrum, report)
    _draw_forces(forces, report, result.standardisation.velocity)
    return figure


def _draw_spectrum(axes: Axes, report: Identifiability) -> None:
    assert report.spectrum is not None
    values = np.maximum(report.spectrum, _FLOOR)
    place = np.arange(1, len(values) + 1)
    learned = np.asarray(report.spectrum) >= 1.0
    style = "o" if len(values) <= _FEW else "."
    for among, colour, label in (
        (learned, BLUE, "learned from the data"),
        (~learned, VERMILION, "decided by the prior"),
    ):
        axes.plot(place[among], values[among], style, color=colour, label=f"{label}: {among.sum()}")
    axes.axhline(1.0, color=BLACK, linewidth=1.0, label="as much information as the prior has")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")  # no 10ⁿ: names may hold $, so mathematics is off
    axes.set_title(f"effective number of parameters: {report.effective_parameters:.3g}")
    axes.set_xlabel("independent combinations of coefficients")
    axes.set_ylabel("information of the data / of the prior")
    axes.legend(loc="best")


def _draw_forces(axes: Axes, report: Identifiability, velocity: float) -> None:
    terms = [term for term in _NAMES if term in report.sizes]
    if report.gauge is None:
        terms = [term for term in terms if term != "drift"]
    place = np.arange(len(terms))
    for offset, values, colour, label in (
        (-0.2, report.sizes, GREY, "size of the mean"),
        (0.2, report.spreads, BLUE, "standard deviation"),
    ):
        heights = [velocity * values[term] for term in terms]
        axes.bar(place + offset, heights, 0.38, color=colour, label=label)
    axes.set_xticks(place, [_NAMES[term] for term in terms])
    axes.set_xlim(-0.8, len(terms) - 0.2)
    axes.set_ylabel("force at the particles, root mean square\n(features / time)")
    flagged = report.gauge is not None and report.gauge.flagged
    axes.set_title(
        "potential and interaction cannot be told apart"
        if flagged
        else "how well each term's force is known"
    )
    axes.legend(loc="best")
