"""Features that a network learned: what its last hidden layer makes of a point."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from bayesjko.models.bases.basis import Basis

__all__ = ["Neural", "widths_of"]


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
