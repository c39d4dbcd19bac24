"""How every picture looks: colours that all eyes tell apart, and files that repeat bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bayesjko.command import check_ending, write_atomically

__all__ = [
    "BLACK",
    "BLUE",
    "CYCLE",
    "GREEN",
    "GREY",
    "HEIGHTS",
    "ORANGE",
    "PICTURES",
    "SPREADS",
    "VERMILION",
    "new_figure",
    "new_panels",
    "save",
    "styled",
    "time_label",
]

# Okabe & Ito, Color Universal Design, 2008.
BLACK, ORANGE, BLUE, GREEN = "#000000", "#E69F00", "#0072B2", "#009E73"
VERMILION, PURPLE, GREY = "#D55E00", "#CC79A7", "#8C8C8C"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE)

PICTURES: Any = {
    ".png": {"Software": None},
    ".pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    ".svg": {"Creator": None, "Date": None},
}
"""Endings of pictures, and what to leave out of each: versions and dates of its making."""

_STYLE: Any = {
    "axes.edgecolor": "#4D4D4D",
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "contour.negative_linestyle": "solid",
    "figure.dpi": 150,
    "figure.titlesize": 12,
    "font.size": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "savefig.dpi": 150,
    "svg.hashsalt": "bayesjko",  # names within a file would be new each time
    "text.parse_math": False,  # a feature may be called anything, a$b$c too
}


def _part(name: str, low: float, high: float) -> Colormap:
    """A part of a colour map: without the end in which what is drawn on top would drown."""
    return ListedColormap(mpl.colormaps[name](np.linspace(low, high, 256)), name=f"{name}_part")


HEIGHTS = _part("viridis", 0.3, 1.0)
"""For energies: dark valleys, light hills, black dots legible on both."""

SPREADS = _part("cividis", 0.2, 1.0)
"""For uncertainties of them: dark where known, light where not."""

_LETTER = 0.125  # inches that a letter of a title takes


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's own defaults with our changes; the user's settings are back afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def new_figure(title: str, width: float, height: float) -> Figure:
    """A figure in inches that knows no screen and no pyplot."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(width, height), layout=layout)
    figure.suptitle(title)
    return figure


def new_panels(
    title: str,
    count: int,
    *,
    width: float,
    height: float,
    labels: tuple[str, str],
    columns: int | None = None,
    bar: bool = False,
) -> tuple[Figure, list[Axes]]:
    """A figure of so many equal panels in rows, with room for a legend below.

    Args:
        title: of the figure.
        count: of panels.
        width: of a panel, in inches.
        height: of a panel, in inches.
        labels: of the axes, which all panels share.
        columns: how many panels there are in a row, at most; what suits the count if None.
        bar: whether there must be room for a colour bar too.
    """
    columns = columns or (2 if count == 4 else min(3, count))
    rows = -(-count // columns)
    least = max(6.8, _LETTER * len(title))
    figure = new_figure(title, max(width * columns + 0.6, least), height * rows + 1.4 + 0.8 * bar)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[count:]:
        axes.remove()
    for axes in panels.flat[max(count - columns, 0) : count]:  # the lowest of each column
        axes.set_xlabel(labels[0])
        axes.tick_params(labelbottom=True)
    for axes in panels[:, 0]:
        axes.set_ylabel(labels[1])
    return figure, list(panels.flat[:count])


def time_label() -> str:
    """What an axis of time is called: the data do not say in which unit."""
    return "time (data's unit)"


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG, PDF or SVG file, as its ending says, whole or not at all.

    Raises:
        InputError: it has another ending, or the folder cannot be written to.
    """
    ending = check_ending(path, PICTURES)
    with write_atomically(path) as temporary:
        figure.savefig(temporary, format=ending[1:], metadata=PICTURES[ending])
    return path
