"""Double precision where a solve needs it, whatever the user's JAX setting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax

__all__ = ["double", "wide"]


@contextmanager
def double() -> Iterator[None]:
    """Run the enclosed JAX code in float64; the user's own setting is back afterwards."""
    with jax.enable_x64(True):
        yield


@contextmanager
def wide() -> Iterator[None]:
    """`double` on a processor, and single precision on an accelerator, whatever the user's setting.

    For what is large and summed in double precision on the host: designs over particles, whose
    round-off is far below their noise, and whose double precision is slow or absent there. All 24
    bits are asked for, since a GPU left to itself multiplies matrices with ten.
    """
    if jax.default_backend() == "cpu":
        with double():
            yield
    else:
        with jax.enable_x64(False), jax.default_matmul_precision("highest"):
            yield
