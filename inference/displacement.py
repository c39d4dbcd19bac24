"""How far energies of single long steps move when other particles are drawn from the populations.

An explicit step of any length, x ↦ x + τF(x), is fitted to what couplings of the two clouds say of
T, the optimal map between their populations. The influence of a particle is then that of T: where
∇f(T(x)) is ∇φ(x) as far as gradients can tell, ∫∇φ·T dρ gains f(y) by a particle y of the target
and loses f(T(x)) by one x of the source. For short steps f is φ, the telescoping that
`calibration.residual_meat` counts by; for long ones φ itself may live where no step of the interval
starts, and would be counted there.

Couplings of finite samples are biased too, in many dimensions by as much as they vary. How much is
seen where the map is known: half of a cloud is coupled to what the fitted step makes of the other
half. Done both ways, what the halves differ in by chance cancels, and the bias remains.
"""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg import cho_factor, cho_solve

from bayesjko.inference.problem import Meat
from bayesjko.inference.score import Score
from bayesjko.inference.transport import couple
from bayesjko.models.data import Couplings, Snapshots
from bayesjko.models.energies import Field, LinearEnergy
from bayesjko.models.precision import double

__all__ = ["coupling_bias", "displacement_meat"]

_CHUNK = 2048  # particles whose features are formed at a time: one shape is compiled
_JITTER = 1e-8  # relative: features that say the same on these data
_LEAST = 1e-6  # variance of a direction, relative to the widest one's: thinner clouds have no map


def displacement_meat(
    energy: LinearEnergy,
    snapshots: Snapshots,
    couplings: Sequence[Couplings],
    scores: Sequence[Score] | None,
) -> Meat:
    """The meat of explicit residuals with an energy for each interval, counted per particle.

    f is sought among the features pulled back to the source by the coupling's barycentric map,
    ∇T taken for that of the optimal map between normals of the clouds' covariances. Beside f a
    source counts its own residual, D(x)ᵀ(T(x) − x − τF(x)). The bias of finite couplings is counted
    as one more influence, of either sign.

    Args:
        energy: whose coefficients are estimated.
        snapshots: in standard units.
        couplings: of each interval.
        scores: density of each snapshot, for an energy with an internal term.
    """
    size = energy.size
    steps = [
        _Step(energy, snapshots, k, each, None if scores is None else scores[k])
        for k, each in enumerate(couplings)
    ]

    def meat(coefficients: Float[np.ndarray, "period K"]) -> Float[np.ndarray, "S S"]:
        influence = [np.zeros((count, len(steps), size)) for count in snapshots.counts]
        biases = np.zeros((len(steps), len(steps), size))
        for k, step in enumerate(steps):
            influence[k][:, k] = step.of_source(coefficients[k])
            influence[k + 1][:, k] = step.of_target
            biases[k, k] = step.of_coupling(coefficients[k])
        flat = biases.reshape(len(steps), -1)
        total = flat.T @ flat
        for weight, each in zip(snapshots.weights, influence, strict=True):
            flat = each.reshape(len(weight), -1)
            weighted = weight[:, None] * (flat - weight @ flat)
            total += weighted.T @ weighted
        return total

    return meat


class _Step:
    """One interval: its design at the sources and what either end contributes."""

    def __init__(
        self,
        energy: LinearEnergy,
        snapshots: Snapshots,
        interval: int,
        couplings: Couplings,
        score: Score | None,
    ) -> None:
        source, target = snapshots.particles[interval], snapshots.particles[interval + 1]
        weight, weight_after = snapshots.weights[interval], snapshots.weights[interval + 1]
        pairs = couplings.source_index, couplings.target_index
        mass = np.asarray(couplings.weight)
        ahead = _barycentres(target, *pairs, mass, source)
        back = _barycentres(source, *pairs[::-1], mass, target)
        with double():
            field = energy.around(jnp.asarray(source), jnp.asarray(weight))
        value, self.design = _features(field, source, score)
        pulled = _features(field, back, score)[0]
        self.count = float(couplings.effective_count)
        self.duration = float(couplings.duration)
        self.move = ahead - source
        self.source, self.weight = source, weight
        inverse = _normal_map(target, weight_after, source, weight)
        stretch = _stretch(self.design, weight, inverse)
        self.of_target = self.count * pulled @ stretch
        self.start = -self.count * value @ stretch

    def of_source(self, theta: Float[np.ndarray, " K"]) -> Float[np.ndarray, "n K"]:
        """Influence of the particles that the interval starts from."""
        residual = self.move - self.duration * (self.design @ theta)
        pulled = (residual[:, None] @ self.design)[:, 0]
        return np.asarray(self.start + self.count * pulled)

    def of_coupling(self, theta: Float[np.ndarray, " K"]) -> Float[np.ndarray, " K"]:
        """What couplings of finite samples add to the moment."""
        start = self.source, self.weight, self.design
        return self.count * coupling_bias(*start, self.duration, theta)


def coupling_bias(
    source: Float[np.ndarray, "n d"],
    weight: Float[np.ndarray, " n"],
    design: Float[np.ndarray, "n d K"],
    duration: float,
    theta: Float[np.ndarray, " K"],
) -> Float[np.ndarray, " K"]:
    """What couplings of half as many particles add to the mean of Dᵀ(y − x), on average.

    Args:
        source: particles that a step starts from.
        weight: of each.
        design: D at each.
        duration: τ.
        theta: the step is x ↦ x + τD(x)θ.
    """
    ahead = source + duration * (design @ theta)
    order = np.random.default_rng(len(source)).permutation(len(source))
    total = np.zeros(len(theta))
    for own, other in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        clouds, weights = (source[own], ahead[other]), (weight[own], weight[other])
        pair = couple(Snapshots(np.array([0.0, duration]), clouds, weights))[0]
        rows, mass = (pair.source_index, pair.target_index), np.asarray(pair.weight)
        off = _barycentres(clouds[1], *rows, mass, clouds[0]) - ahead[own]
        total += 0.5 * np.einsum("n,nd,ndk->k", weight[own] / weight[own].sum(), off, design[own])
    return total


def _barycentres(
    points: np.ndarray,
    row: np.ndarray,
    partner: np.ndarray,
    mass: np.ndarray,
    otherwise: np.ndarray,
) -> np.ndarray:
    """For each particle the mean of what it is coupled to; itself if it is coupled to nothing."""
    total = np.zeros_like(otherwise)
    np.add.at(total, row, mass[:, None] * points[partner])
    share = np.bincount(row, mass, len(otherwise))[:, None]
    return np.divide(total, share, out=otherwise.copy(), where=share > 0.0)


def _normal_map(
    x: np.ndarray, wx: np.ndarray, y: np.ndarray, wy: np.ndarray
) -> Float[np.ndarray, "d d"]:
    """The gradient of the optimal map from a normal with x's covariance to one with y's."""
    before, after = _covariance(x, wx), _covariance(y, wy)
    root = _power(before, 0.5)
    return np.asarray(
        _power(before, -0.5) @ _power(root @ after @ root, 0.5) @ _power(before, -0.5)
    )


def _covariance(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    centred = x - weight @ x
    return np.asarray((weight[:, None] * centred).T @ centred)


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    least = max(_LEAST * values[-1], np.finfo(float).tiny)
    return np.asarray((vectors * np.maximum(values, least) ** exponent) @ vectors.T)


def _stretch(
    design: Float[np.ndarray, "n d K"],
    weight: Float[np.ndarray, " n"],
    inverse: Float[np.ndarray, "d d"],
) -> Float[np.ndarray, "K K"]:
    """C with f = CᵀΦ: ∫∇fᵀ(∇T)⁻¹∇h dρ = ∫∇φ·∇h dρ for all features φ and h."""
    size = design.shape[2]
    rows = np.sqrt(weight)[:, None, None] * design
    bent = np.linalg.cholesky(inverse).T @ rows
    gram = rows.reshape(-1, size).T @ rows.reshape(-1, size)
    curved = bent.reshape(-1, size).T @ bent.reshape(-1, size)
    diagonal = np.diag(curved)
    scale = 1.0 / np.sqrt(np.maximum(diagonal, max(1e-12 * diagonal.max(), 1e-300)))
    unit = scale[:, None] * curved * scale + _JITTER * np.eye(size)
    solved = cho_solve(cho_factor(unit, lower=True), scale[:, None] * gram)
    return np.asarray(scale[:, None] * solved)


def _features(
    field: Field, points: np.ndarray, score: Score | None
) -> tuple[Float[np.ndarray, "n K"], Float[np.ndarray, "n d K"]]:
    """Φ, whose gradients are the design's columns, and the design."""
    values, designs = [], []
    for start in range(0, len(points), _CHUNK):
        rows = points[start : start + _CHUNK]
        padded = np.concatenate([rows, np.repeat(rows[:1], _CHUNK - len(rows), axis=0)])
        gradient = None if score is None else score(padded)
        with double():
            value, design = _value_and_design(
                field, jnp.asarray(padded), None if gradient is None else jnp.asarray(gradient)
            )
        phi = -np.asarray(value)
        if score is not None:
            phi = np.concatenate([phi, -score.log_density(padded)[:, None]], axis=1)
        values.append(phi[: len(rows)])
        designs.append(np.asarray(design)[: len(rows)])
    return np.concatenate(values), np.concatenate(designs)


@eqx.filter_jit
def _value_and_design(
    field: Field, points: Float[Array, "n d"], score: Float[Array, "n d"] | None
) -> tuple[Float[Array, "n J"], Float[Array, "n d K"]]:
    def one(x, s):  # type: ignore[no-untyped-def]
        return field.value(x), field.design(x, s)

    return jax.vmap(one, in_axes=(0, None if score is None else 0))(points, score)
