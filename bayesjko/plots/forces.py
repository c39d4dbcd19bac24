"""The force field: where particles are driven, and how sure we are of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayesjko.energy import Spread, drift_spread
from bayesjko.models.data import Snapshots
from bayesjko.plots.curves import draw_curves
from bayesjko.plots.layer import Layer
from bayesjko.plots.style import BLACK, GREY, new_panels
from bayesjko.plots.view import Plane, part_of, period_name, shown, taking_part, thin, truth_of
from bayesjko.result import Result
from bayesjko.simulate import true_drift

__all__ = ["draw_forces"]

_ARROWS = 15  # along each side
_PANELS = 6
_DOTS = 600
_SUPPORT = 3000
_FULL = 0.8  # share of the arrows that are not cut

_SHARES = (0.0, 0.1, 0.25, 0.5, 1.0)
# cividis in four steps; red above 1, where not even the direction of the arrow is known
_CERTAINTY = ListedColormap(["#00224E", "#35456C", "#7C7B78", "#BCAF6F"]).with_extremes(
    over="#D55E00"
)


def draw_forces(result: Result, test: Snapshots | None = None) -> Figure | None:
    """Arrows of the mean drift −∇V − ∇W∗ρ, coloured by its uncertainty relative to its size.

    Returns:
        None if the energy has no term that drives a particle.
    """
    if not {"potential", "interaction"} & set(result.energy.slices):
        return None
    plane = Plane.of(result)
    return _draw_line(result, plane) if plane.is_line else _draw_fields(result, plane)


@dataclass(frozen=True, eq=False)
class _Arrows:
    """One panel: the drift in the plane at points among the data.

    Attributes:
        name: of the panel.
        snapshot: around whose cloud the drift is.
        points: where.
        drift: how strong and in which direction.
        share: its standard deviation over its size; None for the truth.
    """

    name: str
    snapshot: int
    points: Float[np.ndarray, "n 2"]
    drift: Float[np.ndarray, "n 2"]
    share: Float[np.ndarray, " n"] | None


def _draw_fields(result: Result, plane: Plane) -> Figure:
    snapshots = _snapshots(result, _PANELS if truth_of(result) is None else _PANELS // 2)
    fields = [one for k in snapshots for one in _fields(result, plane, k)]
    ratio = float(np.clip(plane.sides[1] / plane.sides[0], 0.5, 1.4))
    side = {1: 5.6, 2: 4.6}.get(len(fields), 4.0)
    figure, panels = new_panels(
        f"Force field: {_title(result, snapshots)}{plane.caveat}",
        len(fields),
        width=side,
        height=side * ratio,
        labels=(plane.labels[0], plane.labels[1]),
        columns=None if truth_of(result) is None else 2,
        bar=True,
    )
    full = float(np.quantile(np.concatenate([_size(one.drift) for one in fields]), _FULL)) or 1.0
    for axes, one in zip(panels, fields, strict=True):
        dots = thin(result.snapshots, one.snapshot, _DOTS)
        axes.plot(*dots[:, :2].T, ".", color=GREY, markersize=2, alpha=0.4)
        _draw_arrows(axes, one, plane, full)
        axes.set_title(one.name)
        plane.frame(axes)
    bar = figure.colorbar(
        ScalarMappable(BoundaryNorm(_SHARES, _CERTAINTY.N), _CERTAINTY),
        ax=panels,
        location="bottom",
        extend="max",
        pad=0.02,
        shrink=0.8,
        aspect=34,
    )
    bar.set_label("sd of the drift / size of the drift (above 1: even its direction is unknown)")
    handles = [
        Line2D([], [], color=GREY, marker=".", linestyle="none", label="particles"),
        Line2D([], [], color=BLACK, linewidth=1.5, label=_key(full)),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _key(full: float) -> str:
    return f"full length: drift of {full:.2g} features / time or more; half as long: a quarter"


def _fields(result: Result, plane: Plane, snapshot: int) -> list[_Arrows]:
    """The posterior around a snapshot, then the truth if it is known."""
    points = plane.grid(_ARROWS)
    data = taking_part(result, snapshot, _SUPPORT)
    among = plane.support(points, data) > 0.5
    points = points[among] if among.any() else points
    spread = drift_spread(result, points, float(result.snapshots.times[snapshot]))
    mean = spread.mean[:, :2]
    share = _size(spread.sd[:, :2]) / np.maximum(_size(mean), np.finfo(float).tiny)
    when = _name(result, snapshot)
    found = [_Arrows(f"posterior mean{when}", snapshot, points[:, :2], mean, share)]
    actual = _true(result, points, snapshot)
    if actual is not None:
        found.append(_Arrows(f"truth{when}", snapshot, points[:, :2], actual[:, :2], None))
    return found


def _size(vectors: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    return np.linalg.norm(vectors, axis=1)


def _title(result: Result, snapshots: list[int]) -> str:
    periods = result.periods
    part = "" if periods == 1 else part_of(len(snapshots), periods, "periods")
    return f"where the energy drives particles, diffusion left out{part}"


def _snapshots(result: Result, most: int) -> list[int]:
    """One a period; several where the drift depends on where the others are; else the last."""
    periods = result.periods
    if periods > 1:
        return shown(periods, most)
    count = len(result.snapshots.times)
    return shown(count, 3) if "interaction" in result.energy.slices else [count - 1]


def _name(result: Result, snapshot: int) -> str:
    """What tells a panel from the others, if there are others."""
    if result.periods > 1:
        return f", {period_name(result, snapshot)}"
    if "interaction" in result.energy.slices:
        return f", time {result.snapshots.times[snapshot]:g}"
    return ""


def _true(
    result: Result, points: Float[np.ndarray, "n d"], snapshot: int
) -> Float[np.ndarray, "n d"] | None:
    truth = truth_of(result)
    if truth is None:
        return None
    return true_drift(truth, points, result.snapshots.particles[snapshot])


def _draw_arrows(axes: Axes, one: _Arrows, plane: Plane, full: float) -> None:
    """In the middle of their cells and no longer than one; the length is the drift's root."""
    size = np.maximum(_size(one.drift), np.finfo(float).tiny)
    direction = one.drift / size[:, None]
    # a cell as long as it is wide in the direction of the arrow
    cell = 1.0 / _size(direction / plane.sides * _ARROWS)
    arrows = direction * (cell * np.sqrt(np.minimum(size / full, 1.0)))[:, None]
    options: dict[str, Any] = {
        "angles": "xy",
        "scale_units": "xy",
        "scale": 1.0,
        "pivot": "mid",
        "zorder": 3,
    }
    options |= {"width": 0.004, "headwidth": 3.5, "headlength": 4.0, "headaxislength": 3.6}
    if one.share is None:
        axes.quiver(*one.points.T, *arrows.T, color=BLACK, **options)
        return
    axes.quiver(
        *one.points.T,
        *arrows.T,
        one.share,
        cmap=_CERTAINTY,
        norm=BoundaryNorm(_SHARES, _CERTAINTY.N),
        **options,
    )


def _draw_line(result: Result, plane: Plane) -> Figure:
    points = Layer.points(plane)
    snapshots = _snapshots(result, _PANELS)
    layers = []
    for k in snapshots:
        drift = drift_spread(result, points, float(result.snapshots.times[k]))
        spread = Spread(*(v[:, 0] for v in (drift.mean, drift.sd, drift.low, drift.high)))
        actual = _true(result, points, k)
        truth = None if actual is None else actual[:, 0]
        data = taking_part(result, k, _SUPPORT)
        layers.append(Layer(_name(result, k).removeprefix(", "), spread, truth, data))
    return draw_curves(
        plane,
        layers,
        title=f"Force: {_title(result, snapshots)}",
        label="drift (features / time)\nleft  ←  0  →  right",
        dots="particles",
    )
