"""The closed form of an energy that wanders, where each interval speaks for itself.

Couplings say of each interval's θ what they say, A and b of each, and the walk ties θ to the next:
Q = A + R is block tridiagonal, and so is the meat M, since a snapshot ends one interval and starts
the next. Mean, evidence and sandwich are passes over the intervals (Rauch, Tung and Striebel, AIAA
Journal 3, 1965, in precisions), all in the θ of each interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from bayesjko.inference.conditioning import Noise, noise_and_evidence
from bayesjko.inference.tridiagonal import BlockTridiagonal
from bayesjko.models.errors import InputError
from bayesjko.models.likelihoods.residual import Statistics

__all__ = ["Chain", "Smoothed", "smoothed", "surprise", "walk_precision"]

_JITTER = 1e-10  # relative: features that say the same make a covariance singular
_LOWEST, _HIGHEST = -45.0, 0.0  # of a log precision, from the data's own
_SHIFTS = (-25.0, -14.0, -11.0, -8.0, -5.0, -2.0)  # from it, where searches start


@dataclass(frozen=True, eq=False)
class Smoothed:
    """θ of all intervals given what each of them says.

    Attributes:
        mean: θ̂ = Q⁻¹b.
        precision: Q, relative to the noise.
        prior: R, likewise.
        noise: s²: as given, most probable, or its posterior mean.
        shape: of s²'s inverse-gamma posterior; infinite where s² is one number.
        log_evidence: as of `conditioning.Conditioned`.
    """

    mean: Float[np.ndarray, "period K"]
    precision: BlockTridiagonal
    prior: BlockTridiagonal
    noise: float
    shape: float
    log_evidence: float

    def errors(
        self, meat: BlockTridiagonal, white: Float[np.ndarray, "period K draw"]
    ) -> Float[np.ndarray, "period K draw"]:
        """White noise with the covariance of θ̂ about the truth, Q⁻¹(M + s²R)Q⁻¹.

        Raises:
            InputError: features are collinear on these data and the prior is too weak.
        """
        try:
            coloured = (meat + self.prior.times(self.noise)).coloured(white)
        except np.linalg.LinAlgError as error:
            raise InputError(
                "The covariance of the normal equations is not positive definite: features are "
                "collinear on these data; use fewer features or a stronger prior."
            ) from error
        return self.precision.solve(coloured)


def smoothed(
    blocks: Sequence[Statistics],
    ridge: Float[np.ndarray, " K"],
    variances: Float[np.ndarray, "period K"],
    noise: Noise,
) -> Smoothed:
    """The posterior given s²Λ = diag(ridge).

    Args:
        blocks: what each interval says.
        ridge: s²Λ.
        variances: of the first θ and of each step, relative to Λ⁻¹.
        noise: how s² is treated.
    """
    prior = walk_precision(ridge, variances)
    gram = np.stack([block.gram for block in blocks])
    precision = prior + BlockTridiagonal(gram, np.zeros_like(gram[1:]))
    moment = np.stack([block.moment for block in blocks])
    mean = precision.solve(moment[..., None])[..., 0]
    residual = sum(b.sum_of_squares(own) for b, own in zip(blocks, mean, strict=True))
    residual += float(np.sum(ridge / variances * np.diff(mean, axis=0, prepend=0.0) ** 2))
    determinants = 0.5 * (float(np.sum(np.log(ridge / variances))) - precision.log_determinant)
    found = noise_and_evidence(blocks, max(residual, 0.0), determinants, noise)
    return Smoothed(mean, precision, prior, **found)


def walk_precision(
    precision: Float[np.ndarray, " K"], variances: Float[np.ndarray, "period K"]
) -> BlockTridiagonal:
    """R of θ_0 and the steps θ_k − θ_{k−1}, independent with these variances over Λ."""
    each = precision / variances
    ties = each.copy()
    ties[:-1] += each[1:]
    eye = np.eye(len(precision))
    return BlockTridiagonal(ties[:, :, None] * eye, -each[1:, :, None] * eye)


def surprise(
    blocks: Sequence[Statistics],
    meat: BlockTridiagonal,
    precision: Float[np.ndarray, " K"],
    variances: Float[np.ndarray, "period K"],
) -> float:
    """−log N(b; 0, Σ), Σ = M + A R⁻¹ A, up to a constant: the evidence of the estimating function.

    Σ is the complement of R in the matrix with blocks R, A, A and −M, which is quasi-definite and,
    interval by interval, block tridiagonal.
    """
    own = np.einsum("tbb->tb", meat.diagonal)
    unit = 1.0 / np.sqrt(np.maximum(own, 1e-12 * own.max()))
    prior = walk_precision(precision, variances)
    gram = np.stack([block.gram for block in blocks]) * unit[:, None, :]
    b = unit * np.stack([block.moment for block in blocks])
    eye = _JITTER * np.eye(b.shape[1])
    floor = unit[:, :, None] * meat.diagonal * unit[:, None, :] + eye
    below = unit[1:, :, None] * meat.below * unit[:-1, None, :]
    both = BlockTridiagonal(
        np.block([[prior.diagonal, gram], [gram.swapaxes(1, 2), -floor]]),
        np.block([[prior.below, np.zeros_like(below)], [np.zeros_like(below), -below]]),
    )
    solved = both.solve(np.concatenate([np.zeros_like(b), b], axis=1)[..., None])
    square = -float(np.sum(b * solved[:, b.shape[1] :, 0]))
    determinant = both.log_determinant - float(np.sum(np.log(precision / variances)))
    return 0.5 * (determinant + square) - float(np.sum(np.log(unit)))


@dataclass(frozen=True, eq=False)
class Chain:
    """What is asked of q and of the prior's scales.

    Attributes:
        blocks: what each interval says.
        terms: coefficients that share a scale.
        base: precisions of the others.
    """

    blocks: tuple[Statistics, ...]
    terms: tuple[slice, ...]
    base: Float[np.ndarray, " K"]

    def most_probable(
        self,
        meat: BlockTridiagonal,
        variances: Callable[[float], Float[np.ndarray, "period K"]],
        grid: Float[np.ndarray, " q"],
    ) -> tuple[float, Float[np.ndarray, " K"]]:
        """The q and the Λ under which the estimating function surprises least.

        Args:
            meat: M at the current estimate.
            variances: of the walk at log q.
            grid: of log q, one value where it is known.
        """
        own = np.einsum("tbb->tb", meat.diagonal)
        rows = np.stack([block.gram for block in self.blocks]) ** 2
        rows = rows / np.maximum(own, 1e-12 * own.max())[:, :, None]
        typical = np.log([np.median(rows[:, :, term].sum(axis=2)) for term in self.terms])

        def negative(point: np.ndarray) -> float:
            value = surprise(
                self.blocks, meat, self.precision(point[1:]), variances(float(point[0]))
            )
            return value if np.isfinite(value) else 1e300

        shifts = _SHIFTS if self.terms else (0.0,)
        starts = [np.r_[log, typical + shift] for log in grid for shift in shifts]
        start = min(starts, key=negative)
        step = float(np.mean(np.diff(grid))) if len(grid) > 1 else 0.0
        bounds = [(start[0] - step, start[0] + step)]
        bounds += [(each + _LOWEST, each + _HIGHEST) for each in typical]
        bounds[0] = (max(bounds[0][0], grid[0]), min(bounds[0][1], grid[-1]))
        found = minimize(negative, start, method="L-BFGS-B", bounds=bounds)
        best = found.x if found.fun <= negative(start) else start
        return float(np.exp(best[0])), self.precision(best[1:])

    def precision(self, logs: Float[np.ndarray, " g"]) -> Float[np.ndarray, " K"]:
        """Λ with these logarithms for each term."""
        found = self.base.copy()
        for term, log in zip(self.terms, logs, strict=True):
            found[term] = np.exp(log)
        return found
