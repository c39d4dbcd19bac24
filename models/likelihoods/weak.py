"""The weak likelihood: moments of test functions, trapezoidal in time; no coupling, no density.

d/dt E_ρ[ψ] = E_ρ[∇ψ·f + βΔψ] integrated over each interval by the trapezoidal rule is linear in the
coefficients; what the rule misses at the current estimate is simulated and taken off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayesjko.models.bases import Basis
from bayesjko.models.blocks import mapped, weighted_blocks
from bayesjko.models.energies import Field, LinearEnergy, field_of
from bayesjko.models.precision import double, wide

__all__ = ["WeakSums", "generator", "generator_in", "pull", "weak_sums"]

_FELT = 1000  # particles over which the pull on a cloud's member is averaged


@dataclass(frozen=True, eq=False)
class WeakSums:
    """What the weak form asks of all particles of a snapshot; sums over its parts add.

    Attributes:
        mean: m[ψ].
        design: ∂m[Lψ]/∂θ: averages of ∇ψ·∂f/∂θ, and of Δψ for β.
    """

    mean: Float[np.ndarray, " M"]
    design: Float[np.ndarray, "M K"]

    def __add__(self, other: WeakSums) -> WeakSums:
        return WeakSums(self.mean + other.mean, self.design + other.design)


def weak_sums(
    field: Field, tests: Basis, points: Float[np.ndarray, "n d"], weight: Float[np.ndarray, " n"]
) -> WeakSums:
    """The sums over some weighted particles, in blocks of bounded memory."""
    mean, curvature = np.zeros(tests.size), np.zeros(tests.size if field.internal else 0)
    product: Any = 0.0
    with wide():
        for block, w in weighted_blocks(points, weight):
            value, slopes, designs, laplacian = _weak_parts(field, tests, block, w)
            mean += np.asarray(value)
            # by BLAS, which is several times as fast as XLA's product on a CPU
            product = product + np.asarray(slopes, np.float64).T @ np.asarray(designs, np.float64)
            curvature += np.asarray(laplacian)
    if field.internal:
        product = np.concatenate([product, curvature[:, None]], axis=1)
    return WeakSums(mean, product)


def generator(
    energy: LinearEnergy,
    tests: Basis,
    coefficients: Float[np.ndarray, " K"],
    cloud: Float[np.ndarray, "n d"],
    weight: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "n M"]:
    """Lψ = ∇ψ·f + βΔψ at every particle of a cloud."""
    with double():
        return generator_in(field_of(energy, cloud, weight), tests, coefficients, cloud)


def generator_in(
    field: Field,
    tests: Basis,
    coefficients: Float[np.ndarray, " K"],
    points: Float[np.ndarray, "n d"],
) -> Float[np.ndarray, "n M"]:
    """Lψ at points that need not be the cloud whose field it is."""
    theta: Any = coefficients
    with double():
        return mapped(lambda part: _generator(field, tests, theta, part), points, tests.size)


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
    share: Any = weight[rows] / weight[rows].sum()
    with double():
        theta: Any = coefficients[energy.slices["interaction"]]
        pushed: Any = cloud[rows]
        return mapped(
            lambda part: _pull(energy, tests, theta, pushed, share, part), cloud, tests.size
        )


@eqx.filter_jit
def _weak_parts(
    field: Field, tests: Basis, points: Float[Array, "n d"], weight: Float[Array, " n"]
) -> tuple[Float[Array, " M"], Float[Array, "N M"], Float[Array, "N J"], Float[Array, " _"]]:
    slopes = jax.vmap(tests.gradient)(points)
    designs = jax.vmap(field.drift_design)(points)
    n, d, size = slopes.shape
    mean = weight @ jax.vmap(tests.value)(points)
    laplacian = weight @ jax.vmap(tests.laplacian)(points) if field.internal else jnp.zeros(0)
    weighted = (weight[:, None, None] * slopes).reshape(n * d, size)
    return mean, weighted, designs.reshape(n * d, -1), laplacian


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
