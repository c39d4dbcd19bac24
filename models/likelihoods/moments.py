"""Moment equations: what test functions of the particles say of an energy.

Over an interval k a test ψ satisfies m_{k+1}[a] − m_k[c] ≈ 0, m_l an average over snapshot l: in
the weak form a = ψ − ½τ Lψ and c = ψ + ½τ Lψ with the generator Lψ = ∇ψ·f + βΔψ; in the flow form
a = ψ and c = E[ψ(X_τ)]. Snapshots are independent samples, so the covariance of all equations is
that of (a, c) within each snapshot: block tridiagonal, counted per particle, no noise to be fitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg import cho_factor, cho_solve
from scipy.special import chdtrc

from bayesjko.models.bases import RBF, Basis, Polynomial, Scaled, Stacked
from bayesjko.models.blocks import mapped
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.precision import double

__all__ = [
    "GoodnessOfFit",
    "Sides",
    "build_tests",
    "equation_covariance",
    "goodness_of_fit",
    "shrunk",
    "still_covariance",
    "values_of",
    "weight_covariance",
    "weight_of",
    "without_leverage",
]

_MOST_LEVERAGE = 0.9


@dataclass(frozen=True, eq=False)
class Sides:
    """What each particle of one snapshot contributes to the equations it takes part in.

    Attributes:
        weight: of each particle; sums to one.
        target: a, for the interval that the snapshot ends; None for the first snapshot.
        source: c, for the interval that it starts; None for the last snapshot.
        share: of the snapshot's effective size that these particles are; of the others nothing but
            the averages of a and c is known.
        apart: the part of c whose average is that of these particles alone, where there are others.
    """

    weight: Float[np.ndarray, " n"]
    target: Float[np.ndarray, "n M"] | None
    source: Float[np.ndarray, "n M"] | None
    share: float = 1.0
    apart: Float[np.ndarray, "n M"] | None = None


def equation_covariance(snapshots: Iterable[Sides]) -> Float[np.ndarray, "E E"]:
    """Covariance of the equations g_k = m_{k+1}[a] − m_k[c] of all intervals, by particle.

    Snapshots may be made one at a time, since each is as large as all else that an estimate is.
    What only a share of the particles is asked for varies as if there were no others: its average
    over them and the average over all of anything else covary as averages over all do.
    """
    own: list[np.ndarray] = []  # of each interval
    across: list[np.ndarray] = []  # of each and the next
    for side in snapshots:
        w, share = side.weight, side.share
        if side.target is not None:
            own[-1] += share * _covariance(side.target, side.target, w)
        if side.target is not None and side.source is not None:
            across.append(share * _covariance(side.target, side.source, w))
        if side.source is not None:
            own.append(share * _covariance(side.source, side.source, w))
        if side.apart is not None and share < 1.0:
            own[-1] += (1.0 - share) * _covariance(side.apart, side.apart, w)
    count, size = len(own), len(own[0])
    full = np.zeros((count, size, count, size))
    for k, block in enumerate(own):
        full[k, :, k] = block
    for k, block in enumerate(across):
        full[k, :, k + 1], full[k + 1, :, k] = -block, -block.T
    return full.reshape(count * size, count * size)


def weight_covariance(
    tests: Sequence[Float[np.ndarray, "_ M"]],
    weights: Sequence[Float[np.ndarray, " _"]],
    shrinkage: float,
    shares: Sequence[float] | None = None,
) -> Float[np.ndarray, "E E"]:
    """Σ_W, the covariance the equations would have if particles stood still.

    Each snapshot's covariance of the tests is shrunk towards the identity (they are standardised):
    the full empirical covariance of many tests overfits, and so does every weight made of it.

    Args:
        tests: ψ of every particle of each snapshot.
        weights: of the particles.
        shrinkage: share of the identity, 0 to 1.
        shares: of each snapshot's effective size that these particles are; one if not given.
    """
    return still_covariance(
        [
            shrunk(share * _covariance(values, values, weight), shrinkage)
            for values, weight, share in zip(
                tests, weights, shares or [1.0] * len(tests), strict=True
            )
        ]
    )


def shrunk(covariance: Float[np.ndarray, "M M"], shrinkage: float) -> Float[np.ndarray, "M M"]:
    """A covariance shrunk towards the identity, at its own scale."""
    typical = np.trace(covariance) / len(covariance)
    return (1.0 - shrinkage) * covariance + shrinkage * typical * np.eye(len(covariance))


def still_covariance(blocks: Sequence[Float[np.ndarray, "M M"]]) -> Float[np.ndarray, "E E"]:
    """The covariance of m_{k+1}[ψ] − m_k[ψ] for all k, given that of each snapshot's m[ψ]."""
    count, size = len(blocks) - 1, len(blocks[0])
    full = np.zeros((count, size, count, size))
    for k in range(count):
        full[k, :, k] = blocks[k] + blocks[k + 1]
        if k + 1 < count:
            full[k, :, k + 1] = full[k + 1, :, k] = -blocks[k + 1]
    return full.reshape(count * size, count * size)


def weight_of(
    tests: Sequence[Float[np.ndarray, "_ M"]],
    weights: Sequence[Float[np.ndarray, " _"]],
    shrinkage: float,
    shares: Sequence[float] | None = None,
) -> Float[np.ndarray, "E E"]:
    """Σ_W⁻¹."""
    covariance = weight_covariance(tests, weights, shrinkage, shares)
    factor = cho_factor(covariance, lower=True)
    return np.asarray(cho_solve(factor, np.eye(len(covariance))))


def without_leverage(
    snapshots: Iterable[Sides], weight: Float[np.ndarray, "E E"]
) -> Iterator[Sides]:
    """The same contributions as if no particle had helped to make the weight.

    A particle with much pull on the weight looks closer to the others than it is: its deviation is
    divided by √(1 − h), h its leverage (the HC2 correction of MacKinnon and White, Journal of
    Econometrics 29, 1985). With M tests and n particles this is of the order of M/n.

    Args:
        snapshots: contributions.
        weight: Σ_W⁻¹.
    """
    for index, side in enumerate(snapshots):
        size = _tests_of(side).shape[1]
        blocks = weight.reshape(len(weight) // size, size, -1, size)
        parts = [
            (k, sign * (values - side.weight @ values))
            for k, sign, values in ((index - 1, 1.0, side.target), (index, -1.0, side.source))
            if values is not None
        ]
        leverage = sum(
            np.einsum("nm,nm->n", left @ blocks[i, :, j], right)
            for i, left in parts
            for j, right in parts
        )
        share = np.minimum((side.share * side.weight) ** 2 * leverage, _MOST_LEVERAGE)
        scale = 1.0 / np.sqrt(1.0 - share)[:, None]

        def lifted(values, scale=scale, side=side):  # type: ignore[no-untyped-def]
            if values is None:
                return None
            mean = side.weight @ values
            return mean + scale * (values - mean)

        yield replace(side, target=lifted(side.target), source=lifted(side.source))


@dataclass(frozen=True)
class GoodnessOfFit:
    """Is this population a gradient flow with this energy?

    Attributes:
        statistic: the quadratic form of the equations left over, scaled to a χ².
        degrees_of_freedom: of that χ², fractional since the form is a weighted one.
        p_value: probability of a larger one if the answer is yes.
    """

    statistic: float
    degrees_of_freedom: float
    p_value: float


def goodness_of_fit(
    residual: Float[np.ndarray, " E"],
    weight: Float[np.ndarray, "E E"],
    jacobian: Float[np.ndarray, "E P"],
    inverse: Float[np.ndarray, "P P"],
    covariance: Float[np.ndarray, "E E"],
    ridge: Float[np.ndarray, " P"],
) -> GoodnessOfFit:
    """The weighted form gᵀW g at the estimate against its own reference distribution.

    g = Nε + XQ⁻¹Rθ with N = I − XQ⁻¹XᵀW, ε ~ N(0, Σ) and θ ~ N(0, R⁻¹) has the covariance
    S = NΣNᵀ + XQ⁻¹RQ⁻¹Xᵀ, so the form is a weighted sum of χ²₁ with mean tr(WS) and variance
    2tr((WS)²), matched by a scaled χ² (Satterthwaite, Biometrics 2, 1946). Only these two traces of
    the empirical Σ are used, and not its inverse, which many tests would make useless.

    Args:
        residual: g at the estimate.
        weight: W.
        jacobian: X, with g(θ) = y − Xθ.
        inverse: Q⁻¹ of the estimate.
        covariance: Σ of the equations at the estimate.
        ridge: the prior's precision R, whose pull on the estimate leaves XQ⁻¹Rθ behind.
    """
    shrunk = jacobian @ inverse
    left = np.eye(len(residual)) - shrunk @ (jacobian.T @ weight)
    product = weight @ (left @ covariance @ left.T + (shrunk * ridge) @ shrunk.T)
    mean = float(np.trace(product))
    spread = float(np.sum(product * product.T))
    statistic = float(residual @ weight @ residual) * mean / spread
    freedom = mean**2 / spread
    return GoodnessOfFit(statistic, freedom, float(chdtrc(freedom, statistic)))


def build_tests(
    energy: LinearEnergy, sample: Float[np.ndarray, "n d"], *, bumps: int, most: int, seed: int
) -> Basis:
    """Test functions ψ: the potential's own features, then Gaussian bumps where particles are.

    All are standardised to unit variance over the sample, none vanishing beside the largest.

    Args:
        energy: whose potential gives the first tests; linear and square terms if it has none, or
            more features than tests are affordable.
        sample: of the particles of all snapshots, in standard units.
        bumps: how many Gaussian bumps to add.
        most: how many tests are affordable; at least the linear terms are taken.
        seed: of the bumps' centres.
    """
    own = energy.potential
    if own is None or own.size > most:
        degree = 2 if Polynomial.of_degree(2, sample.shape[1]).size <= most else 1
        own = Polynomial.of_degree(degree, sample.shape[1])
        bumps = max(bumps, most)
    parts: list[Basis] = [own]
    if min(bumps, most - own.size) > 0:
        parts.append(RBF.at_centres(sample, min(bumps, most - own.size), seed))
    tests = Stacked(tuple(parts))
    spread = values_of(tests, sample).std(axis=0)
    return Scaled(tests, 1.0 / np.maximum(spread, 1e-6 * spread.max()))


def _tests_of(side: Sides) -> np.ndarray:
    values = side.target if side.target is not None else side.source
    assert values is not None
    return values


def _covariance(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Covariance of the weighted means of a and b: Σ w²(a − ā)(b − b̄)ᵀ."""
    left = weight[:, None] * (a - weight @ a)
    return left.T @ (weight[:, None] * (b - weight @ b))


def values_of(tests: Basis, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n M"]:
    """ψ at every point, in float64."""
    with double():
        return mapped(lambda part: _values(tests, part), points, tests.size)


@eqx.filter_jit
def _values(tests: Basis, points: Float[Array, "n d"]) -> Float[Array, "n M"]:
    return jax.vmap(tests.value)(points)
