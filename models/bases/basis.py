"""What a basis is: scalar features of a point, and how bases combine."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

__all__ = ["Basis", "CloudAverage", "Even", "Scaled", "Stacked", "average", "quadratic"]

_BLOCK = 4096  # particles averaged over at a time: what bounds memory


class Basis(eqx.Module):
    """K scalar features φ of one point; batches come from `jax.vmap` outside.

    A subclass gives `size` and `value`. Gradient, Laplacian and average over a cloud are derived
    by differentiation and summation, and overridden where a formula is faster.
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of features K."""

    @abstractmethod
    def value(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        """φ(x)."""

    def gradient(self, x: Float[Array, " d"]) -> Float[Array, "d K"]:
        """∇φ(x), one column a feature: the layout in which the work over features is contiguous."""
        return jax.jacfwd(self.value)(x).T

    def laplacian(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        """Δφ(x)."""
        return jnp.trace(jax.jacfwd(self.gradient)(x), axis1=0, axis2=2)

    def hessian(
        self, x: Float[Array, " d"], coefficients: Float[Array, " K"]
    ) -> Float[Array, "d d"]:
        """∇∇(φ·θ)(x), of all features together: what a small move does to the force."""
        return jax.jacfwd(lambda place: self.gradient(place) @ coefficients)(x)

    def convolve(self, cloud: Float[Array, "n d"], weight: Float[Array, " n"]) -> Basis:
        """(φ∗ρ)(x) = Σ_p w_p φ(x − x_p) for a weighted cloud ρ, again a basis."""
        return CloudAverage(self, cloud, weight)

    def at(self, time: float | Float[Array, ""]) -> Basis:
        """The features as they are at a time; this basis itself where they do not change."""
        return self


class Stacked(Basis):
    """The features of several bases, one after the other."""

    parts: tuple[Basis, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    def value(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return jnp.concatenate([part.value(x) for part in self.parts])

    def gradient(self, x: Float[Array, " d"]) -> Float[Array, "d K"]:
        return jnp.concatenate([part.gradient(x) for part in self.parts], axis=1)

    def laplacian(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return jnp.concatenate([part.laplacian(x) for part in self.parts])

    def hessian(
        self, x: Float[Array, " d"], coefficients: Float[Array, " K"]
    ) -> Float[Array, "d d"]:
        total, start = jnp.zeros((len(x), len(x)), x.dtype), 0
        for part in self.parts:
            total = total + part.hessian(x, coefficients[start : start + part.size])
            start += part.size
        return total

    def convolve(self, cloud: Float[Array, "n d"], weight: Float[Array, " n"]) -> Basis:
        return Stacked(tuple(part.convolve(cloud, weight) for part in self.parts))

    def at(self, time: float | Float[Array, ""]) -> Basis:
        parts = tuple(part.at(time) for part in self.parts)
        same = all(part is own for part, own in zip(parts, self.parts, strict=True))
        return self if same else Stacked(parts)


class Scaled(Basis):
    """Features multiplied by constants, as by 1/(rms gradient) so that one prior fits all."""

    basis: Basis
    scale: Float[Array | np.ndarray, " K"]

    @property
    def size(self) -> int:
        return self.basis.size

    def value(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return jnp.asarray(self.scale) * self.basis.value(x)

    def gradient(self, x: Float[Array, " d"]) -> Float[Array, "d K"]:
        return jnp.asarray(self.scale) * self.basis.gradient(x)

    def laplacian(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return jnp.asarray(self.scale) * self.basis.laplacian(x)

    def hessian(
        self, x: Float[Array, " d"], coefficients: Float[Array, " K"]
    ) -> Float[Array, "d d"]:
        return self.basis.hessian(x, jnp.asarray(self.scale) * coefficients)

    def convolve(self, cloud: Float[Array, "n d"], weight: Float[Array, " n"]) -> Basis:
        return Scaled(self.basis.convolve(cloud, weight), self.scale)

    def at(self, time: float | Float[Array, ""]) -> Basis:
        basis = self.basis.at(time)
        return self if basis is self.basis else Scaled(basis, self.scale)


class Even(Basis):
    """The even part ½(φ(x) + φ(−x)): all that an interaction energy can depend on."""

    basis: Basis

    @property
    def size(self) -> int:
        return self.basis.size

    def value(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return 0.5 * (self.basis.value(x) + self.basis.value(-x))

    def gradient(self, x: Float[Array, " d"]) -> Float[Array, "d K"]:
        return 0.5 * (self.basis.gradient(x) - self.basis.gradient(-x))

    def laplacian(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return 0.5 * (self.basis.laplacian(x) + self.basis.laplacian(-x))

    def hessian(
        self, x: Float[Array, " d"], coefficients: Float[Array, " K"]
    ) -> Float[Array, "d d"]:
        either = self.basis.hessian(x, coefficients), self.basis.hessian(-x, coefficients)
        return 0.5 * (either[0] + either[1])


class CloudAverage(Basis):
    """Any basis averaged over a cloud, by summation over its particles one by one.

    No array over pairs of a point and a particle exists, however many points `jax.vmap` adds: the
    points are what there is to vectorise over.
    """

    basis: Basis
    cloud: Float[Array | np.ndarray, "n d"]
    weight: Float[Array | np.ndarray, " n"]

    @property
    def size(self) -> int:
        return self.basis.size

    def value(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return self._average(self.basis.value, x)

    def gradient(self, x: Float[Array, " d"]) -> Float[Array, "d K"]:
        return self._average(self.basis.gradient, x)

    def laplacian(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return self._average(self.basis.laplacian, x)

    def hessian(
        self, x: Float[Array, " d"], coefficients: Float[Array, " K"]
    ) -> Float[Array, "d d"]:
        return self._average(lambda place: self.basis.hessian(place, coefficients), x)

    def _average(
        self, feature: Callable[[Float[Array, " d"]], Float[Array, "*f"]], x: Float[Array, " d"]
    ) -> Float[Array, "*f"]:
        def add(total, particle):  # type: ignore[no-untyped-def]
            place, weight = particle
            return total + weight * feature(x - place), None

        cloud, weight = jnp.asarray(self.cloud), jnp.asarray(self.weight)
        shape = jax.eval_shape(feature, x)
        return jax.lax.scan(add, jnp.zeros(shape.shape, shape.dtype), (cloud, weight))[0]


def quadratic(weight: Float[Array, " K"], rows: Float[Array, "K d"]) -> Float[Array, "d d"]:
    """Σ_k w_k r_k r_kᵀ: under `jax.vmap` over weights, one product of two matrices."""
    squares = rows[:, :, None] * rows[:, None, :]
    return (weight @ squares.reshape(len(rows), -1)).reshape(squares.shape[1:])


@eqx.filter_jit
def average(
    feature: Callable[[Float[Array, " d"]], Float[Array, " K"]],
    cloud: Float[Array, "n d"],
    weight: Float[Array, " n"],
) -> Float[Array, " K"]:
    """Σ_p w_p feature(x_p) of a weighted cloud, in blocks of bounded memory.

    A basis's own method as the feature is compiled once for all clouds of one size.
    """
    n, d = cloud.shape
    block = min(n, _BLOCK)
    padding = -n % block  # padded particles weigh nothing
    points = jnp.pad(cloud, ((0, padding), (0, 0))).reshape(-1, block, d)
    weights = jnp.pad(weight, (0, padding)).reshape(-1, block)

    def add(total, part):  # type: ignore[no-untyped-def]
        return total + part[1] @ jax.vmap(feature)(part[0]), None

    shape = jax.eval_shape(feature, points[0, 0])
    return jax.lax.scan(add, jnp.zeros(shape.shape, shape.dtype), (points, weights))[0]
