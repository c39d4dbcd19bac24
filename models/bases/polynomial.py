"""Monomials."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator
from functools import reduce

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
        return self._mix(reduce(operator.mul, self._powers(x, 0)))

    def gradient(self, x: Float[Array, " d"]) -> Float[Array, "d K"]:
        parts = zip(self._powers(x, 1), _products_of_others(self._powers(x, 0)), strict=True)
        return self._mix(jnp.stack([own * others for own, others in parts]))

    def laplacian(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        parts = zip(self._powers(x, 2), _products_of_others(self._powers(x, 0)), strict=True)
        return self._mix(reduce(operator.add, (own * others for own, others in parts)))

    def hessian(
        self, x: Float[Array, " d"], coefficients: Float[Array, " K"]
    ) -> Float[Array, "d d"]:
        d = len(self.exponents[0])
        upper = {(i, j): list(self._bent(i, j)) for i in range(d) for j in range(i, d)}
        theta = coefficients
        if self.mixing is not None:
            theta = coefficients @ jnp.asarray(self.mixing)
        powers = self._up_to_highest(x)

        def bend(i: int, j: int) -> Float[Array, ""]:
            """Sums and products of single numbers, which XLA works on for many points at a time."""
            total = jnp.zeros((), x.dtype)
            for which, factor, left in upper[i, j]:
                term = factor * theta[which]
                for k, exponent in enumerate(left):
                    term = term * powers[exponent][k] if exponent else term
                total = total + term
            return total

        place = np.zeros((d, d), dtype=int)
        place[np.triu_indices(d)] = np.arange(len(upper))
        place = np.maximum(place, place.T)
        if sum(map(len, upper.values())) <= _UNROLLED:
            bends = [bend(*pair) for pair in upper]
            return jnp.stack([jnp.stack([bends[k] for k in row]) for row in place])
        # more would take minutes to compile
        owner = [k for k, terms in enumerate(upper.values()) for _ in terms]
        which, factor, left = map(np.array, zip(*itertools.chain(*upper.values()), strict=True))
        terms = jnp.prod(jnp.stack(powers)[left, np.arange(d)], axis=1) * factor * theta[which]
        return jnp.zeros(len(upper), x.dtype).at[np.array(owner)].add(terms)[place]

    def _bent(self, i: int, j: int) -> Iterator[tuple[int, int, list[int]]]:
        """Of ∂²x^α/∂x_i∂x_j, where it is not zero: which α, the factor, and the powers left."""
        for which, alpha in enumerate(self.exponents):
            left, factor = list(alpha), 1
            for each in (i, j):
                factor *= left[each]
                left[each] -= 1
            if factor:
                yield which, factor, left

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

    def _powers(self, x: Float[Array, " d"], order: int) -> list[Float[Array, " J"]]:
        """The `order`-th derivatives of x_i^{α_ji} in x_i, for each i, without 0/0 at the origin.

        Chosen number by number, which is quicker than to look them up in a table.
        """
        powers, each = self._up_to_highest(x), []
        for i, exponents in enumerate(np.array(self.exponents).T):
            factor = np.prod([exponents - k for k in range(order)], axis=0)
            lowered = np.maximum(exponents - order, 0)
            power = jnp.broadcast_to(powers[0][i], lowered.shape)
            for p in range(1, int(lowered.max()) + 1):
                power = jnp.where(lowered == p, powers[p][i], power)
            each.append(power if order == 0 else factor * power)
        return each

    def _up_to_highest(self, x: Float[Array, " d"]) -> list[Float[Array, " d"]]:
        """Powers of x from none to the highest there is."""
        powers = [jnp.ones_like(x)]
        for _ in range(max(map(max, self.exponents))):
            powers.append(powers[-1] * x)
        return powers

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


def _products_of_others(factors: list[Float[Array, " J"]]) -> list[Float[Array, " J"]]:
    """For each of them the product of all others."""
    before = itertools.accumulate(factors[:-1], operator.mul, initial=jnp.ones_like(factors[0]))
    after = itertools.accumulate(factors[:0:-1], operator.mul, initial=jnp.ones_like(factors[0]))
    return [left * right for left, right in zip(before, reversed(list(after)), strict=True)]
