"""Closed-form conditioning: a linear energy, Gaussian errors, a normal prior.

The posterior mean is the JKOnet* least-squares solution with a ridge (Terpin et al., NeurIPS
2024, §3.3). Everything is a view of one Cholesky factor of Q = A + s²Λ for each period: mean
Q⁻¹b, covariance s²Q⁻¹, the evidence through log|Q| and R = c − bᵀQ⁻¹b (Bishop, Pattern
Recognition and Machine Learning, §3.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.linalg import block_diag, cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import gammaln

from bayesjko.inference.posterior import CHAINS
from bayesjko.models.errors import InputError
from bayesjko.models.likelihoods.residual import Statistics

__all__ = [
    "NOISE_SHAPE",
    "ROUNDING",
    "Conditioned",
    "Noise",
    "condition",
    "draw_conditioned",
    "draw_noise",
    "maximise_evidence",
    "noise_and_evidence",
    "noise_rate",
]

Noise = float | Literal["estimate", "inverse-gamma"]
"""s² given; the most probable under the evidence; or unknown, with a vague inverse-gamma prior."""

NOISE_SHAPE = 1e-3
"""Of s²'s inverse-gamma prior: as good as flat in log s²."""

ROUNDING = float(np.finfo(float).eps) ** 2
"""Variance of positions in standard units that is never undercut, even where nobody moves."""

_RELATIVE_RATE = 1e-12  # of the mean square: keeps the evidence of noise-free data finite
_FLOOR, _CEILING = 1e-12, 1e6  # of the prior's precision, relative to the data's


@dataclass(frozen=True, eq=False)
class Conditioned:
    """A linear energy conditioned on its statistics, one block a period.

    Attributes:
        mean: θ̂ = Q⁻¹b.
        inverses: Q⁻¹ of each block of periods; s² times it is the covariance the model claims.
        ridge: s²Λ, the prior's precision relative to the noise's.
        noise: s²: as given, most probable, or its posterior mean.
        shape: of s²'s inverse-gamma posterior; infinite where s² is one number.
        log_evidence: log p(y) up to −½ d Σ n_k log τ_k, which no choice of energy changes.
    """

    mean: Float[np.ndarray, "period K"]
    inverses: tuple[Float[np.ndarray, "B B"], ...]
    ridge: Float[np.ndarray, " K"]
    noise: float
    shape: float
    log_evidence: float

    def joint_inverse(self) -> Float[np.ndarray, "S S"]:
        """Q⁻¹ of all periods together."""
        return np.asarray(block_diag(*self.inverses))

    @property
    def precision(self) -> Float[np.ndarray, " K"]:
        """Λ at the noise found."""
        return self.ridge / self.noise


def condition(
    blocks: Sequence[Statistics], ridge: Float[np.ndarray, " K"], noise: Noise
) -> Conditioned:
    """The posterior of θ given s²Λ = diag(ridge), the same for all periods.

    A block of statistics holds one period's coefficients or those of several, one after the
    other. With `inverse-gamma` noise the prior is θ | s² ~ N(0, s² diag(ridge)⁻¹).

    Raises:
        InputError: Q is not positive definite: the prior is too weak for features this collinear.
    """
    solved = [_solve(statistics, ridge) for statistics in blocks]
    return Conditioned(
        mean=np.concatenate([block.mean for block in solved]).reshape(-1, len(ridge)),
        inverses=tuple(block.inverse for block in solved),
        ridge=ridge,
        **noise_and_evidence(blocks, *_together(solved, ridge), noise),
    )


def maximise_evidence(
    blocks: Sequence[Statistics],
    size: int,
    groups: Sequence[slice],
    noise: Noise,
    *,
    weak: Sequence[int] = (),
) -> Conditioned:
    """The posterior with one prior scale a group of coefficients, the most probable ones.

    Args:
        blocks: statistics of each block of periods.
        size: number of coefficients K of one period.
        groups: coefficients that share a scale.
        noise: how s² is treated.
        weak: positions of coefficients (β) whose prior stays vague whatever the evidence says:
            a scale for one coefficient alone would shrink it to nothing or not at all.
    """
    typical = np.mean(np.concatenate([np.diag(s.gram).reshape(-1, size) for s in blocks]), axis=0)
    typical = np.where(typical > 0, typical, typical.max() or 1.0)

    def ridge_of(logs: np.ndarray) -> np.ndarray:
        ridge = np.empty(size)
        for group, value in zip(groups, logs, strict=True):
            ridge[group] = np.exp(value)
        ridge[list(weak)] = 1e-6 * typical[list(weak)]
        return ridge

    def objective(logs: np.ndarray) -> tuple[float, np.ndarray]:
        ridge = ridge_of(logs)
        try:
            solved = [_solve(statistics, ridge) for statistics in blocks]
        except InputError:
            return 1e300, np.zeros(len(logs))
        found = noise_and_evidence(blocks, *_together(solved, ridge), noise)
        spread = found["noise"] if np.isinf(found["shape"]) else _rate_over_shape(found)
        variance = np.concatenate([np.diag(b.inverse) + b.mean**2 / spread for b in solved])
        slope = 0.5 * np.sum(1.0 - ridge * variance.reshape(-1, size), axis=0)
        slope[list(weak)] = 0.0
        return -found["log_evidence"], -np.array([slope[group].sum() for group in groups])

    if not groups:  # β alone
        return condition(blocks, ridge_of(np.empty(0)), noise)
    scale = np.array([np.log(np.median(typical[group])) for group in groups])
    bounds = [(s + np.log(_FLOOR), s + np.log(_CEILING)) for s in scale]
    starts = [scale + np.log(relative) for relative in (1e-9, 1e-6, 1e-4, 1e-2, 1.0)]
    start = min(starts, key=lambda logs: objective(logs)[0])
    best = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return condition(blocks, ridge_of(best.x if best.fun < 1e300 else start), noise)


def draw_conditioned(
    conditioned: Conditioned,
    covariance: Float[np.ndarray, "S S"] | None,
    draws: int,
    seed: int,
) -> tuple[Float[np.ndarray, "chain draw period K"], Float[np.ndarray, "chain draw"]]:
    """Independent draws of θ and s², laid out in chains; `draws` is rounded up to fill them.

    Without a covariance of its own θ | s² ~ N(θ̂, s²Q⁻¹), Student-t once s² is integrated out;
    with one, of all periods together, θ ~ N(θ̂, covariance), independent of s².
    """
    rng = np.random.default_rng(seed)
    shape = (CHAINS, -(-draws // CHAINS))
    noise = draw_noise(conditioned.noise, conditioned.shape, shape, rng)
    blocks = conditioned.inverses if covariance is None else (covariance,)
    offsets = np.concatenate(
        [rng.normal(size=(*shape, len(block))) @ _root(block).T for block in blocks], axis=-1
    )
    if covariance is None:
        offsets *= np.sqrt(noise)[..., None]
    return conditioned.mean + offsets.reshape(*shape, *conditioned.mean.shape), noise


def draw_noise(
    noise: float, shape: float, layout: tuple[int, ...], rng: np.random.Generator
) -> Float[np.ndarray, "*layout"]:
    """Draws of s² from its posterior, given its mean and shape."""
    if np.isinf(shape):
        return np.full(layout, noise)
    return np.asarray(noise * (shape - 1.0) / rng.gamma(shape, size=layout))


def noise_rate(square: float) -> float:
    """Of s²'s inverse-gamma prior, given Σ n w ‖y − x‖²/τ."""
    return max(_RELATIVE_RATE * square, ROUNDING)


@dataclass(frozen=True, eq=False)
class _Block:
    mean: np.ndarray
    inverse: np.ndarray
    log_determinant: float  # of Q
    residual: float  # R = c − bᵀQ⁻¹b


def _solve(statistics: Statistics, ridge: np.ndarray) -> _Block:
    ridge = np.tile(ridge, len(statistics.moment) // len(ridge))
    matrix = statistics.gram + np.diag(ridge)
    if not (np.all(np.diag(matrix) > 0.0) and np.all(np.isfinite(matrix))):
        raise InputError(
            "A feature of the energy is zero, or too large for a number, at all particles; take "
            "another basis or width."
        )
    scale = 1.0 / np.sqrt(np.diag(matrix))  # unit diagonal: features differ by orders of magnitude
    try:
        factor = cho_factor(scale[:, None] * matrix * scale, lower=True)
    except np.linalg.LinAlgError as error:
        raise InputError(
            "The normal equations are not positive definite: features are collinear on these data "
            "and the prior is too weak to tell them apart; use fewer features or a stronger prior."
        ) from error
    inverse = scale[:, None] * cho_solve(factor, np.eye(len(ridge))) * scale
    mean = scale * cho_solve(factor, scale * statistics.moment)
    log_determinant = 2.0 * np.sum(np.log(np.diag(factor[0]))) - 2.0 * np.sum(np.log(scale))
    residual = statistics.sum_of_squares(mean) + float(mean @ (ridge * mean))
    return _Block(mean, inverse, float(log_determinant), max(residual, 0.0))


def _together(solved: Sequence[_Block], ridge: np.ndarray) -> tuple[float, float]:
    """Sum c − bᵀQ⁻¹b, and half the logarithm of the ratio of the determinants of s²Λ and Q."""
    residual = sum(block.residual for block in solved)
    periods = sum(len(block.mean) for block in solved) // len(ridge)
    of_q = sum(block.log_determinant for block in solved)
    return residual, 0.5 * (periods * float(np.sum(np.log(ridge))) - of_q)


def noise_and_evidence(
    blocks: Sequence[Statistics], residual: float, determinants: float, noise: Noise
) -> dict[str, float]:
    """s², its shape and the log evidence, as `Conditioned` has them.

    Args:
        blocks: statistics of each block of periods.
        residual: c − bᵀQ⁻¹b.
        determinants: half the logarithm of the ratio of the determinants of s²Λ and Q.
        noise: how s² is treated.
    """
    count = sum(statistics.count for statistics in blocks)
    square = sum(statistics.square for statistics in blocks)
    rate = noise_rate(square)
    if noise == "inverse-gamma":
        shape, rate_after = NOISE_SHAPE + 0.5 * count, rate + 0.5 * residual
        evidence = (
            determinants
            - 0.5 * count * np.log(2.0 * np.pi)
            + NOISE_SHAPE * np.log(rate)
            - gammaln(NOISE_SHAPE)
            + gammaln(shape)
            - shape * np.log(rate_after)
        )
        return {
            "noise": rate_after / (shape - 1.0),
            "shape": shape,
            "log_evidence": float(evidence),
        }
    variance = (residual + 2.0 * rate) / count if noise == "estimate" else float(noise)
    if noise == "estimate":
        residual += 2.0 * rate  # so that this s² is where the evidence's slope in it is zero
    evidence = (
        determinants - 0.5 * count * np.log(2.0 * np.pi * variance) - 0.5 * residual / variance
    )
    return {"noise": variance, "shape": np.inf, "log_evidence": float(evidence)}


def _rate_over_shape(found: dict[str, float]) -> float:
    return found["noise"] * (found["shape"] - 1.0) / found["shape"]


def _root(covariance: np.ndarray) -> np.ndarray:
    """A square root that also takes a covariance with directions of no spread."""
    scale = np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    return scale[:, None] * vectors * np.sqrt(np.maximum(values, 0.0))
