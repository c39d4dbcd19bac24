"""Features that change with time: those of position and time, as they are at one time."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayesjko.models.bases.basis import Basis

__all__ = ["Timed", "clock"]

# Networks find slow variation first: in a wide span of time they follow what is chance of single
# intervals, in a much narrower one no change (measured on four pairs of potentials that fade)
_REACH = 0.3


class Timed(Basis):
    """φ(x, t) at one time: a basis of positions made of one that time is another coordinate of.

    Attributes:
        basis: of a position followed by what `clock` says.
        time: t, in standard units.
        span: first and last time that the features change at.
    """

    basis: Basis
    time: Float[Array | np.ndarray, ""]
    span: Float[Array | np.ndarray, "2"]

    @property
    def size(self) -> int:
        return self.basis.size

    def value(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return self.basis.value(self._place(x))

    def gradient(self, x: Float[Array, " d"]) -> Float[Array, "d K"]:
        return self.basis.gradient(self._place(x))[:-1]

    def hessian(
        self, x: Float[Array, " d"], coefficients: Float[Array, " K"]
    ) -> Float[Array, "d d"]:
        return self.basis.hessian(self._place(x), coefficients)[:-1, :-1]

    def at(self, time: float | Float[Array, ""]) -> Timed:
        # an array, so that what is compiled is compiled for all times
        return Timed(self.basis, np.asarray(time, dtype=np.float64), self.span)

    def _place(self, x: Float[Array, " d"]) -> Float[Array, " e"]:
        return jnp.append(x, clock(jnp.asarray(self.time), jnp.asarray(self.span)).astype(x.dtype))


def clock(
    time: Float[Array | np.ndarray, "*n"], span: Float[Array | np.ndarray, "2"]
) -> Float[Array, "*n"]:
    """Time as a coordinate beside positions of unit spread, from −`_REACH` to `_REACH`.

    What no snapshot says of times beyond the span is not made up: they are taken for its ends.
    """
    begin, end = span
    return _REACH * jnp.clip(2.0 * (time - begin) / (end - begin) - 1.0, -1.0, 1.0)
