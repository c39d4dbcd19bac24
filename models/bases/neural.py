"""Features of a network: what its last hidden layer makes of a point, or slopes in its weights."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from bayesjko.models.bases.basis import Basis

__all__ = ["Neural", "Tangent", "layers_of", "weight_slopes", "widths_of"]


class Neural(Basis):
    """A fully connected network with softplus units, but for its last, linear layer.

    A network is linear in the weights of that layer, so with the others fixed it is a basis as any
    other: its posterior is closed form, its forces and forecasts are those of a linear energy.

    Attributes:
        weights: of each hidden layer.
        biases: of each hidden layer.
    """

    weights: tuple[Float[Array | np.ndarray, "_ _"], ...]
    biases: tuple[Float[Array | np.ndarray, " _"], ...]

    @classmethod
    def initial(
        cls, dimension: int, widths: Sequence[int], frequency: float, key: PRNGKeyArray
    ) -> Neural:
        """Untrained: as Equinox does it, the first layer steeper.

        Args:
            dimension: of a point.
            widths: units of each hidden layer.
            frequency: how many times as steep; networks find slow variation first and fast
                variation late.
            key: of the random weights.
        """
        layers = [
            eqx.nn.Linear(a, b, key=k)
            for a, b, k in zip(
                [dimension, *widths[:-1]], widths, jax.random.split(key, len(widths)), strict=True
            )
        ]
        weights, biases = [], []
        for index, layer in enumerate(layers):
            assert layer.bias is not None
            steep = frequency if index == 0 else 1.0
            weights.append(steep * layer.weight)
            biases.append(steep * layer.bias)
        return cls(tuple(weights), tuple(biases))

    @property
    def size(self) -> int:
        return len(self.biases[-1])

    def value(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = jax.nn.softplus(jnp.asarray(weight) @ x + jnp.asarray(bias))
        return x

    def gradient(self, x: Float[Array, " d"]) -> Float[Array, "d K"]:
        slope = jnp.eye(len(x), dtype=x.dtype)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = jnp.asarray(weight) @ x + jnp.asarray(bias)
            # the last layer's values are not needed, which autodiff does not see
            slope = jax.nn.sigmoid(x)[:, None] * (jnp.asarray(weight) @ slope)
            x = jax.nn.softplus(x)
        return slope.T


class Tangent(Basis):
    """All weights of a trained network, as far as particles can tell.

    Its features are the slopes of V in K directions of its weights, so that near the trained ones
    V(x; w + Δ) − V(x; w) ≈ φ(x)·Δ. Taken for V itself, φ(x)·θ is the generalised Gauss–Newton
    approximation of the network (Immer, Korzepa and Bauer, AISTATS 2021).

    Attributes:
        hidden: the trained hidden layers.
        last: the trained last layer.
        directions: of all weights, a row each.
    """

    hidden: Neural
    last: Float[Array | np.ndarray, " H"]
    directions: Float[Array | np.ndarray, "K P"]

    @property
    def size(self) -> int:
        return len(self.directions)

    def value(self, x: Float[Array, " d"]) -> Float[Array, " K"]:
        trained = jax.tree.map(jnp.asarray, (self.hidden, self.last))
        slopes, _ = ravel_pytree(jax.grad(_output)(trained, x))
        return jnp.asarray(self.directions) @ slopes


def weight_slopes(
    hidden: Neural, last: Float[Array, " H"], points: Float[Array, "n d"]
) -> Float[Array, "n d P"]:
    """∂∇V/∂w at points, w all weights of a network: hidden layers, then the last."""
    trained = jax.tree.map(jnp.asarray, (hidden, last))

    def slopes(x: Float[Array, " d"]) -> Float[Array, " P"]:
        return ravel_pytree(jax.grad(_output)(trained, x))[0]

    return jax.vmap(lambda x: jax.jacfwd(slopes)(x).T)(points)


def layers_of(hidden: Neural, last: Float[Array | np.ndarray, " H"]) -> list[np.ndarray]:
    """Which of all weights belong to each layer, its biases among them."""
    count = len(hidden.weights)
    tags = jax.tree.map(np.asarray, (hidden, last))
    marked = Neural(
        tuple(np.full(w.shape, float(i)) for i, w in enumerate(tags[0].weights)),
        tuple(np.full(b.shape, float(i)) for i, b in enumerate(tags[0].biases)),
    )
    layer = np.asarray(ravel_pytree((marked, np.full(tags[1].shape, float(count))))[0])
    return [np.flatnonzero(layer == i) for i in range(count + 1)]


def _output(weights: tuple[Neural, Float[Array, " H"]], x: Float[Array, " d"]) -> Float[Array, ""]:
    hidden, last = weights
    return hidden.value(x) @ last


def widths_of(name: str) -> tuple[int, ...] | None:
    """Hidden units of the network that a user named, `mlp:64,64`; None if it is no network.

    Raises:
        ValueError: the units cannot be read.
    """
    kind, _, numbers = name.strip().partition(":")
    if kind != "mlp":
        return None
    widths = tuple(int(number) for number in numbers.split(",")) if numbers else (64, 64)
    if not 1 <= len(widths) <= 8 or not all(1 <= width <= 1024 for width in widths):
        raise ValueError(f"1 to 8 layers of 1 to 1024 units, not {numbers}")
    return widths
