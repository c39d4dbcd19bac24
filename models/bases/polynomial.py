"""Monomials."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayesjko.models.bases.basis import Basis, average

__all__ = ["Polynomial", "build"]

_MOST = 20_000  # features beyond which a total degree is surely a slip
_UNROLLED = 600  # terms of a Hessian that are compiled one by one


class Polynomial(Basis):
    """φ_j(x) = Π_i x_i^{α_ji}.

    Attributes:
        exponents: α, one row a feature.
        mixing: features as combinations of the monomials (rows); the monomials if none.
    """

    exponents: tuple[tuple[int, ...], ...] = eqx.field(
        static=True, converter=lambda rows: tuple(tuple(int(a) for a in row) for row in rows)
    )
    mixing: Float[Array | np.ndarray, "K J"] | None = None

    @classmethod
    def of_degree(cls, degree: int, dimension: int, *, even: bool = False) -> Polynomial:
        """All monomials of total degree 1 to `degree`; `even` keeps the even degrees alone."""
        factors = [
            chosen
            for total in range(1 + even, degree + 1, 1 + even)
            for chosen in itertools.combinations_with_replacement(range(dimension), total)
        ]
        return cls(tuple(tuple(map(chosen.count, range(dimension))) for chosen in factors))

    @property
    def size(self) -> int:
        return int(len(self.exponents) if self.mixing is None else self.mixing.shape[0])

    def value(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return self._mix(jnp.prod(self._powers(x, 0), axis=0))

    def gradient(self, x: Float[Array, " d"]) -> Float[Array, "d K"]:
        plain, first = self._powers(x, 0), self._powers(x, 1)
        d = len(self.exponents[0])
        return self._mix(jnp.stack([first[i] * _product_but(plain, i) for i in range(d)]))

    def laplacian(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        plain, second = self._powers(x, 0), self._powers(x, 2)
        d = len(self.exponents[0])
        terms = [second[i] * _product_but(plain, i) for i in range(d)]
        return self._mix(jnp.sum(jnp.stack(terms), axis=0))

    def hessian(
        self, x: Float[Array, " d"], coefficients: Float[Array, " K"]
    ) -> Float[Array, "d d"]:
        d = len(self.exponents[0])
        if len(self.exponents) * d**2 > _UNROLLED:
            return super().hessian(x, coefficients)
        theta = coefficients
        if self.mixing is not None:
            theta = coefficients @ jnp.asarray(self.mixing)
        powers = [jnp.ones_like(x)]
        for _ in range(max(map(max, self.exponents))):
            powers.append(powers[-1] * x)

        def bend(i: int, j: int) -> Float[Array, ""]:
            """Sums and products of single numbers, which XLA works on for many points at a time."""
            total = jnp.zeros((), x.dtype)
            for alpha, coefficient in zip(self.exponents, theta, strict=True):
                left, factor = list(alpha), 1
                for each in (i, j):
                    factor *= left[each]
                    left[each] -= 1
                if factor:
                    term = factor * coefficient
                    for k, exponent in enumerate(left):
                        term = term * powers[exponent][k] if exponent else term
                    total = total + term
            return total

        upper = {(i, j): bend(i, j) for i in range(d) for j in range(i, d)}
        return jnp.stack(
            [jnp.stack([upper[min(i, j), max(i, j)] for j in range(d)]) for i in range(d)]
        )

    def convolve(self, cloud: Float[Array, "n d"], weight: Float[Array, " n"]) -> Polynomial:
        """Exact, from the cloud's moments: (x − x′)^α = Σ_{γ≤α} binom(α, γ) x^γ (−x′)^{α−γ}."""
        lower = sorted({gamma for alpha in self.exponents for gamma in _divisors(alpha)})
        position = {gamma: g for g, gamma in enumerate(lower)}
        monomials = Polynomial(tuple(lower))
        moments = average(monomials.value, -cloud, weight)
        rows, columns, counts, sources = [], [], [], []
        for j, alpha in enumerate(self.exponents):
            for gamma in _divisors(alpha):
                rows.append(j)
                columns.append(position[gamma])
                counts.append(float(math.prod(map(math.comb, alpha, gamma))))
                sources.append(position[tuple(a - g for a, g in zip(alpha, gamma, strict=True))])
        matrix = jnp.zeros((len(self.exponents), len(lower)), moments.dtype)
        matrix = matrix.at[np.array(rows), np.array(columns)].set(
            np.array(counts) * moments[np.array(sources)]
        )
        mixing = matrix if self.mixing is None else jnp.asarray(self.mixing) @ matrix
        return Polynomial(tuple(lower), mixing)

    def _powers(self, x: Float[Array, " d"], order: int) -> Float[Array, "d J"]:
        """The `order`-th derivative of x_i^{α_ji} in x_i, without 0/0 at the origin."""
        exponents = np.array(self.exponents).T
        powers = [jnp.ones_like(x)]
        for _ in range(int(exponents.max())):
            powers.append(powers[-1] * x)
        table = jnp.stack(powers)  # table[p, i] = x_i^p
        factor = np.prod([exponents - k for k in range(order)], axis=0) * np.ones(exponents.shape)
        lowered = np.maximum(exponents - order, 0)
        return factor * table[lowered, np.arange(exponents.shape[0])[:, None]]

    def _mix(self, monomials: Array) -> Array:
        return monomials if self.mixing is None else monomials @ jnp.asarray(self.mixing).T


def build(degree: float, *, points: Float[np.ndarray, "n d"], even: bool, seed: int) -> Polynomial:
    """`poly:DEGREE`: all monomials up to a total degree."""
    dimension = points.shape[1]
    if degree != int(degree) or degree < 1 + even:
        raise ValueError(f"the degree must be a whole number of at least {1 + even}")
    if math.comb(int(degree) + dimension, dimension) > _MOST:
        raise ValueError(f"degree {degree:g} in dimension {dimension} has over {_MOST} monomials")
    return Polynomial.of_degree(int(degree), dimension, even=even)


def _divisors(alpha: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every γ ≤ α."""
    return itertools.product(*(range(a + 1) for a in alpha))


def _product_but(factors: Float[Array, "d J"], i: int) -> Float[Array, " J"]:
    return jnp.prod(jnp.delete(factors, i, axis=0), axis=0)
