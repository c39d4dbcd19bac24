"""Logarithmic axes with plain numbers, since pictures parse no mathematics and so no powers."""

from __future__ import annotations

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

__all__ = ["label_plainly", "label_powers"]


def label_plainly(*axes: Axis) -> None:
    """Make logarithmic axes say 0.2 and not a power of ten."""
    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def label_powers(*axes: Axis) -> None:
    """Make logarithmic axes over many powers of ten say 0.01 and 1e-06 at some of them."""
    for axis in axes:
        axis.set_major_locator(LogLocator(numticks=9))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
