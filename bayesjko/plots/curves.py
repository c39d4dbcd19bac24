"""Curves with bands: a quantity of the energy over the only feature there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bayesjko.plots.layer import Layer, span
from bayesjko.plots.style import BLACK, BLUE, GREY, VERMILION, new_panels
from bayesjko.plots.view import Plane

__all__ = ["draw_curves"]

_BINS = 40


def draw_curves(
    plane: Plane,
    layers: Sequence[Layer],
    *,
    title: str,
    label: str,
    dots: str,
    origin: str | None = None,
) -> Figure:
    """One panel a layer: mean, interval and truth, above a histogram of the data.

    Args:
        plane: a line.
        layers: one a period.
        title: of the figure.
        label: what the quantity is called, with its unit.
        dots: what the data are.
        origin: where it is zero by convention, at the plane's centre; None for a force, whose zero
            means something.
    """
    figure, panels = new_panels(
        title, len(layers), width=3.8, height=3.2, labels=(plane.labels[0], label)
    )
    x = plane.ticks(Layer.count(plane))[0]
    for axes, layer in zip(panels, layers, strict=True):
        counts, edges = np.histogram(layer.dots[:, 0], _BINS, (plane.low[0], plane.high[0]))
        axes.stairs(
            0.2 * counts / max(counts.max(), 1),
            edges,
            fill=True,
            color=GREY,
            alpha=0.35,
            transform=axes.get_xaxis_transform(),
            label=dots,
        )
        low, high = layer.spread.low, layer.spread.high
        axes.fill_between(x, low, high, color=BLUE, alpha=0.3, linewidth=0, label="90% of draws")
        axes.plot(x, layer.spread.mean, color=BLUE, linewidth=1.8, label="posterior mean")
        if layer.truth is not None:
            axes.plot(x, layer.truth, "--", color=BLACK, linewidth=1.3, label="truth")
        if origin is None:
            axes.axhline(0.0, color=GREY, linewidth=0.8)
        else:
            mark: dict[str, Any] = {"color": VERMILION, "markersize": 11, "markeredgewidth": 2}
            axes.plot(plane.centre, [0.0], "+", label=f"{origin}: zero by convention", **mark)
        axes.set_title(layer.name)
        plane.frame(axes)
    panels[0].set_ylim(*_limits(plane, layers, falls=origin is None))
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=len(names) if len(names) < 5 else 3
    )
    return figure


def _limits(plane: Plane, layers: Sequence[Layer], *, falls: bool) -> tuple[float, float]:
    """What is seen at the data, and room for the histogram below."""
    shown = [(one, v) for one in layers for v in (one.spread.low, one.spread.high, one.truth)]
    low, high = span(plane, shown)
    if falls:  # as steeply outside the data as it may rise
        low = -span(plane, [(one, None if v is None else -v) for one, v in shown])[1]
    return low - 0.25 * (high - low), high + 0.05 * (high - low)
