"""How far an estimate moves when other particles are drawn from the same populations.

Couplings are not observations: each is made of both clouds at once. Particles are, so the
covariance of an estimating function is that of its influence, summed over particles (the sandwich
of Huber, 1967; DESIGN of the package, "the likelihoods").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from bayesjko.inference.conditioning import Conditioned
from bayesjko.inference.problem import Meat
from bayesjko.inference.score import Score
from bayesjko.inference.whole import Part, Whole
from bayesjko.models.blocks import weighted_blocks
from bayesjko.models.data import Couplings, Snapshots, middles
from bayesjko.models.energies import Field, LinearEnergy
from bayesjko.models.likelihoods.residual import Scheme, evaluation_points
from bayesjko.models.precision import double

__all__ = ["calibrated_ridge", "paired_meat", "residual_meat", "sandwich"]

_FORWARD = 4  # steps to the middle of an interval: one would overshoot where forces are stiff
_FARTHEST = 1.0  # standard unit that half a step may lead: far from the truth forces know no end
_JITTER = 1e-10  # relative: features that say the same make a covariance singular
# How far, in logs, a precision may be from the data's own. Never above it: the evidence of data
# that say little is highest at no force at all, which is no reason to be sure of that.
_LOWEST, _HIGHEST = -45.0, 0.0
_SHIFTS = (-40.0, -25.0, -14.0, -11.0, -8.0, -5.0, -2.0)


def sandwich(conditioned: Conditioned, meat: Float[np.ndarray, "S S"]) -> Float[np.ndarray, "S S"]:
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
    field: Field  # of the energy in the middle of the interval


def residual_meat(
    energy: LinearEnergy,
    snapshots: Snapshots | Whole,
    counts: Sequence[float],
    period_of: Sequence[int],
    scores: Sequence[Score] | None,
) -> Meat:
    """The meat of the residual likelihood's normal equations, counted per particle.

    Dᵀ(y − x) telescopes to Φ(y) − Φ(x), Φ the functions whose gradients are D's columns, whatever
    the coupling; so particle p of a snapshot has the influence n(±Φ(x_p) − ½τ D(x_p)ᵀF(x_p)) on
    the interval it ends (+) and on the one it starts (−), to first order in τ. This is ±nΦ half a
    step from x_p towards the interval's other end, and there it is taken: where forces are stiff,
    in the tails of a population above all, a derivative says little of half a step.

    Args:
        energy: whose coefficients are estimated.
        snapshots: in standard units.
        counts: n_k of each interval.
        period_of: period of each interval.
        scores: density of each snapshot, for an energy with an internal term.
    """
    periods = max(period_of) + 1
    whole = Whole.of(snapshots) if isinstance(snapshots, Snapshots) else snapshots
    halves = 0.5 * np.diff(whole.times)
    energies = [energy.at(middle) for middle in middles(whole.times)]

    def meat(coefficients: Float[np.ndarray, "period K"]) -> Float[np.ndarray, "S S"]:
        total = np.zeros((periods * energy.size,) * 2)
        for index, parts in enumerate(whole.parts):
            with double():
                ends = [
                    _End(
                        period_of[k],
                        sign,
                        float(counts[k]),
                        float(halves[k]),
                        whole.field(energies[k], index),
                    )
                    for k, sign in ((index - 1, 1.0), (index, -1.0))
                    if 0 <= k < len(counts)
                ]
            score = None if scores is None else scores[index]
            given = energy.size, ends, coefficients, score, periods
            total += whole.reduce(partial(_influence, *given), parts).covariance()
        return total

    return meat


def paired_meat(
    energy: LinearEnergy,
    couplings: Sequence[Couplings],
    scheme: Scheme,
    period_of: Sequence[int],
) -> Meat:
    """The meat where couplings are known and each particle is followed through all intervals.

    Particle p contributes Σ_k n w D(z_k)ᵀe_k, all its intervals together, and particles are
    independent: the sandwich of White (Econometrica 48, 1980), clustered by particle.

    Args:
        energy: whose coefficients are estimated.
        couplings: of each interval, row i always the same particle.
        scheme: where the force is taken.
        period_of: period of each interval.
    """
    periods = max(period_of) + 1

    def meat(coefficients: Float[np.ndarray, "period K"]) -> Float[np.ndarray, "S S"]:
        count = len(couplings[0].weight)
        influence = np.zeros((count, periods, energy.size))
        for k, each in enumerate(couplings):
            points = evaluation_points(each, scheme)
            with double():
                around = energy.at(each.middle).around
                field = around(jnp.asarray(points), jnp.asarray(each.weight))
                pulled = _pull_of_residual(
                    field,
                    jnp.asarray(points),
                    None if each.score is None else jnp.asarray(each.score),
                    jnp.asarray(each.target - each.source),
                    jnp.asarray(each.duration),
                    jnp.asarray(coefficients[period_of[k]]),
                )
            weight = each.effective_count * np.asarray(each.weight)[:, None]
            influence[np.asarray(each.source_index), period_of[k]] += weight * np.asarray(pulled)
        flat = influence.reshape(count, -1)
        return flat.T @ flat

    return meat


@eqx.filter_jit
def _pull_of_residual(
    field: Field,
    points: Float[Array, "n d"],
    score: Float[Array, "n d"] | None,
    move: Float[Array, "n d"],
    duration: Float[Array, ""],
    theta: Float[Array, " K"],
) -> Float[Array, "n K"]:
    def one(x, s, delta):  # type: ignore[no-untyped-def]
        design = field.design(x, s)
        return (delta - duration * (design @ theta)) @ design

    return jax.vmap(one, in_axes=(0, None if score is None else 0, 0))(points, score, move)


@dataclass(frozen=True, eq=False)
class _Influence:
    """Sums over particles of their influence h: Σw²hhᵀ, Σwh, Σw²h and Σw²."""

    square: np.ndarray
    mean: np.ndarray
    cross: np.ndarray
    weight: float

    def __add__(self, other: _Influence) -> _Influence:
        return _Influence(
            self.square + other.square,
            self.mean + other.mean,
            self.cross + other.cross,
            self.weight + other.weight,
        )

    def covariance(self) -> np.ndarray:
        """Σw²(h − h̄)(h − h̄)ᵀ."""
        off = np.outer(self.cross, self.mean)
        return self.square - off - off.T + self.weight * np.outer(self.mean, self.mean)


def _influence(
    size: int,
    ends: Sequence[_End],
    coefficients: np.ndarray,
    score: Score | None,
    periods: int,
    part: Part,
) -> _Influence:
    cloud, weight = part()
    square = np.zeros((periods * size,) * 2)
    mean = np.zeros(periods * size)
    cross = np.zeros(periods * size)
    with double():
        for points, w in weighted_blocks(cloud, weight):
            gradient: Any = None if score is None else score(points)
            influence = np.zeros((len(points), periods * size))
            for end in ends:
                theta: Any = coefficients[end.period]
                half: Any = np.asarray(-end.sign * end.half)
                steps = 1 if end.sign > 0 else _FORWARD
                middle, value = _halfway(end.field, points, gradient, theta, half, steps)
                phi = -np.asarray(value)
                if score is not None:
                    density = score.log_density(np.asarray(middle))
                    phi = np.concatenate([phi, -density[:, None]], axis=1)
                columns = slice(end.period * size, (end.period + 1) * size)
                influence[:, columns] += end.count * end.sign * phi
            weighted = w[:, None] * influence
            square += weighted.T @ weighted
            mean += weighted.sum(axis=0)
            cross += w @ weighted
    return _Influence(square, mean, cross, float(weight @ weight))


@eqx.filter_jit
def _halfway(
    field: Field,
    points: Float[Array, "n d"],
    score: Float[Array, "n d"] | None,
    theta: Float[Array, " K"],
    duration: Float[Array, ""],
    steps: int,
) -> tuple[Float[Array, "n d"], Float[Array, "n J"]]:
    """Where the force takes each point in so long, not too far, and Φ there without β's column."""

    def one(x, s):  # type: ignore[no-untyped-def]
        for _ in range(steps):
            step = duration * (field.design(x, s) @ theta)
            length = jnp.sqrt(jnp.sum(step**2))
            x = x + step / steps / jnp.maximum(length / _FARTHEST, 1.0)
        return x, field.value(x)

    return jax.vmap(one, in_axes=(0, None if score is None else 0))(points, score)


def calibrated_ridge(
    gram: Float[np.ndarray, "S S"],
    moment: Float[np.ndarray, " S"],
    meat: Float[np.ndarray, "S S"],
    size: int,
    groups: Sequence[slice],
    start: Float[np.ndarray, " K"],
) -> Float[np.ndarray, " K"]:
    """Prior precisions Λ, one a group, that make the estimating function most probable.

    b = Aθ + ε with Cov ε = M counted per particle and θ ~ N(0, Λ⁻¹) is N(0, M + AΛ⁻¹A): the
    evidence of the statistics themselves, at the right scale whatever the likelihood's own idea of
    its noise. (The likelihood's evidence, where its covariance is shrunk or counts couplings, finds
    too little in the data and shrinks too much.)

    Args:
        gram: A of all periods together.
        moment: b.
        meat: M at the current estimate.
        size: K, coefficients of one period.
        groups: coefficients of one period that share a precision; the others keep theirs.
        start: precisions to start from.
    """
    periods = len(moment) // size
    unit = 1.0 / np.sqrt(np.maximum(np.diag(meat), 1e-12 * np.diag(meat).max()))
    a = unit[:, None] * gram
    b = unit * moment
    floor = unit[:, None] * meat * unit
    members = [
        np.concatenate([np.arange(g.start, g.stop) + p * size for p in range(periods)])
        for g in groups
    ]
    fixed = np.setdiff1d(np.arange(len(b)), np.concatenate([*members, []]))
    wide = np.tile(start, periods)
    floor = floor + (a[:, fixed] / wide[fixed]) @ a[:, fixed].T
    products = [a[:, m] @ a[:, m].T for m in members]

    @np.errstate(over="ignore", invalid="ignore")
    def objective(logs: np.ndarray) -> tuple[float, np.ndarray]:
        covariance = floor + sum(
            np.exp(-log) * product for log, product in zip(logs, products, strict=True)
        )
        each = 1.0 / np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
        scaled = each[:, None] * covariance * each + _JITTER * np.eye(len(b))
        try:
            factor = cho_factor(scaled, lower=True)
        except (np.linalg.LinAlgError, ValueError):  # not positive definite, or not finite
            return 1e300, np.zeros(len(logs))
        solved = each * cho_solve(factor, each * b)
        inverse = each[:, None] * cho_solve(factor, np.eye(len(b))) * each
        value = np.sum(np.log(np.diag(factor[0]) / each)) + 0.5 * float(b @ solved)
        slope = [
            -0.5 * np.exp(-log) * (np.sum(inverse * product) - float(solved @ product @ solved))
            for log, product in zip(logs, products, strict=True)
        ]
        if not (np.isfinite(value) and np.all(np.isfinite(slope))):
            return 1e300, np.zeros(len(logs))
        return float(value), np.array(slope)

    # precisions at which a group's prior is as wide as what one of its coefficients' data say
    scale = (
        np.array([np.log(np.median(np.diag(p))) for p in products]) if products else np.array([])
    )
    bounds = [(s + _LOWEST, s + _HIGHEST) for s in scale]
    initial = np.log([start[g.start] for g in groups])
    candidates = [scale + shift for shift in _SHIFTS]
    candidates.append(np.clip(initial, scale + _LOWEST, scale + _HIGHEST))
    best = min(candidates, key=lambda logs: objective(logs)[0])
    found = minimize(objective, best, jac=True, method="L-BFGS-B", bounds=bounds)
    ridge = np.array(start, dtype=float)
    for group, log in zip(groups, found.x, strict=True):
        ridge[group] = np.exp(log)
    return ridge
