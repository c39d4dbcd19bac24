"""Random Fourier features."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayesjko.models.bases.basis import Basis, Stacked, average, quadratic
from bayesjko.models.bases.polynomial import Polynomial

__all__ = ["Fourier", "build", "sine"]

_PI, _PI_REST = 3.1415927410125732, -8.742278000372485e-08  # the first has 24 bits
_SERIES = [(-1) ** k / math.factorial(2 * k + 1) for k in range(11)]  # the twelfth is below 10⁻¹⁷


class Fourier(Basis):
    """φ_j(x) = a_j cos(ω_j·x + b_j) (Rahimi and Recht, NeurIPS 2007).

    Averages over a cloud factorise, cos(ω·(x − x′)) = cos ω·x cos ω·x′ + sin ω·x sin ω·x′, so an
    interaction costs O(n K) exactly and its convolution is again of this form.

    Attributes:
        frequencies: ω, one row a feature.
        phases: b.
        amplitudes: a.
    """

    frequencies: Float[Array | np.ndarray, "K d"]
    phases: Float[Array | np.ndarray, " K"]
    amplitudes: Float[Array | np.ndarray, " K"]

    @property
    def size(self) -> int:
        return int(self.frequencies.shape[0])

    def value(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return jnp.asarray(self.amplitudes) * sine(self._angle(x) + math.pi / 2)

    def gradient(self, x: Float[Array, " d"]) -> Float[Array, "d K"]:
        slope = -jnp.asarray(self.amplitudes) * sine(self._angle(x))
        return slope * jnp.asarray(self.frequencies).T

    def laplacian(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return -jnp.sum(jnp.asarray(self.frequencies) ** 2, axis=1) * self.value(x)

    def hessian(
        self, x: Float[Array, " d"], coefficients: Float[Array, " K"]
    ) -> Float[Array, "d d"]:
        return -quadratic(self.value(x) * coefficients, jnp.asarray(self.frequencies))

    def convolve(self, cloud: Float[Array, "n d"], weight: Float[Array, " n"]) -> Fourier:
        size = self.phases.shape
        cosines = Fourier(self.frequencies, np.zeros(size), np.ones(size))
        sines = Fourier(self.frequencies, np.full(size, -np.pi / 2), np.ones(size))
        cosine, sine = (average(each.value, cloud, weight) for each in (cosines, sines))
        # cos(u − v) averaged over v is R cos(u − δ), with R e^{iδ} the average of e^{iv}
        return Fourier(
            self.frequencies,
            self.phases - jnp.arctan2(sine, cosine),
            self.amplitudes * jnp.hypot(cosine, sine),
        )

    def _angle(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return jnp.asarray(self.frequencies) @ x + jnp.asarray(self.phases)


def sine(angle: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """The sine to 4·10⁻¹⁶ (and as its argument is rounded), of sums and products alone.

    On a CPU, XLA calls a function for every single sine, and vectorises this: whole multiples of π
    taken off in two parts (Cody and Waite, 1980), then the power series.
    """
    turns = jnp.round(angle / math.pi)
    near = (angle - turns * _PI) - turns * _PI_REST
    square, total = near * near, 0.0
    for coefficient in reversed(_SERIES):
        total = total * square + coefficient
    odd = turns - 2.0 * jnp.floor(0.5 * turns)
    return (1.0 - 2.0 * odd) * near * total


def build(
    features: float,
    width: float = 1.0,
    *,
    points: Float[np.ndarray, "n d"],
    even: bool,
    seed: int,
) -> Basis:
    """`fourier:FEATURES[:WIDTH]`: frequencies ω ~ N(0, WIDTH⁻²), width in standard units.

    A potential gets each frequency with cosine and sine, and linear and square terms beside them
    (waves cannot confine); an interaction gets cosines alone, which are even.
    """
    if features != int(features) or features < 2:
        raise ValueError("the number of features must be a whole number of at least 2")
    if not 0 < width < np.inf:
        raise ValueError("the width must be positive")
    count, d = int(features), points.shape[1]
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=(count if even else (count + 1) // 2, d)) / width
    if even:
        return Fourier(drawn, np.zeros(count), np.ones(count))
    waves = Fourier(
        np.repeat(drawn, 2, axis=0)[:count],
        np.tile([0.0, -np.pi / 2], len(drawn))[:count],
        np.ones(count),
    )
    return Stacked((Polynomial.of_degree(2, d), waves))
