"""Distances between weighted clouds, exact and in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from bayesjko.inference.transport import optimal_plan

__all__ = [
    "bures_wasserstein",
    "energy_score",
    "median_distance",
    "mmd",
    "wasserstein",
]

_CHUNK_BYTES = 64_000_000
_MEDIAN_SAMPLE = 1000


def wasserstein(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    wx: Float[np.ndarray, " n"] | None = None,
    wy: Float[np.ndarray, " m"] | None = None,
    *,
    order: Literal[1, 2] = 1,
    batch: int = 5000,
    seed: int = 0,
) -> float:
    """W₁ or W₂ for the Euclidean distance, in the clouds' units.

    Exact while the geometric mean of the two sizes is at most `batch` (memory about 40 batch²
    bytes). Larger clouds are cut at random into blocks of equal mass, matched one by one: the
    result is then an upper bound, and one drawn with `seed`.

    Args:
        x: one cloud.
        y: the other.
        wx: a weight for each particle of x, of any sum; equal if not given.
        wy: likewise for y.
        order: 1 for W₁ (the earth mover's distance), 2 for W₂.
        batch: the largest size solved exactly.
        seed: for the random blocks.

    Examples:
        >>> here = np.array([[0.0, 0.0], [1.0, 0.0]])
        >>> round(wasserstein(here, here + np.array([3.0, 4.0])), 12)
        5.0
    """
    x, a = _cloud(x, wx)
    y, b = _cloud(y, wy)
    plan = optimal_plan(x, y, a, b, order=order, batch=batch, seed=seed)
    lengths = np.linalg.norm(x[plan.source] - y[plan.target], axis=1)
    # In units of the longest, so that squares of very small or large lengths stay finite.
    longest = float(lengths.max()) or 1.0
    return longest * float(plan.mass @ (lengths / longest) ** order) ** (1 / order)


def energy_score(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    wx: Float[np.ndarray, " n"] | None = None,
    wy: Float[np.ndarray, " m"] | None = None,
) -> float:
    """Mean over the observations y of the energy score of the forecast cloud x.

    E‖X − Y‖ − ½E‖X − X′‖ (Gneiting & Raftery, JASA 102, 2007), in the clouds' units; smallest
    in expectation for the forecast that the observations are drawn from. O(nm + n²) time in
    bounded memory.
    """
    x, a = _cloud(x, wx)
    y, b = _cloud(y, wy)
    return _mean_distance(x, y, a, b) - 0.5 * _mean_distance(x, x, a, a)


def mmd(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    wx: Float[np.ndarray, " n"] | None = None,
    wy: Float[np.ndarray, " m"] | None = None,
    *,
    bandwidth: float | Sequence[float] | None = None,
    seed: int = 0,
) -> float:
    """Maximum mean discrepancy ‖E k(X, ·) − E k(Y, ·)‖, unitless, between 0 and √2.

    k is the mean of the Gaussian kernels exp(−‖x − y‖²/2h²) over the bandwidths h: those given,
    or ½, 1 and 2 times `median_distance`. The biased (never negative) estimate of Gretton et
    al., JMLR 13, 2012. To compare several clouds give all the same bandwidths. O((n + m)²) time
    in bounded memory.
    """
    x, a = _cloud(x, wx)
    y, b = _cloud(y, wy)
    if bandwidth is None:
        widths = median_distance(x, y, seed=seed) * np.array([0.5, 1.0, 2.0])
    else:
        widths = np.atleast_1d(np.asarray(bandwidth, dtype=np.float64))
    if not np.all(widths > 0):
        raise ValueError(f"Bandwidths must be positive; got {widths.tolist()}.")
    square = (
        _mean_kernel(x, x, a, a, widths)
        + _mean_kernel(y, y, b, b, widths)
        - 2 * _mean_kernel(x, y, a, b, widths)
    )
    return math.sqrt(max(square, 0.0))


def median_distance(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], *, seed: int = 0
) -> float:
    """Median distance between distinct particles of the two clouds together.

    Over at most 1,000 particles drawn from each with `seed`; one where all coincide.
    """
    rng = np.random.default_rng(seed)
    pooled = np.concatenate(
        [cloud[rng.permutation(len(cloud))[:_MEDIAN_SAMPLE]] for cloud in (x, y)]
    )
    distances = cdist(pooled, pooled)
    distances = distances[distances > 0]
    return float(np.median(distances)) if len(distances) else 1.0


def bures_wasserstein(
    x: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, "m d"],
    wx: Float[np.ndarray, " n"] | None = None,
    wy: Float[np.ndarray, " m"] | None = None,
) -> float:
    """W₂ between the normals with the clouds' means and (biased) covariances, in their units.

    A lower bound for W₂ between the clouds (Gelbrich, Math. Nachr. 147, 1990).
    """
    x, a = _cloud(x, wx)
    y, b = _cloud(y, wy)
    mean_x, mean_y = a @ x, b @ y
    root_x, root_y = _root(x - mean_x, a), _root(y - mean_y, b)
    # tr (Sₓ^½ S_y Sₓ^½)^½ is the sum of the singular values of R_xR_yᵀ for any roots RᵀR = S.
    overlap = np.linalg.svd(root_x @ root_y.T, compute_uv=False).sum()
    spread = np.sum(root_x**2) + np.sum(root_y**2) - 2 * overlap
    return math.sqrt(float(np.sum((mean_x - mean_y) ** 2) + max(spread, 0.0)))


def _root(centred: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """R with RᵀR the covariance, without forming it: rank deficiency does no harm."""
    return np.linalg.qr(np.sqrt(weight)[:, None] * centred).R


def _cloud(x: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    x = np.asarray(x, dtype=np.float64)
    bad = np.count_nonzero(~np.isfinite(x).all(axis=1))
    if bad:
        raise ValueError(
            f"{bad} of {len(x)} particles are NaN or infinite, so the cloud has no distance to "
            "another; drop them, or shorten the steps of the simulation they come from."
        )
    w = np.ones(len(x)) if weight is None else np.asarray(weight, dtype=np.float64)
    if w.shape != (len(x),) or np.any(w < 0) or not 0 < w.sum() < np.inf:
        raise ValueError(
            f"Weights of shape {w.shape} for {len(x)} particles; give one a particle, none "
            "negative and not all zero."
        )
    return x, w / w.sum()


def _chunks(n: int, m: int) -> list[slice]:
    """Rows of an n × m array, as many at once as keep a chunk within bounded memory."""
    size = max(1, _CHUNK_BYTES // (8 * m))
    return [slice(start, start + size) for start in range(0, n, size)]


def _mean_distance(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    return float(sum(a[rows] @ cdist(x[rows], y) @ b for rows in _chunks(len(x), len(y))))


def _mean_kernel(
    x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, widths: np.ndarray
) -> float:
    total = 0.0
    for rows in _chunks(len(x), 3 * len(y)):
        square = cdist(x[rows], y, "sqeuclidean")
        for h in widths:
            total += a[rows] @ np.exp(square / (-2 * h * h)) @ b
    return float(total / len(widths))
