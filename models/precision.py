"""Double precision where a solve needs it, whatever the user's JAX setting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import jax

__all__ = ["double", "wide"]


@contextmanager
def double() -> Iterator[None]:
    """Run the enclosed JAX code in float64; the user's own setting is back afterwards."""
    with jax.enable_x64(True):
        yield


def wide() -> AbstractContextManager[None]:
    """`double` on a processor, and the user's own (single) precision on an accelerator.

    For what is large and summed in double precision on the host: designs over particles, whose
    round-off is far below their noise, and whose double precision is slow or absent there.
    """
    return double() if jax.default_backend() == "cpu" else nullcontext()
