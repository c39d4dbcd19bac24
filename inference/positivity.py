"""A normal posterior that knows that particles diffuse or do not: β is never negative.

By a quadrature in β^¼, in which the density is smooth under every prior of `models.beta`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import nnls

from bayesjko.inference.conditioning import Conditioned

__all__ = ["keep_positive", "most_likely"]

_SWEEPS = 30  # of Gibbs sampling, where several periods have a β each
_PLACES = 300  # of the quadrature, for draws
_MANY_PLACES = 2**14  # likewise, for moments
_DROP = 80.0  # twice the logarithm by which the density falls to where it ends


def keep_positive(
    mean: Float[np.ndarray, " S"],
    covariance: Float[np.ndarray, "S S"],
    draws: Float[np.ndarray, "*shape S"],
    where: Int[np.ndarray, " b"],
    seed: int,
    *,
    power: float = 0.0,
) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, "S S"], Float[np.ndarray, "*shape S"]]:
    """N(mean, covariance) times a power of some coefficients, which are positive.

    Each draw keeps what is independent of those coefficients and moves with them by regression.

    Args:
        mean: of the normal.
        covariance: of the normal.
        draws: from it.
        where: positions of the coefficients.
        seed: of their new draws.
        power: above −1: their prior is flat in themselves (0), in their roots (−½) or in their
            fourth roots (−¾).

    Returns:
        Mean and covariance under that prior (exact for one coefficient, the draws' own for more)
        and draws.
    """
    own = covariance[np.ix_(where, where)]
    if not np.all(np.diag(own) > 0.0):  # noise-free data leave nothing to condition
        return mean, covariance, draws
    slope = np.linalg.solve(own, covariance[where]).T
    rng = np.random.default_rng([seed, len(where)])
    found = _draw(mean[where], own, draws[..., where], power, rng)
    moved = draws + (found - draws[..., where]) @ slope.T
    if len(where) == 1:
        spread = float(np.sqrt(own[0, 0]))
        values, mass = _quadrature(mean[where] / spread, power, _MANY_PLACES)
        centre = float(mass[0] @ values[0])
        middle = np.array([spread * centre])
        width = np.array([[own[0, 0] * float(mass[0] @ (values[0] - centre) ** 2)]])
    else:
        flat = found.reshape(-1, len(where))
        middle, width = flat.mean(axis=0), np.cov(flat.T)
    mean = mean + slope @ (middle - mean[where])
    return mean, covariance + slope @ (width - own) @ slope.T, moved


def most_likely(found: Conditioned, where: int) -> Conditioned:
    """With its mean where the normal is highest among those whose β is not negative.

    Args:
        found: conditioned on any β.
        where: position of β among a period's coefficients.
    """
    if np.all(found.mean[:, where] >= 0.0):
        return found
    mean, covariance = found.mean.ravel(), found.joint_inverse()
    at = np.arange(where % found.mean.shape[1], mean.size, found.mean.shape[1])
    root = np.linalg.inv(np.linalg.cholesky(covariance[np.ix_(at, at)]))
    beta, _ = nnls(root, root @ mean[at])
    moved = covariance[:, at] @ (root.T @ (root @ (beta - mean[at])))
    return replace(found, mean=(mean + moved).reshape(found.mean.shape))


def _draw(
    mean: np.ndarray,
    covariance: np.ndarray,
    start: np.ndarray,
    power: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Each coordinate in turn given the others."""
    precision = np.linalg.inv(covariance)
    found = np.maximum(start, 1e-3 * np.sqrt(np.diag(covariance)))
    for _ in range(1 if len(mean) == 1 else _SWEEPS):
        for j in range(len(mean)):
            others = np.arange(len(mean)) != j
            centre = mean[j] - (found[..., others] - mean[others]) @ (
                precision[j, others] / precision[j, j]
            )
            spread = 1.0 / np.sqrt(precision[j, j])
            share = rng.uniform(size=centre.shape)
            found[..., j] = spread * _inverse(centre / spread, share, power)
    return found


def _quadrature(
    at: Float[np.ndarray, " n"], power: float, places: int
) -> tuple[Float[np.ndarray, "n q"], Float[np.ndarray, "n q"]]:
    """Values and masses of N(at, 1) times β^power above zero, evenly spaced in β^¼."""
    below = np.minimum(at, 0.0)
    top = (at + np.sqrt(below**2 + _DROP)) ** 0.25
    bottom = np.maximum(at - np.sqrt(_DROP), 0.0) ** 0.25
    share = (np.arange(places) + 0.5) / places
    values = (bottom[:, None] + (top - bottom)[:, None] * share) ** 4
    log = -0.5 * (values - at[:, None]) ** 2
    mass = values ** (power + 0.75) * np.exp(log - log.max(axis=1, keepdims=True))
    return values, mass / mass.sum(axis=1, keepdims=True)


def _inverse(
    at: Float[np.ndarray, "*shape"], share: Float[np.ndarray, "*shape"], power: float
) -> Float[np.ndarray, "*shape"]:
    """Where the distribution function of that density is so much."""
    values, mass = _quadrature(at.ravel(), power, _PLACES)
    total = np.cumsum(mass, axis=1)
    row, cell = np.arange(len(total)), np.sum(total < share.ravel()[:, None], axis=1)
    cell = np.minimum(cell, _PLACES - 1)
    left = (share.ravel() - total[row, cell]) / mass[row, cell] + 0.5  # from the cell's middle
    roots = values**0.25
    found = roots[row, cell] + (roots[:, 1] - roots[:, 0]) * left
    return np.asarray(np.maximum(found, 0.0) ** 4).reshape(at.shape)
