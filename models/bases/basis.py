"""What a basis is: scalar features of a point, and how bases combine."""

from __future__ import annotations

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

__all__ = ["Basis", "CloudAverage", "Even", "Scaled", "Stacked"]

_BLOCK = 512  # particles of a cloud averaged at a time: what bounds memory


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

    def convolve(self, cloud: Float[Array, "n d"], weight: Float[Array, " n"]) -> Basis:
        """(φ∗ρ)(x) = Σ_p w_p φ(x − x_p) for a weighted cloud ρ, again a basis."""
        return CloudAverage(self, cloud, weight)


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

    def convolve(self, cloud: Float[Array, "n d"], weight: Float[Array, " n"]) -> Basis:
        return Stacked(tuple(part.convolve(cloud, weight) for part in self.parts))


class Scaled(Basis):
    """Features multiplied by constants, as by 1/(rms gradient) so that one prior fits all."""

    basis: Basis
    scale: Float[Array | np.ndarray, " K"]

    @property
    def size(self) -> int:
        return self.basis.size

    def value(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return self.scale * self.basis.value(x)

    def gradient(self, x: Float[Array, " d"]) -> Float[Array, "d K"]:
        return self.scale * self.basis.gradient(x)

    def laplacian(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        return self.scale * self.basis.laplacian(x)

    def convolve(self, cloud: Float[Array, "n d"], weight: Float[Array, " n"]) -> Basis:
        return Scaled(self.basis.convolve(cloud, weight), self.scale)


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


class CloudAverage(Basis):
    """Any basis averaged over a cloud by summation, in blocks of bounded memory."""

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

    def _average(self, feature, x):  # type: ignore[no-untyped-def]
        n, d = self.cloud.shape
        block = min(n, _BLOCK)
        padding = -n % block  # padded particles weigh nothing
        cloud = jnp.pad(jnp.asarray(self.cloud), ((0, padding), (0, 0))).reshape(-1, block, d)
        weight = jnp.pad(jnp.asarray(self.weight), (0, padding)).reshape(-1, block)

        def add(total, part):  # type: ignore[no-untyped-def]
            points, w = part
            values = jax.vmap(lambda p: feature(x - p))(points)
            return total + jnp.tensordot(w, values, axes=1), None

        shape = jax.eval_shape(feature, x)
        total, _ = jax.lax.scan(add, jnp.zeros(shape.shape, shape.dtype), (cloud, weight))
        return total
