"""Predicted against observed clouds: each snapshot and the one before it, moved one step."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.ndimage import gaussian_filter

from bayesjko.forecast import default_mode, simulate_draws
from bayesjko.models.data import Snapshots
from bayesjko.models.errors import InputError
from bayesjko.plots.style import BLUE, VERMILION, new_panels
from bayesjko.plots.view import Plane, part_of, shown, thin
from bayesjko.result import Result

__all__ = ["draw_clouds"]

_PANELS = 9
_MOVED = 2000  # particles of a snapshot that are moved
_DOTS = 300
_CELLS = 80  # along each side, for contours
_BINS = 36
_MASSES = (0.9, 0.5)


def draw_clouds(result: Result, test: Snapshots | None = None) -> Figure:
    """Each snapshot after the first, and the one before it moved one step."""
    data = result.snapshots if test is None else test
    plane = Plane.of(result)
    intervals = shown(len(data.times) - 1, _PANELS)
    ratio = 0.8 if plane.is_line else float(np.clip(plane.sides[1] / plane.sides[0], 0.5, 1.4))
    what = "snapshots" if test is None else "held-out snapshots"
    rest = f" (first two of {data.dimension} features)" if data.dimension > 2 else ""
    rest += part_of(len(intervals), len(data.times) - 1, "intervals")
    figure, panels = new_panels(
        f"Observed {what}, and each predicted from the one before\n"
        f"by the posterior-mean energy{rest}",
        len(intervals),
        width=2.9,
        height=2.9 * ratio,
        labels=(plane.labels[0], "share of particles" if plane.is_line else plane.labels[1]),
    )
    for axes, k in zip(panels, intervals, strict=True):
        observed = thin(data, k + 1, _MOVED)
        predicted = _predict(result, data, k)
        axes.set_title(f"time {data.times[k]:g} → {data.times[k + 1]:g}")
        _draw_cloud(axes, plane, observed, BLUE, "o", filled=True)
        if predicted is None:
            axes.set_title(f"{axes.get_title()}: predicted particles escape")
        else:
            _draw_cloud(axes, plane, predicted, VERMILION, "x", filled=False)
        plane.frame(axes)
    figure.legend(handles=_handles(plane), loc="outside lower center")
    return figure


def _predict(result: Result, data: Snapshots, k: int) -> Float[np.ndarray, "n d"] | None:
    """Snapshot k a step later, None if its particles escape."""
    cloud = thin(data, k, _MOVED)
    try:
        _, clouds = simulate_draws(
            result,
            result.posterior.mean[None],
            cloud,
            np.full(len(cloud), 1.0 / len(cloud)),
            float(data.times[k]),
            float(data.times[k + 1]),
            mode=default_mode(result),
            seed=k,
        )
    except InputError:
        return None
    return clouds[0, -1]


def _draw_cloud(
    axes: Axes, plane: Plane, cloud: np.ndarray, colour: str, marker: str, *, filled: bool
) -> None:
    if plane.is_line:
        counts, edges = np.histogram(cloud[:, 0], _BINS, (plane.low[0], plane.high[0]))
        axes.stairs(
            counts / len(cloud),
            edges,
            color=colour,
            fill=filled,
            alpha=0.4 if filled else 1.0,
            linewidth=1.6,
        )
        return
    axes.plot(*cloud[:_DOTS, :2].T, marker, color=colour, markersize=1.6, alpha=0.4)
    x, y = plane.ticks(_CELLS)
    density, levels = _density(plane, cloud)
    if filled:
        axes.contourf(x, y, density, [*levels, np.inf], colors=[(colour, 0.2), (colour, 0.45)])
    else:
        axes.contour(x, y, density, levels, colors=colour, linewidths=(1.0, 1.8))


def _density(plane: Plane, cloud: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """A smooth density, and the levels of the regions that hold given shares of the particles."""
    counts, _, _ = np.histogram2d(
        cloud[:, 1],
        cloud[:, 0],
        _CELLS,
        [(plane.low[1], plane.high[1]), (plane.low[0], plane.high[0])],
    )
    # Scott's rule; a region of few particles still spans a cell
    widths = cloud.std(axis=0)[1::-1] * len(cloud) ** (-1 / 6) / plane.sides[::-1] * _CELLS
    density = gaussian_filter(counts, np.maximum(widths, 1.0), mode="constant")
    ordered = np.sort(density, axis=None)[::-1]
    held = np.cumsum(ordered) / max(ordered.sum(), 1e-300)
    levels = [float(ordered[np.searchsorted(held, mass)]) for mass in _MASSES]
    return density, levels


def _handles(plane: Plane) -> list[Line2D | Patch]:
    if plane.is_line:
        return [
            Patch(color=BLUE, alpha=0.4, label="observed"),
            Line2D([], [], color=VERMILION, label="predicted one step ahead"),
        ]
    return [
        Patch(
            color=BLUE,
            alpha=0.35,
            label="observed particles; the regions that hold 50% and 90% of them",
        ),
        Line2D([], [], color=VERMILION, label="predicted one step ahead; the same regions"),
    ]
