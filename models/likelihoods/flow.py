"""The flow likelihood's paths: what a snapshot becomes under an energy, and how that depends on it.

Where particles move far between two snapshots no quadrature of their moments is right; the process
itself is simulated instead, with common random numbers, so that moments are smooth in θ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bayesjko.models.bases import Basis
from bayesjko.models.blocks import paths_at_once
from bayesjko.models.energies import Field, LinearEnergy
from bayesjko.models.precision import double

__all__ = ["Paths", "box_of", "mean_of_paths", "moments_of_paths", "simulate_paths"]

_ROOM = 3.0  # how far beyond the data, in units of their range, a path may wander
_GROUP = 4  # steps compiled together
_PART = 64  # paths of particles of one fold whose slopes are summed at once
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
    copies = len(paths.noise)
    with double():
        ends = [
            np.asarray(_walk(energy, coefficients, start, duration, sensitive=False)[0])
            for start in _starts(energy, cloud, weight, paths, np.arange(len(cloud)))
        ]
    each = np.concatenate(ends).reshape(-1, copies, cloud.shape[1])
    return np.ascontiguousarray(np.swapaxes(each[: len(cloud)], 0, 1))


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


@np.errstate(over="ignore", invalid="ignore")  # of paths that leave, for the caller to see
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
    copies = len(paths.noise)
    rows, fold_of = _side_by_side(fold, _together(copies))
    values = np.empty((len(cloud), tests.size))
    jacobians = np.zeros((fold.max() + 1, tests.size, energy.size))
    with double():
        for start in _starts(energy, cloud, weight, paths, rows):
            end, slope = _walk(energy, coefficients, start, duration, sensitive=True)
            value, moved = _tested(tests, end, slope, start.share, _together(copies) * copies)
            there = start.own >= 0
            each = np.asarray(value).reshape(-1, copies, tests.size)
            values[start.own[there]] = each[there].mean(axis=1)
            here, fold_of = np.split(fold_of, [len(moved)])
            np.add.at(jacobians, here, np.asarray(moved)[: len(here)])
    return values, jacobians


class _Start(NamedTuple):
    """A block of particles, each as many times as it has paths: an energy's are of one size.

    Attributes:
        own: which particles; −1 fills up and weighs nothing.
        points: where each path starts.
        share: of each path in averages.
        paths: as one copy of so many.
    """

    own: Int[np.ndarray, " n"]
    points: Float[np.ndarray, "N d"]
    share: Float[np.ndarray, " N"]
    paths: Paths


def _together(copies: int) -> int:
    """Particles of one fold whose slopes are summed at once."""
    return max(1, _PART // copies)


def _side_by_side(
    fold: Int[np.ndarray, " n"], together: int
) -> tuple[Int[np.ndarray, " r"], Int[np.ndarray, " p"]]:
    """Particles of one fold next to one another, in parts of one size; and the fold of each part.

    What fills up the last part of a fold is −1.
    """
    rows: list[np.ndarray] = []
    fold_of: list[int] = []
    for number in range(fold.max() + 1):
        own = np.flatnonzero(fold == number)
        parts = -(-len(own) // together)
        rows.append(np.pad(own, (0, parts * together - len(own)), constant_values=-1))
        fold_of += [number] * parts
    return np.concatenate(rows), np.array(fold_of)


def _starts(
    energy: LinearEnergy,
    cloud: np.ndarray,
    weight: np.ndarray,
    paths: Paths,
    rows: Int[np.ndarray, " r"],
) -> Iterator[_Start]:
    """These particles in blocks; all at once where they feel each other."""
    noise = np.asarray(paths.noise)
    copies, steps, _, d = noise.shape
    size = _together(copies) * (paths_at_once(d * energy.size) // _PART)
    if energy.interaction is not None:
        size *= -(-len(rows) // size)
    for first in range(0, len(rows), size):
        own = rows[first : first + size]
        own = np.pad(own, (0, size - len(own)), constant_values=-1)
        share = np.where(own < 0, 0.0, weight[own]) / copies
        shocks = noise[:, :, own].transpose(1, 2, 0, 3).reshape(1, steps, -1, d)
        points = np.repeat(cloud[own], copies, axis=0)
        yield _Start(own, points, np.repeat(share, copies), Paths(shocks, paths.low, paths.high))


@eqx.filter_jit
def _tested(tests, end, slope, share, rows):  # type: ignore[no-untyped-def]
    """ψ where paths end, and weighted sums of its slope over each so many paths."""
    values = jax.vmap(tests.value)(end)
    weighted = share[:, None, None] * jax.vmap(tests.gradient)(end)  # (N, d, M)
    parts = len(end) // rows, rows * end.shape[1], -1

    def moved(part):  # type: ignore[no-untyped-def]
        own, steered = part
        return own.T @ steered

    return values, jax.lax.map(moved, (weighted.reshape(parts), slope.reshape(parts)))


def _walk(
    energy: LinearEnergy, theta: Any, start: _Start, duration: Any, *, sensitive: bool
) -> tuple[Float[Array, "N d"], Float[Array, "N d _"]]:
    """Where paths end and how that depends on θ, a few steps a call: all compile the same."""
    noise = np.asarray(start.paths.noise)
    _, steps, rows, d = noise.shape
    dt: Any = np.asarray(duration / steps)
    group = _GROUP if steps % _GROUP == 0 else 1
    share: Any = start.share
    state: Any = start.points, np.zeros((rows, d, energy.size if sensitive else 0))
    for first in range(0, steps, group):
        shocks = Paths(noise[:, first : first + group], start.paths.low, start.paths.high)
        state = _steps(energy, theta, state, share, dt, shocks, sensitive=sensitive)
    return state


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
        own = jnp.pad(design, ((0, 0), (0, int(energy.internal))))
        return design @ felt, own - field.hessian(x, felt).astype(x.dtype) @ sensitivity

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
