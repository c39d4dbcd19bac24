"""Maps of an energy, of its uncertainty and of the truth, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import gaussian_filter

from bayesjko.plots.curves import draw_curves
from bayesjko.plots.layer import Layer, span
from bayesjko.plots.style import BLACK, HEIGHTS, SPREADS, VERMILION, new_figure
from bayesjko.plots.view import Plane

__all__ = ["draw_layers"]

_SIDE = 3.3  # inches of a panel


def draw_layers(
    plane: Plane, layers: Sequence[Layer], *, title: str, label: str, dots: str, origin: str
) -> Figure:
    """One row a layer: mean and standard deviation side by side, then the truth if it is known.

    Args:
        plane: what is shown.
        layers: one a period.
        title: of the figure.
        label: what the energy is called, with its unit.
        dots: what the data on top are.
        origin: where the energy is zero by convention.
    """
    if plane.is_line:
        return draw_curves(plane, layers, title=title, label=label, dots=dots, origin=origin)
    return _draw_maps(plane, layers, title=title, label=label, dots=dots, origin=origin)


def _draw_maps(
    plane: Plane, layers: Sequence[Layer], *, title: str, label: str, dots: str, origin: str
) -> Figure:
    known = layers[0].truth is not None
    heights = span(plane, [(one, v) for one in layers for v in (one.spread.mean, one.truth)])
    spreads = 0.0, span(plane, [(one, one.spread.sd) for one in layers])[1]
    shades = {
        "posterior mean": (heights, HEIGHTS),
        "posterior standard deviation": (spreads, SPREADS),
    }
    shades |= {"truth": (heights, HEIGHTS)} if known else {}
    columns = list(shades)
    ratio = float(np.clip(plane.sides[1] / plane.sides[0], 0.5, 1.4))
    figure = new_figure(
        title + plane.caveat, _SIDE * len(columns) + 0.6, _SIDE * ratio * len(layers) + 2.0
    )
    panels = figure.subplots(len(layers), len(columns), sharex=True, sharey=True, squeeze=False)
    points = Layer.points(plane)
    for row, layer in zip(panels, layers, strict=True):
        support = plane.support(points, layer.dots)
        values = [layer.spread.mean, layer.spread.sd, layer.truth]
        for axes, name, value in zip(row, columns, values[: len(columns)], strict=True):
            assert value is not None
            _draw_map(axes, plane, value, *shades[name])
            _fade(axes, plane, support)
            axes.plot(*layer.dots[:, :2].T, ".", color=BLACK, markersize=1.6, alpha=0.35)
            axes.plot(*plane.centre[:2], "+", color="white", markersize=13, markeredgewidth=4)
            axes.plot(*plane.centre[:2], "+", color=VERMILION, markersize=11, markeredgewidth=2)
            axes.set_title(name if not layer.name else f"{name}, {layer.name}")
            plane.frame(axes)
        row[0].set_ylabel(plane.labels[1])
    for axes in panels[-1]:
        axes.set_xlabel(plane.labels[0])
    for name, column in zip(columns, panels.T, strict=True):
        uncertain = shades[name][1] is SPREADS
        _add_bar(figure, column, *shades[name], f"sd of {label}" if uncertain else label)
    handles = [
        panels[0, 0].plot([], [], ".", color=BLACK, markersize=4)[0],
        panels[0, 0].plot([], [], "+", color=VERMILION, markersize=10, markeredgewidth=2)[0],
    ]
    where = f"{origin}: the energy is counted from here, so its sd is 0 here"
    figure.legend(handles, [dots, where], loc="outside lower center", ncols=2)
    return figure


def _draw_map(
    axes: Axes, plane: Plane, values: np.ndarray, ends: tuple[float, float], colours: Colormap
) -> None:
    square = _square(plane, values)
    axes.imshow(
        square, norm=Normalize(*ends), cmap=colours, interpolation="bilinear", **_place(plane)
    )
    levels = MaxNLocator(10).tick_values(*ends)
    levels = levels[(levels > square.min()) & (levels < min(square.max(), ends[1]))]
    if len(levels):
        ticks = plane.ticks(Layer.count(plane))
        axes.contour(*ticks, square, levels, colors="white", linewidths=0.6, alpha=0.85)


def _fade(axes: Axes, plane: Plane, support: np.ndarray) -> None:
    """White over where there are no data."""
    covered = 0.85 * (1.0 - gaussian_filter(_square(plane, support), 1.0))
    veil = np.stack([np.ones_like(covered)] * 3 + [covered], axis=-1)
    axes.imshow(veil, interpolation="bilinear", zorder=1.9, **_place(plane))


def _square(plane: Plane, values: np.ndarray) -> np.ndarray:
    return values.reshape(Layer.count(plane), Layer.count(plane))


def _place(plane: Plane) -> dict[str, Any]:
    """Where an image of the plane lies."""
    extent = (plane.low[0], plane.high[0], plane.low[1], plane.high[1])
    return {"extent": extent, "origin": "lower", "aspect": "auto"}


def _add_bar(
    figure: Figure, panels: np.ndarray, ends: tuple[float, float], colours: Colormap, label: str
) -> None:
    bar = figure.colorbar(
        ScalarMappable(Normalize(*ends), colours),
        ax=list(panels),
        location="bottom",
        extend="max",
        pad=0.02,
        shrink=0.9,
        aspect=28,
    )
    bar.set_label(label)
    bar.locator = MaxNLocator(5)
    bar.update_ticks()
