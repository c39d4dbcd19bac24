"""The weak likelihood: moments of test functions, trapezoidal in time; no coupling, no density.

d/dt E_ρ[ψ] = E_ρ[∇ψ·f + βΔψ] integrated over each interval by the trapezoidal rule is linear in the
coefficients; what the rule misses at the current estimate is simulated and taken off.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayesjko.models.bases import Basis
from bayesjko.models.blocks import blocks, weighted_blocks
from bayesjko.models.data import Snapshots
from bayesjko.models.energies import Field, LinearEnergy, field_of
from bayesjko.models.precision import double

__all__ = ["generator", "generator_design", "pull"]

_FELT = 1000  # particles over which the pull on a cloud's member is averaged


def generator_design(
    energy: LinearEnergy, tests: Basis, snapshots: Snapshots, index: int
) -> Float[np.ndarray, "M K"]:
    """∂m[Lψ]/∂θ of one snapshot: averages of ∇ψ·∂f/∂θ, and of Δψ for β."""
    cloud, weight = snapshots.particles[index], snapshots.weights[index]
    total = np.zeros((tests.size, energy.size))
    with double():
        field = field_of(energy, cloud, weight)
        for points, w in weighted_blocks(cloud, weight):
            total += np.asarray(_design_sum(field, tests, points, w))
    return total


def generator(
    energy: LinearEnergy,
    tests: Basis,
    coefficients: Float[np.ndarray, " K"],
    cloud: Float[np.ndarray, "n d"],
    weight: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "n M"]:
    """Lψ = ∇ψ·f + βΔψ at every particle of a cloud."""
    with double():
        field = field_of(energy, cloud, weight)
        parts = [
            np.asarray(_generator(field, tests, coefficients, points)) for points in blocks(cloud)
        ]
    return np.concatenate(parts)[: len(cloud)]


def pull(
    energy: LinearEnergy,
    tests: Basis,
    coefficients: Float[np.ndarray, " K"],
    cloud: Float[np.ndarray, "n d"],
    weight: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "n M"]:
    """What each particle does to m[Lψ] by moving the others: E_{x′}[∇ψ(x′)·(−∇W(x′ − x))].

    An interaction makes m[Lψ] quadratic in the cloud, so a particle's influence on it is its own
    Lψ and this. Averaged over at most a thousand of the others, which is plenty for a covariance.
    """
    if energy.interaction is None:
        return np.zeros((len(cloud), tests.size))
    rows = np.linspace(0, len(cloud) - 1, min(len(cloud), _FELT)).astype(int)
    share = weight[rows] / weight[rows].sum()
    with double():
        theta = coefficients[energy.slices["interaction"]]
        parts = [
            np.asarray(_pull(energy, tests, theta, cloud[rows], share, points))
            for points in blocks(cloud)
        ]
    return np.concatenate(parts)[: len(cloud)]


@eqx.filter_jit
def _design_sum(
    field: Field, tests: Basis, points: Float[Array, "n d"], weight: Float[Array, " n"]
) -> Float[Array, "M K"]:
    slopes = jax.vmap(tests.gradient)(points)
    designs = jax.vmap(field.drift_design)(points)
    n, d, size = slopes.shape
    total = (weight[:, None, None] * slopes).reshape(n * d, size).T @ designs.reshape(n * d, -1)
    if not field.internal:
        return total
    return jnp.concatenate([total, (weight @ jax.vmap(tests.laplacian)(points))[:, None]], axis=1)


@eqx.filter_jit
def _generator(
    field: Field, tests: Basis, theta: Float[Array, " K"], points: Float[Array, "n d"]
) -> Float[Array, "n M"]:
    def one(x):  # type: ignore[no-untyped-def]
        design = field.drift_design(x)
        value = (design @ theta[: design.shape[1]]) @ tests.gradient(x)
        return value + theta[-1] * tests.laplacian(x) if field.internal else value

    return jax.vmap(one)(points)


@eqx.filter_jit
def _pull(
    energy: LinearEnergy,
    tests: Basis,
    theta: Float[Array, " J"],
    cloud: Float[Array, "m d"],
    weight: Float[Array, " m"],
    points: Float[Array, "n d"],
) -> Float[Array, "n M"]:
    """E_{x′}[∇ψ(x′)·(−∇W(x′ − x))] for each x among the points."""
    slopes = jax.vmap(tests.gradient)(cloud) * weight[:, None, None]
    interaction = energy.interaction
    assert interaction is not None

    def one(x):  # type: ignore[no-untyped-def]
        pushes = jax.vmap(lambda other: interaction.gradient(other - x) @ theta)(cloud)
        return -jnp.einsum("md,mdj->j", pushes, slopes)

    return jax.lax.map(one, points)
