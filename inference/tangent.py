"""All weights of a trained network as the coefficients of an energy, as far as forces tell them."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayesjko.models.bases import Neural, Tangent
from bayesjko.models.bases.neural import layers_of, weight_slopes
from bayesjko.models.data import Snapshots
from bayesjko.models.precision import double

__all__ = ["tangent_of"]

_ROWS = 1200  # components of forces that the directions are found from
_MISSED = 1e-4  # of the prior variance of those forces, at most, that no direction makes
_MOST_DIRECTIONS = 100


def tangent_of(
    hidden: Neural,
    last: Float[np.ndarray, " H"],
    snapshots: Snapshots,
    *,
    seed: int,
) -> Tangent:
    """The tangent of a network at its trained weights, in the directions that particles feel.

    Before the data all weights are as likely, in units of what those of their layer do to the
    forces at the particles, each layer as much as any other. In those units the singular vectors of
    ∂force/∂w order the directions by what they do; most of thousands do nothing, and are left out.
    Their θ has unit scale where a force has, so that one prior scale means what it means elsewhere.

    Args:
        hidden: trained hidden layers of V.
        last: its trained last layer.
        snapshots: in standard units.
        seed: of the particles looked at.
    """
    rng = np.random.default_rng(seed)
    cloud = np.concatenate(snapshots.particles)
    points = cloud[rng.permutation(len(cloud))[: max(1, _ROWS // cloud.shape[1])]]
    with double():
        found = eqx.filter_jit(weight_slopes)(hidden, jnp.asarray(last), jnp.asarray(points))
        slopes = np.asarray(found).reshape(-1, found.shape[-1])
    unit = np.ones(slopes.shape[1])
    for layer in layers_of(hidden, last):
        unit[layer] = 1.0 / np.sqrt(max(np.mean(np.sum(slopes[:, layer] ** 2, axis=1)), 1e-30))
    scaled = slopes * unit
    values, vectors = np.linalg.eigh(scaled @ scaled.T)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    left = 1.0 - np.cumsum(values) / values.sum()
    count = min(int(np.searchsorted(-left, -_MISSED)) + 1, _MOST_DIRECTIONS, len(values))
    rows = (scaled.T @ vectors[:, :count] / np.sqrt(values[:count])).T
    size = np.sqrt(values[:count].sum() / len(slopes))  # of a force under the prior, made 1
    return Tangent(hidden, last, rows * unit / size)
