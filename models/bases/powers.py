"""Powers of each coordinate by itself: a polynomial that grows with the dimension, not a power."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayesjko.models.bases.basis import Basis

__all__ = ["Powers", "build"]


class Powers(Basis):
    """x_i^a for every coordinate i, the coordinates of one exponent together.

    Attributes:
        exponents: a.
        dimension: number of coordinates.
    """

    exponents: tuple[int, ...] = eqx.field(static=True)
    dimension: int = eqx.field(static=True)

    @property
    def size(self) -> int:
        return len(self.exponents) * self.dimension

    def value(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return jnp.concatenate([x**a for a in self.exponents])

    def gradient(self, x: Float[Array, " d"]) -> Float[Array, "d K"]:
        return jnp.concatenate([jnp.diag(a * x ** (a - 1)) for a in self.exponents], axis=1)

    def laplacian(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        # a(a − 1) is 0 where the exponent left would be negative
        return jnp.concatenate([a * (a - 1) * x ** max(a - 2, 0) for a in self.exponents])

    def hessian(
        self, x: Float[Array, " d"], coefficients: Float[Array, " K"]
    ) -> Float[Array, "d d"]:
        bends = (self.laplacian(x) * coefficients).reshape(len(self.exponents), -1)
        return jnp.diag(jnp.sum(bends, axis=0))


def build(degree: float, *, points: Float[np.ndarray, "n d"], even: bool, seed: int) -> Powers:
    """`powers:DEGREE`: up to this power of each feature by itself, for many dimensions."""
    if degree != int(degree) or degree < 1 + even:
        raise ValueError(f"the degree must be a whole number of at least {1 + even}")
    return Powers(tuple(range(1 + even, int(degree) + 1, 1 + even)), points.shape[1])
