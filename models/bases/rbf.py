"""Gaussian bumps."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from sklearn.cluster import KMeans

from bayesjko.models.bases.basis import Basis, Even, Stacked
from bayesjko.models.bases.polynomial import Polynomial

__all__ = ["RBF", "build"]

_SAMPLE = 20_000  # points that k-means sees at most


class RBF(Basis):
    """φ_j(x) = exp(−‖x − c_j‖²/(2ℓ²)).

    Attributes:
        centres: c, one row a feature.
        width: ℓ.
    """

    centres: Float[Array | np.ndarray, "K d"]
    width: float

    @property
    def size(self) -> int:
        return int(self.centres.shape[0])

    def value(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return jnp.exp(-0.5 * jnp.sum(self._offsets(x) ** 2, axis=0))

    def gradient(self, x: Float[Array, " d"]) -> Float[Array, "d K"]:
        return -self.value(x) * self._offsets(x) / self.width

    def laplacian(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        square = jnp.sum(self._offsets(x) ** 2, axis=0)
        return jnp.exp(-0.5 * square) * (square - x.shape[0]) / self.width**2

    def _offsets(self, x: Float[Array, " d"]) -> Float[Array, "d K"]:
        return (x[:, None] - jnp.asarray(self.centres).T) / self.width


def build(
    centres: float,
    width: float | None = None,
    *,
    points: Float[np.ndarray, "n d"],
    even: bool,
    seed: int,
) -> Basis:
    """`rbf:CENTRES[:WIDTH]`: bumps at k-means centres, with linear and square terms beside them.

    The width, in standard units, is by default `1.5` times the median distance from a centre to
    its nearest neighbours, as many as there are dimensions. An interaction has no polynomial part:
    its quadratic would be exchangeable with the potential's.
    """
    if centres != int(centres) or centres < 1:
        raise ValueError("the number of centres must be a whole number of at least 1")
    rng = np.random.default_rng(seed)
    sample = points[rng.permutation(len(points))[:_SAMPLE]]
    if centres > len(np.unique(sample, axis=0)):
        raise ValueError(f"there are only {len(sample)} particles to place centres on")
    found = KMeans(int(centres), n_init=1, random_state=seed).fit(sample).cluster_centers_
    bumps = RBF(found, float(width) if width else _spacing(found, sample))
    if even:
        return Even(bumps)
    return Stacked((Polynomial.of_degree(2, points.shape[1]), bumps))


def _spacing(centres: np.ndarray, sample: np.ndarray) -> float:
    if len(centres) == 1:
        return float(np.sqrt(np.mean(np.var(sample, axis=0))))
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    near = np.sort(distance, axis=1)[:, 1 : 1 + centres.shape[1]]
    return 1.5 * float(np.median(near))
