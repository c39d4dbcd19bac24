"""Gaussian bumps."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayesjko.models.bases.basis import Basis, Even, Stacked, quadratic
from bayesjko.models.bases.polynomial import Polynomial

__all__ = ["RBF", "build", "sampled"]

_SAMPLE = 20_000  # points that k-means sees at most


def _as_array(width: Any) -> Any:
    return np.asarray(width, dtype=np.float64) if isinstance(width, int | float) else width


class RBF(Basis):
    """φ_j(x) = exp(−‖x − c_j‖²/(2ℓ²)).

    Attributes:
        centres: c, one row a feature.
        width: ℓ.
    """

    centres: Float[Array | np.ndarray, "K d"]
    # an array, not a number: a number would be compiled in, and every new data set compile anew
    width: Float[Array | np.ndarray, ""] = eqx.field(converter=_as_array)

    @classmethod
    def placed(
        cls,
        points: Float[np.ndarray, "n d"],
        count: int,
        seed: int,
        width: float | None = None,
    ) -> RBF:
        """Bumps at k-means centres of the points.

        The width is by default 1.5 times the median distance from a centre to its nearest
        neighbours, as many as there are dimensions.

        There are fewer bumps than `count` where there are fewer than twice as many distinct points.
        """
        return cls.at_centres(points[sampled(len(points), seed)], count, seed, width)

    @classmethod
    def at_centres(
        cls,
        sample: Float[np.ndarray, "n d"],
        count: int,
        seed: int,
        width: float | None = None,
    ) -> RBF:
        """Bumps placed on points that have been sampled already."""
        from sklearn.cluster import KMeans  # a second to import

        distinct = len(np.unique(sample, axis=0))
        count = max(1, min(count, distinct // 2))
        found = KMeans(count, n_init=1, random_state=seed).fit(sample).cluster_centers_
        chosen = _spacing(found, sample) if width is None else width
        return cls(found, _as_array(chosen))

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

    def hessian(
        self, x: Float[Array, " d"], coefficients: Float[Array, " K"]
    ) -> Float[Array, "d d"]:
        pulled, centres = self.value(x) * coefficients, jnp.asarray(self.centres)
        total, mixed = jnp.sum(pulled), jnp.outer(pulled @ centres, x)
        square = quadratic(pulled, centres) - mixed - mixed.T + total * jnp.outer(x, x)
        return (square / self.width**2 - total * jnp.eye(len(x), dtype=x.dtype)) / self.width**2

    def _offsets(self, x: Float[Array, " d"]) -> Float[Array, "d K"]:
        return (x[:, None] - jnp.asarray(self.centres).T) / self.width


def sampled(count: int, seed: int) -> np.ndarray:
    """Which of so many points k-means sees, in random order."""
    return np.random.default_rng(seed).permutation(count)[:_SAMPLE]


def build(
    centres: float,
    width: float | None = None,
    *,
    points: Float[np.ndarray, "n d"],
    even: bool,
    seed: int,
) -> Basis:
    """`rbf:CENTRES[:WIDTH]`: bumps at k-means centres, with linear and square terms beside them.

    An interaction has no polynomial part: its quadratic would be exchangeable with the potential's.
    """
    if centres != int(centres) or centres < 1:
        raise ValueError("the number of centres must be a whole number of at least 1")
    if width is not None and not 0 < width < np.inf:
        raise ValueError("the width must be positive")
    bumps = RBF.placed(points, int(centres), seed, width)
    if even:
        return Even(bumps)
    return Stacked((Polynomial.of_degree(2, points.shape[1]), bumps))


def _spacing(centres: np.ndarray, sample: np.ndarray) -> float:
    if len(centres) == 1:
        return float(np.sqrt(np.mean(np.var(sample, axis=0))))
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    near = np.sort(distance, axis=1)[:, 1 : 1 + centres.shape[1]]
    return 1.5 * float(np.median(near))
