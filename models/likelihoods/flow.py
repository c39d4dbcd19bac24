"""The flow likelihood's paths: what a snapshot becomes under an energy, and how that depends on it.

Where particles move far between two snapshots no quadrature of their moments is right; the process
itself is simulated instead, with common random numbers, so that moments are smooth in θ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bayesjko.models.bases import Basis
from bayesjko.models.blocks import block_rows, weighted_blocks, whole_blocks
from bayesjko.models.energies import Field, LinearEnergy
from bayesjko.models.precision import double

__all__ = ["Paths", "box_of", "mean_of_paths", "moments_of_paths", "simulate_paths"]

_ROOM = 3.0  # how far beyond the data, in units of their range, a path may wander
_GROUP = 4  # steps compiled together
_SMALLEST = 1e-6  # β below which noise is taken as this: its square root has no slope at zero


class Paths(eqx.Module):
    """How paths are simulated: stochastic Heun steps, common antithetic noise, kept in a box.

    Attributes:
        noise: standard normal increments; the second half of the copies mirrors the first.
        low: lower corner of the box.
        high: upper corner.
    """

    noise: Float[Array | np.ndarray, "copies steps n d"]
    low: Float[Array | np.ndarray, " d"]
    high: Float[Array | np.ndarray, " d"]

    @classmethod
    def over(
        cls,
        count: int,
        low: Float[np.ndarray, " d"],
        high: Float[np.ndarray, " d"],
        *,
        copies: int,
        steps: int,
        seed: int,
    ) -> Paths:
        """Noise for `copies` (an even number) paths from each of `count` particles.

        Args:
            count: number of particles.
            low: lower corner of the data's bounding box.
            high: upper corner.
            copies: of each particle.
            steps: of each path.
            seed: of the noise.
        """
        rng = np.random.default_rng(seed)
        noise = np.empty((copies, steps, count, len(low)))  # as large as all else that paths are
        half = noise[: copies // 2]
        rng.standard_normal(out=half)
        np.negative(half, out=noise[copies // 2 :])
        room = _ROOM * (high - low)
        return cls(noise, low - room, high + room)

    def coarser(self) -> Paths:
        """The same Brownian paths in steps of twice the length; of an even number of steps."""
        copies, steps, n, d = self.noise.shape
        pairs = np.asarray(self.noise).reshape(copies, steps // 2, 2, n, d)
        return Paths(pairs.sum(axis=2) / np.sqrt(2.0), self.low, self.high)


def box_of(
    clouds: Sequence[Float[np.ndarray, "_ d"]],
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """The lower and the upper corner of all clouds together."""
    low = np.min([cloud.min(axis=0) for cloud in clouds], axis=0)
    return low, np.max([cloud.max(axis=0) for cloud in clouds], axis=0)


def simulate_paths(
    energy: LinearEnergy,
    coefficients: Float[np.ndarray, " K"],
    cloud: Float[np.ndarray, "n d"],
    weight: Float[np.ndarray, " n"],
    duration: float,
    paths: Paths,
) -> Float[np.ndarray, "copies n d"]:
    """X_τ from every particle: dX = f(X)dt + √(2β)dB by Heun's method, weakly of second order.

    An interaction is felt from the whole simulated cloud (mean field).
    """
    with double():
        ends = [
            np.asarray(
                _walk(energy, coefficients, points, share, duration, part, sensitive=False)[0]
            )
            for points, share, part in _starts(energy, cloud, weight, paths)
        ]
    return np.concatenate(ends, axis=1)[:, : len(cloud)]


def mean_of_paths(
    energy: LinearEnergy,
    tests: Basis,
    coefficients: Float[Array, " K"],
    cloud: Float[Array, "n d"],
    weight: Float[Array, " n"],
    duration: float,
    paths: Paths,
) -> Float[Array, " M"]:
    """E[ψ(X_τ)] over a cloud and its paths' noise, in the cloud's precision; differentiable."""
    copies, steps, n, d = paths.noise.shape
    shares = jnp.tile(weight, copies) / copies
    start = jnp.tile(cloud, (copies, 1)), jnp.zeros((copies * n, d, 0), cloud.dtype)
    dt = jnp.asarray(duration / steps, cloud.dtype)
    end, _ = _steps(energy, coefficients, start, shares, dt, paths, sensitive=False)
    return shares @ jax.vmap(tests.value)(end)


def moments_of_paths(
    energy: LinearEnergy,
    tests: Basis,
    coefficients: Float[np.ndarray, " K"],
    cloud: Float[np.ndarray, "n d"],
    weight: Float[np.ndarray, " n"],
    duration: float,
    paths: Paths,
    fold: Int[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, "n M"], Float[np.ndarray, "F M K"]]:
    """E[ψ(X_τ)] from every particle, and each fold's part of its average's slope in θ.

    The slope follows each path's own sensitivity ∂X/∂θ (the variational equation); how other
    particles' motion changes the mean field's pull is left out of it, not out of the moments.
    """
    values: list[np.ndarray] = []
    shares = np.where(fold[:, None] == np.arange(fold.max() + 1), weight[:, None], 0.0)
    jacobians = np.zeros((shares.shape[1], tests.size, energy.size))
    with double():
        for index, (points, share, part) in enumerate(_starts(energy, cloud, weight, paths)):
            own = shares[index * len(points) : (index + 1) * len(points)]
            own = np.pad(own, ((0, len(points) - len(own)), (0, 0)))
            end, slope = _walk(energy, coefficients, points, share, duration, part, sensitive=True)
            value, moved = _tested(tests, end, slope, own)
            values.append(np.asarray(value))
            jacobians += np.asarray(moved)
    return np.concatenate(values)[: len(cloud)], jacobians


def _starts(
    energy: LinearEnergy, cloud: np.ndarray, weight: np.ndarray, paths: Paths
) -> Iterator[tuple[np.ndarray, np.ndarray, Paths]]:
    """Particles with their weights and noise in blocks; all at once where they feel each other."""
    size = block_rows() if energy.interaction is None else whole_blocks(len(cloud))
    noise = np.asarray(paths.noise)
    for index, (points, share) in enumerate(weighted_blocks(cloud, weight, size)):
        own = noise[:, :, index * size : (index + 1) * size]
        own = np.pad(own, ((0, 0), (0, 0), (0, size - own.shape[2]), (0, 0)))
        yield points, share, Paths(own, paths.low, paths.high)


@eqx.filter_jit
def _tested(tests, end, slope, shares):  # type: ignore[no-untyped-def]
    """Averages over copies of ψ, and sums over particles of its slope by their shares in folds."""
    copies, n, d = end.shape
    flat = end.reshape(-1, d)
    values = jax.vmap(tests.value)(flat).reshape(copies, n, -1).mean(axis=0)
    gradients = jax.vmap(tests.gradient)(flat)  # (copies n, d, M)
    rows = slope.reshape(-1, slope.shape[-1])

    def moved(share):  # type: ignore[no-untyped-def]
        each = jnp.tile(share, copies) / copies
        weighted = (each[:, None, None] * gradients).reshape(-1, gradients.shape[-1])
        return weighted.T @ rows

    return values, jax.lax.map(moved, shares.T)


def _walk(
    energy: LinearEnergy,
    theta: Any,
    cloud: Any,
    weight: Any,
    duration: Any,
    paths: Paths,
    *,
    sensitive: bool,
) -> tuple[Float[Array, "copies n d"], Float[Array, "N d _"]]:
    """Where paths end and how that depends on θ, a few steps a call: all compile the same.

    Arrays of NumPy, a block's, or of JAX.
    """
    copies, steps, n, d = paths.noise.shape
    noise = np.asarray(paths.noise)
    dt: Any = np.asarray(duration / steps)
    shares: Any = np.tile(weight, copies) / copies
    group = _GROUP if steps % _GROUP == 0 else 1
    width = energy.size if sensitive else 0
    state: Any = np.tile(cloud, (copies, 1)), np.zeros((copies * n, d, width))
    for first in range(0, steps, group):
        shocks = Paths(noise[:, first : first + group], paths.low, paths.high)
        state = _steps(energy, theta, state, shares, dt, shocks, sensitive=sensitive)
    return state[0].reshape(copies, n, d), state[1]


@eqx.filter_jit
def _steps(
    energy: LinearEnergy,
    theta: Float[Array, " K"],
    state: tuple[Float[Array, "N d"], Float[Array, "N d _"]],
    shares: Float[Array, " N"],
    dt: Float[Array, ""],
    paths: Paths,
    *,
    sensitive: bool,
) -> tuple[Float[Array, "N d"], Float[Array, "N d _"]]:
    d = paths.noise.shape[-1]
    beta = jnp.maximum(theta[-1], _SMALLEST) if energy.internal else jnp.zeros((), theta.dtype)
    size = energy.size - int(energy.internal)
    felt = theta[:size]

    def moved(field: Field, x, sensitivity):  # type: ignore[no-untyped-def]
        """The drift at one point, and what it does to the sensitivity there."""
        design = field.drift_design(x).astype(x.dtype)
        if not sensitive:
            return design @ felt, sensitivity
        steer = jax.jacfwd(lambda point: field.drift_design(point) @ felt)(x)
        own = jnp.pad(design, ((0, 0), (0, int(energy.internal))))
        return design @ felt, steer @ sensitivity + own

    def step(state, shock):  # type: ignore[no-untyped-def]
        x, s = state
        shock = jnp.sqrt(2.0 * beta * dt) * shock.reshape(-1, d)
        kick = jnp.zeros_like(s)
        if sensitive and energy.internal:
            kick = kick.at[:, :, -1].set(shock / (2.0 * beta))
        push = jax.vmap(moved, in_axes=(None, 0, 0))
        first, first_s = push(energy.around(x, shares), x, s)
        trial = jnp.clip(x + dt * first + shock, paths.low, paths.high)
        trial_s = s + dt * first_s + kick
        second, second_s = push(energy.around(trial, shares), trial, trial_s)
        after = jnp.clip(x + 0.5 * dt * (first + second) + shock, paths.low, paths.high)
        return (after, s + 0.5 * dt * (first_s + second_s) + kick), None

    shocks = jnp.swapaxes(jnp.asarray(paths.noise), 0, 1)
    return jax.lax.scan(step, state, shocks)[0]
