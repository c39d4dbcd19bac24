"""How far an estimate moves when other particles are drawn from the same populations.

Couplings are not observations: each is made of both clouds at once. Particles are, so the
covariance of an estimating function is that of its influence, summed over particles (the sandwich
of Huber, 1967; DESIGN of the package, "the likelihoods").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayesjko.inference.conditioning import Conditioned
from bayesjko.inference.problem import Meat
from bayesjko.inference.score import Score
from bayesjko.models.data import Snapshots
from bayesjko.models.energies import Field, LinearEnergy
from bayesjko.models.precision import double

__all__ = ["residual_meat", "sandwich"]

_CHUNK = 4096  # particles whose influence is formed at a time


def sandwich(
    conditioned: Conditioned, meat: Float[np.ndarray, "S S"]
) -> Float[np.ndarray, "S S"]:
    """Covariance of θ̂ about the truth, all periods together: Q⁻¹(M + s²R)Q⁻¹, R = s²Λ the ridge.

    With b = Aθ + ε and Cov ε = M the error is Q⁻¹(ε − Rθ); its second term, the ridge's bias, has
    under the prior θ ~ N(0, s²R⁻¹) the covariance s²Q⁻¹RQ⁻¹. Where the model is right, M = s²A and
    this is the model's own s²Q⁻¹; without a prior it is A⁻¹MA⁻¹.
    """
    inverse = conditioned.joint_inverse()
    ridge = np.tile(conditioned.ridge, len(inverse) // len(conditioned.ridge))
    return inverse @ (meat + conditioned.noise * np.diag(ridge)) @ inverse


@dataclass(frozen=True)
class _End:
    """One side of an interval: what a snapshot's particles contribute to its equations."""

    period: int
    sign: float  # +1 where the interval ends, −1 where it starts
    count: float  # n_k
    half: float  # τ_k/2


def residual_meat(
    energy: LinearEnergy,
    snapshots: Snapshots,
    counts: Sequence[float],
    period_of: Sequence[int],
    scores: Sequence[Score] | None,
) -> Meat:
    """The meat of the residual likelihood's normal equations, counted per particle.

    Dᵀ(y − x) telescopes to Φ(y) − Φ(x), Φ the functions whose gradients are D's columns, whatever
    the coupling; so particle p of a snapshot has the influence n(±Φ(x_p) − ½τ D(x_p)ᵀF(x_p)) on
    the interval it ends (+) and on the one it starts (−).

    Args:
        energy: whose coefficients are estimated.
        snapshots: in standard units.
        counts: n_k of each interval.
        period_of: period of each interval.
        scores: density of each snapshot, for an energy with an internal term.
    """
    periods = max(period_of) + 1

    def meat(coefficients: Float[np.ndarray, "period K"]) -> Float[np.ndarray, "S S"]:
        total = np.zeros((periods * energy.size,) * 2)
        for index in range(len(snapshots.times)):
            ends = [
                _End(period_of[k], sign, float(counts[k]), 0.5 * float(snapshots.durations[k]))
                for k, sign in ((index - 1, 1.0), (index, -1.0))
                if 0 <= k < len(counts)
            ]
            score = None if scores is None else scores[index]
            total += _snapshot_meat(energy, snapshots, index, ends, coefficients, score, periods)
        return total

    return meat


def _snapshot_meat(
    energy: LinearEnergy,
    snapshots: Snapshots,
    index: int,
    ends: Sequence[_End],
    coefficients: np.ndarray,
    score: Score | None,
    periods: int,
) -> np.ndarray:
    cloud, weight = snapshots.particles[index], snapshots.weights[index]
    size = energy.size
    square = np.zeros((periods * size,) * 2)
    mean = np.zeros(periods * size)
    cross = np.zeros(periods * size)
    with double():
        field = energy.around(jnp.asarray(cloud), jnp.asarray(weight))
        theta = jnp.asarray(np.stack([coefficients[end.period] for end in ends]))
        for start in range(0, len(cloud), _CHUNK):
            points, w = cloud[start : start + _CHUNK], weight[start : start + _CHUNK]
            gradient = None if score is None else jnp.asarray(score(points))
            value, pull = _value_and_pull(field, jnp.asarray(points), gradient, theta)
            phi = -np.asarray(value)
            if score is not None:
                phi = np.concatenate([phi, -score.log_density(points)[:, None]], axis=1)
            influence = np.zeros((len(points), periods * size))
            for end, dtf in zip(ends, np.asarray(pull), strict=True):
                columns = slice(end.period * size, (end.period + 1) * size)
                influence[:, columns] += end.count * (end.sign * phi - end.half * dtf)
            weighted = w[:, None] * influence
            square += weighted.T @ weighted
            mean += weighted.sum(axis=0)
            cross += w @ weighted
    # Σ w²(h − h̄)(h − h̄)ᵀ from its three sums
    return square - np.outer(cross, mean) - np.outer(mean, cross) + (weight @ weight) * np.outer(
        mean, mean
    )


@eqx.filter_jit
def _value_and_pull(
    field: Field,
    points: Float[Array, "n d"],
    score: Float[Array, "n d"] | None,
    theta: Float[Array, "e K"],
) -> tuple[Float[Array, "n J"], Float[Array, "e n K"]]:
    """Φ without β's column (with the sign of the features), and DᵀF for each side's θ."""

    def one(x, s):  # type: ignore[no-untyped-def]
        design = field.design(x, s)
        return field.value(x), (theta @ design.T) @ design

    value, pull = jax.vmap(one, in_axes=(0, None if score is None else 0))(points, score)
    return value, jnp.moveaxis(pull, 1, 0)
