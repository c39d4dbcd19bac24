"""How a long computation is watched, kept and taken up again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Block", "Run"]

Block = Mapping[str, np.ndarray]
"""What a run adds at a time, with all that it must know to go on."""


@dataclass(frozen=True, eq=False)
class Run:
    """A long computation's ties to who asked for it.

    Attributes:
        done: blocks that an earlier run kept, in order.
        keep: called with each new block.
        progress: show a progress bar.
    """

    done: Sequence[Block] = ()
    keep: Callable[[Block], None] | None = None
    progress: bool = False
