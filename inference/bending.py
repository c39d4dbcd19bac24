"""How simulated moments bend: what samplers of the flow likelihood see beside its linearisation.

The estimating function S(θ) = XᵀΣ_W⁻¹g(θ) of the conjugate solve is linear in θ near its root only.
Its departure from that is simulated with random numbers that are frozen, so that a sampler sees one
smooth function, on a part of the particles and in single precision: it is a correction, its own
noise one to that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from bayesjko.inference.conditioning import Conditioned
from bayesjko.inference.equations import Equations
from bayesjko.inference.resolution import Resolution
from bayesjko.models.likelihoods.flow import mean_of_paths
from bayesjko.models.precision import double

__all__ = ["Bend", "bending"]

_Tree = TypeVar("_Tree")

_Shares = Sequence[Float[Array, " _"]]
Bend = Callable[[Float[Array, " P"]], Float[Array, " P"]]
"""θ ↦ the coefficients at which the linearised estimating function is what it is at θ."""

_PARTICLES = 96  # of each snapshot that paths start from
_PLACES = 8  # at which two halves of them are compared
_NOISY = 0.1  # standard deviation of a coefficient, rms, by which they may be off: half of places
_COPIES = 2  # of each, one the other's mirror
_LEAST_DIFFUSION = 1e-4  # β around which is expanded: at zero the paths' slope in β has no limit


def bending(
    equations: Equations,
    weight: Float[np.ndarray, "E E"],
    resolution: Resolution,
    found: Conditioned,
    *,
    kept: Float[np.ndarray, "P P"] | None = None,
    particles: int = _PARTICLES,
    copies: int = _COPIES,
) -> Bend | None:
    """θ − Q⁻¹r(θ), r(θ) = S(θ) − S′(θ̂)(θ − θ̂) − S(θ̂) the departure from linearity.

    None where it says more of the paths that it is simulated on than of the equations.

    With the ridge, S(θ) − Rθ = −Q(θ − Q⁻¹r(θ) − θ̂): whatever Gaussian the linear equations make of
    θ − θ̂, the simulated ones make of this. It is θ̂ at θ̂ and has the slope one there.

    Args:
        equations: of the moments.
        weight: Σ_W⁻¹.
        resolution: of the paths: their steps are taken from it.
        found: the conjugate estimate θ̂ and its Q.
        kept: of the estimating function, where a part of it is not listened to: Q knows nothing of
            that part and would make of it whatever the prior allows.
        particles: of each snapshot that paths start from, at most.
        copies: noise copies of each path, an even number.
    """
    at = found.mean.copy()
    if equations.energy.internal:
        at[:, -1] = np.maximum(at[:, -1], _LEAST_DIFFUSION)
    jacobian = equations.flow(at, resolution=resolution).jacobian
    listened = jacobian.T @ weight if kept is None else kept @ (jacobian.T @ weight)
    covariance = found.joint_inverse()
    pushed = covariance @ listened
    snapshots, periods = equations.snapshots, list(equations.period_of)
    starts, shares = [], []
    for k, steps in enumerate(resolution.steps):
        cloud, share = snapshots.particles[k], snapshots.weights[k]
        rows = np.linspace(0, len(cloud) - 1, min(particles, len(cloud))).astype(int)
        paths = equations.paths(k, copies, steps, count=len(rows))
        starts.append((equations.within(k), cloud[rows], paths))
        shares.append(share[rows] / share[rows].sum())

    tests, starts = _single((equations.tests, starts))
    everyone, *halves = (
        [jnp.asarray(share, jnp.float32) for share in each]
        for each in (shares, _half(shares, 0), _half(shares, 1))
    )

    def moments(theta: Float[Array, " P"], shares: _Shares) -> Float[Array, " E"]:
        each = theta.reshape(at.shape).astype(jnp.float32)
        means = [
            mean_of_paths(energy, tests, each[period], cloud, share, float(duration), paths)
            for period, duration, share, (energy, cloud, paths) in zip(
                periods, snapshots.durations, shares, starts, strict=True
            )
        ]
        return jnp.concatenate(means).astype(theta.dtype)

    def bend(
        theta: Float[Array, " P"],
        shares: _Shares,
        level: Float[ArrayLike, " E"],
        slope: Float[ArrayLike, "E P"],
    ) -> Float[Array, " P"]:
        # g falls as the moments rise
        departure = level + slope @ (theta - here) - moments(theta, shares)
        return theta - pushed @ departure

    with double():
        here = jnp.asarray(at.ravel())
        level_of, slope_of = jax.jit(moments), jax.jit(jax.jacfwd(moments))

        def around(shares: _Shares) -> tuple[_Shares, np.ndarray, np.ndarray]:
            """What a bend on so many of the particles is made of."""
            level, slope = (np.asarray(of(here, shares)) for of in (level_of, slope_of))
            return shares, level, slope

        rng = np.random.default_rng(equations.seed)
        places = rng.multivariate_normal(at.ravel(), covariance, size=_PLACES)
        if equations.energy.internal:
            betas = places.reshape(-1, *at.shape)[..., -1]
            betas[:] = np.abs(betas)
        seen = jax.jit(lambda *made: jax.lax.map(lambda theta: bend(theta, *made), places))
        one, other = (np.asarray(seen(*around(half))) for half in halves)
        # half of their difference is what the mean of both is off by
        noise = 0.5 * (one - other) / np.sqrt(np.diag(covariance))
        if np.median(np.sqrt(np.mean(noise**2, axis=1))) > _NOISY:
            return None
        made = around(everyone)
    return lambda theta: bend(theta, *made)


def _half(shares: Sequence[Float[np.ndarray, " _"]], first: int) -> list[Float[np.ndarray, " _"]]:
    """Weights of every other particle only."""
    kept = [np.where(np.arange(len(share)) % 2 == first, share, 0.0) for share in shares]
    return [share / share.sum() for share in kept]


def _single(tree: _Tree) -> _Tree:
    """All floating-point arrays in it in single precision."""
    return jax.tree.map(
        lambda a: jnp.asarray(a, jnp.float32) if eqx.is_inexact_array_like(a) else a, tree
    )
