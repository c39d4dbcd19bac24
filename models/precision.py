"""Double precision where a solve needs it, whatever the user's JAX setting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax

__all__ = ["double"]


@contextmanager
def double() -> Iterator[None]:
    """Run the enclosed JAX code in float64; the user's own setting is back afterwards."""
    with jax.enable_x64(True):
        yield
