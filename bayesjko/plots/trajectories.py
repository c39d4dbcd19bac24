"""Fans of trajectories: where single particles go under draws of the energy."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayesjko.forecast import default_mode, simulate_draws
from bayesjko.models.data import Snapshots
from bayesjko.models.errors import InputError
from bayesjko.plots.style import BLACK, CYCLE, GREY, new_figure, time_label
from bayesjko.plots.view import Plane, short, thin
from bayesjko.result import Result

__all__ = ["draw_trajectories"]

_FOLLOWED = (0.1, 0.5, 0.9)  # quantiles of a feature at which particles are followed
_DRAWS = 200
_DRAWS_TOGETHER = 100  # where particles feel each other
_PATHS = 30  # drawn one by one in the plane
_FEATURES = 4
_CHOICE = 2000  # particles that those to follow are chosen from
_COMPANY = 150  # particles that feel each other, where they do
_DOTS = 400


def draw_trajectories(result: Result, test: Snapshots | None = None) -> Figure | None:
    """A few particles of the first snapshot, simulated to the last under draws of the energy.

    Returns:
        None if they escape in the very first interval.
    """
    data = result.snapshots if test is None else test
    simulated = _simulate(result, data)
    if simulated is None:
        return None
    times, paths = simulated
    plane = Plane.of(result)
    features = data.features[:_FEATURES]
    title = (
        f"Fan of trajectories: {paths.shape[2]} particles under {len(paths)} draws of the energy"
    )
    if "internal" in result.energy.slices:
        title += " and of the noise"
    if times[-1] < data.times[-1]:
        title += f"\n(beyond time {times[-1]:g} some draws escape)"
    height = max(1.7 * len(features), 3.4)
    if plane.is_line:
        figure = new_figure(title, 7.5, height + 1.0)
        rows = figure.subplots(len(features), 1, sharex=True, squeeze=False)[:, 0]
    else:
        figure = new_figure(title, height + 5.0, height + 1.2)
        halves = figure.subfigures(1, 2, squeeze=False, width_ratios=[height, 5.0])
        _draw_plane(halves[0, 0].subplots(), plane, paths, data)
        rows = halves[0, 1].subplots(len(features), 1, sharex=True, squeeze=False)[:, 0]
    for c, (axes, name) in enumerate(zip(rows, features, strict=True)):
        _draw_feature(axes, c, times, paths, data)
        axes.set_ylabel(short(name, 18))
    rows[-1].set_xlabel(time_label())
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=GREY, linewidth=5, alpha=0.4, label="90% of observed particles"),
        Line2D([], [], color=BLACK, label="median of draws"),
        Patch(color=BLACK, alpha=0.3, label="90% of draws"),
    ]
    if not plane.is_line:
        handles.append(Line2D([], [], color=BLACK, linewidth=0.6, label="single draws"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _simulate(
    result: Result, data: Snapshots
) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, "draw time particle d"]] | None:
    """To the last snapshot, or as far as every draw keeps its particles."""
    followed, count = _spread_out(thin(data, 0, _CHOICE)), _DRAWS
    together = followed
    if "interaction" in result.energy.slices:
        together, count = np.concatenate([followed, thin(data, 0, _COMPANY)]), _DRAWS_TOGETHER
    rng = np.random.default_rng(0)
    draws = result.posterior.draws
    for end in data.times[:0:-1]:
        try:
            times, paths = simulate_draws(
                result,
                draws[rng.permutation(len(draws))[:count]],
                together,
                np.full(len(together), 1.0 / len(together)),
                float(data.times[0]),
                float(end),
                mode=default_mode(result),
            )
        except InputError:
            continue
        return times, paths[:, :, : len(followed)]
    return None


def _spread_out(cloud: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "p d"]:
    """Particles that differ in every feature: its quantiles in another order for each."""
    scale = np.maximum(cloud.std(axis=0), np.finfo(float).tiny)
    chosen: list[int] = []
    for p in range(len(_FOLLOWED)):
        quantiles = [_FOLLOWED[(p + c) % len(_FOLLOWED)] for c in range(cloud.shape[1])]
        wanted = [np.quantile(x, q) for x, q in zip(cloud.T, quantiles, strict=True)]
        nearest = int(np.argmin(np.sum(((cloud - wanted) / scale) ** 2, axis=1)))
        if nearest not in chosen:
            chosen.append(nearest)
    return cloud[chosen]


def _draw_plane(axes: Axes, plane: Plane, paths: np.ndarray, data: Snapshots) -> None:
    last = thin(data, len(data.times) - 1, _DOTS)
    axes.plot(*last[:, :2].T, ".", color=GREY, markersize=2.5, alpha=0.5)
    for p, colour in zip(range(paths.shape[2]), CYCLE, strict=False):
        one = paths[:, :, p, :2]
        axes.plot(
            *np.moveaxis(one[:_PATHS], (2, 1), (0, 1)), color=colour, linewidth=0.6, alpha=0.5
        )
        axes.plot(*np.median(one, axis=0).T, color=colour, linewidth=2.2)
        axes.plot(*one[0, 0], "o", color=colour, markersize=7, markeredgecolor="white", zorder=4)
    axes.set_title(f"small dots: particles observed at time {data.times[-1]:g}")
    axes.set_xlabel(plane.labels[0])
    axes.set_ylabel(plane.labels[1])
    plane.frame(axes)


def _draw_feature(
    axes: Axes, c: int, times: np.ndarray, paths: np.ndarray, data: Snapshots
) -> None:
    for k, time in enumerate(data.times):
        low, high = np.quantile(thin(data, k, 2000)[:, c], [0.05, 0.95])
        axes.plot([time, time], [low, high], color=GREY, linewidth=5, alpha=0.4, zorder=1)
    for p, colour in zip(range(paths.shape[2]), CYCLE, strict=False):
        low, middle, high = np.quantile(paths[:, :, p, c], [0.05, 0.5, 0.95], axis=0)
        axes.fill_between(times, low, high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(times, middle, color=colour, linewidth=1.8, marker="o", markersize=3)
