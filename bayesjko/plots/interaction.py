"""The interaction energy: how two particles attract or repel each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from bayesjko.energy import interaction_spread
from bayesjko.models.data import Snapshots
from bayesjko.models.precision import double
from bayesjko.plots.layer import Layer
from bayesjko.plots.maps import draw_layers
from bayesjko.plots.view import Plane, part_of, period_name, short, shown, truth_of
from bayesjko.potentials import POTENTIALS
from bayesjko.result import Result

__all__ = ["draw_interaction"]

_PERIODS = 6
_PAIRS = 1500


def draw_interaction(result: Result, test: Snapshots | None = None) -> Figure | None:
    """Posterior mean and standard deviation of W over the displacement of two particles.

    Returns:
        None if the energy has no interaction.
    """
    if "interaction" not in result.energy.slices:
        return None
    pairs = _displacements(result.snapshots)
    labels = [f"difference in {short(name, 16)}" for name in result.snapshots.features]
    plane = Plane.around(pairs, labels, np.zeros(result.snapshots.dimension))
    points = Layer.points(plane)
    truth = truth_of(result)
    actual = None if truth is None else _true_interaction(truth, points)
    periods = result.posterior.mean.shape[0]
    layers = [
        Layer(
            period_name(result, k) if periods > 1 else "",
            interaction_spread(result, points, float(result.snapshots.times[k])),
            actual,
            pairs,
        )
        for k in shown(periods, _PERIODS)
    ]
    part = part_of(len(layers), periods, "periods")
    return draw_layers(
        plane,
        layers,
        title=f"Interaction energy: a pair of particles moves to low W{part}",
        label="interaction W (features² / time)",
        dots="pairs of particles",
        origin="no displacement",
    )


def _displacements(snapshots: Snapshots) -> Float[np.ndarray, "n d"]:
    rng = np.random.default_rng(0)
    each = _PAIRS // len(snapshots.times) + 1
    pairs = []
    for cloud, weight in zip(snapshots.particles, snapshots.weights, strict=True):
        a, b = rng.choice(len(cloud), (2, each), p=weight)
        pairs.append((cloud[a] - cloud[b])[a != b])
    found = np.concatenate(pairs)
    return np.concatenate([found, -found])  # which of a pair is the first means nothing


def _true_interaction(
    truth: Mapping[str, Any], points: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, " n"]:
    """The even part of a simulation's W, from W(0): all that an energy of pairs depends on."""
    if truth["interaction"] == "none":
        return np.zeros(len(points))
    energy = jax.vmap(POTENTIALS[truth["interaction"]])
    with double():
        even = 0.5 * (energy(jnp.asarray(points)) + energy(jnp.asarray(-points)))
        found = np.asarray(even - energy(jnp.zeros_like(points[:1])))
    return truth.get("interaction_scale", 1.0) * found
