"""The energy landscape: the potential, how sure we are of it, and the data on top."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from bayesjko.energy import potential_spread
from bayesjko.models.data import Snapshots
from bayesjko.plots.layer import Layer
from bayesjko.plots.maps import draw_layers
from bayesjko.plots.view import Plane, part_of, period_name, shown, taking_part, truth_of
from bayesjko.result import Result
from bayesjko.simulate import true_potential

__all__ = ["draw_landscape"]

_PERIODS = 6
_DOTS = 1500


def draw_landscape(result: Result, test: Snapshots | None = None) -> Figure | None:
    """Posterior mean and standard deviation of V, with the fitted particles on top.

    Returns:
        None if the energy has no potential.
    """
    if "potential" not in result.energy.slices:
        return None
    plane = Plane.of(result)
    points = Layer.points(plane)
    truth = truth_of(result)
    actual = None
    if truth is not None:
        origin, *values = true_potential(truth, np.concatenate([plane.centre[None], points]))
        actual = np.array(values) - origin
    periods = result.periods
    layers = [
        Layer(
            period_name(result, k) if periods > 1 else "",
            potential_spread(result, points, float(result.snapshots.times[k])),
            actual,
            taking_part(result, k, _DOTS),
        )
        for k in shown(periods, _PERIODS)
    ]
    part = part_of(len(layers), periods, "periods")
    return draw_layers(
        plane,
        layers,
        title=f"Energy landscape: particles move downhill, to low potential{part}",
        label="potential V (features² / time)",
        dots="particles",
        origin="data's mean",
    )
