"""A normal posterior that knows that particles diffuse or do not: β is never negative."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_ndtr, ndtri_exp

__all__ = ["keep_positive"]

_SWEEPS = 30  # of Gibbs sampling, where several periods have a β each


def keep_positive(
    mean: Float[np.ndarray, " S"],
    covariance: Float[np.ndarray, "S S"],
    draws: Float[np.ndarray, "*shape S"],
    where: Int[np.ndarray, " b"],
    seed: int,
) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, "S S"], Float[np.ndarray, "*shape S"]]:
    """N(mean, covariance) given that some coefficients are positive.

    Each draw keeps what is independent of those coefficients and moves with them by regression.

    Args:
        mean: of the normal.
        covariance: of the normal.
        draws: from it.
        where: positions of the coefficients.
        seed: of their new draws.

    Returns:
        Mean and covariance given the sign (exact for one coefficient, the draws' own for more) and
        draws.
    """
    own = covariance[np.ix_(where, where)]
    if not np.all(np.diag(own) > 0.0):  # noise-free data leave nothing to condition
        return mean, covariance, draws
    slope = np.linalg.solve(own, covariance[where]).T
    rng = np.random.default_rng([seed, len(where)])
    found = _draw(mean[where], own, draws[..., where], rng)
    moved = draws + (found - draws[..., where]) @ slope.T
    if len(where) == 1:
        centre, spread = _moments(float(mean[where[0]]), float(np.sqrt(own[0, 0])))
        middle, width = np.array([centre]), np.array([[spread**2]])
    else:
        flat = found.reshape(-1, len(where))
        middle, width = flat.mean(axis=0), np.cov(flat.T)
    mean = mean + slope @ (middle - mean[where])
    return mean, covariance + slope @ (width - own) @ slope.T, moved


def _draw(
    mean: np.ndarray, covariance: np.ndarray, start: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Each coordinate in turn from its normal given the others, above zero."""
    precision = np.linalg.inv(covariance)
    found = np.maximum(start, 1e-3 * np.sqrt(np.diag(covariance)))
    for _ in range(1 if len(mean) == 1 else _SWEEPS):
        for j in range(len(mean)):
            others = np.arange(len(mean)) != j
            centre = mean[j] - (found[..., others] - mean[others]) @ (
                precision[j, others] / precision[j, j]
            )
            spread = 1.0 / np.sqrt(precision[j, j])
            # the normal's upper tail by its logarithm, which does not end far from the mean
            log_tail = log_ndtr(centre / spread) + np.log(rng.uniform(size=centre.shape))
            found[..., j] = centre - spread * ndtri_exp(log_tail)
    return np.maximum(found, 0.0)


def _moments(mean: float, sd: float) -> tuple[float, float]:
    """Mean and standard deviation of a normal above zero."""
    at = mean / sd
    ratio = float(np.exp(-0.5 * at**2 - 0.5 * np.log(2.0 * np.pi) - log_ndtr(at)))
    variance = max(1.0 - ratio * (ratio + at), np.finfo(float).tiny)
    return mean + sd * ratio, sd * float(np.sqrt(variance))
