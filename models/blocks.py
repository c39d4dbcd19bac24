"""Rows in blocks of one size: what bounds memory, and lets one compilation serve all data.

Blocks are NumPy arrays that compiled functions take for their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

__all__ = [
    "averaged",
    "block_rows",
    "blocks",
    "evenly",
    "mapped",
    "paths_at_once",
    "weighted_blocks",
    "whole_blocks",
]

_ROWS = 256  # small, since what fills up the last block is computed for nothing
_ROWS_AT_ONCE = 4096  # of an accelerator, which is as quick with many as with few
_MANY = 2048  # rows of all copies together, beside which a call's own time is small
_PATHS = 8  # as if each particle had so many: a block of paths is so many of other work's
_FEW_NUMBERS = 2**18  # that these may be at once


def block_rows() -> int:
    """Rows of a block."""
    return _ROWS if jax.default_backend() == "cpu" else _ROWS_AT_ONCE


def paths_at_once(numbers: int) -> int:
    """Paths of a block, each of so many numbers: on a CPU no more than its caches hold."""
    rows = block_rows()
    size = _PATHS * rows
    while rows < size and size * numbers > _FEW_NUMBERS and jax.default_backend() == "cpu":
        size //= 2
    return size


def whole_blocks(count: int) -> int:
    """Rows of the whole blocks that so many rows fill, for what is worked on all at once."""
    size = block_rows()
    return -(-count // size) * size


def evenly(count: int, most: int) -> Int[np.ndarray, " r"]:
    """At most so many of the rows, evenly spaced: all of them where there are no more."""
    kept = min(count, most)
    return np.arange(kept) * count // kept


def blocks(rows: Float[np.ndarray, "n *c"], size: int | None = None) -> Iterator[Any]:
    """Blocks of so many consecutive rows, the last one filled up with its own last row."""
    size = size or block_rows()
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        missing = size - len(part)
        yield part if not missing else np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])


def mapped(
    work: Callable[[Any], Any], points: Float[np.ndarray, "n d"], width: int
) -> Float[np.ndarray, "n w"]:
    """Rows of numbers, so many for each point, of work that is done a block at a time."""
    found, size = np.empty((len(points), width)), block_rows()
    if len(points) == _MANY and _MANY * width <= _FEW_NUMBERS:
        size = _MANY
    for start, part in zip(range(0, len(points), size), blocks(points, size), strict=True):
        found[start : start + size] = np.asarray(work(part))[: len(points) - start]
    return found


def averaged(
    work: Callable[[Float[np.ndarray, "m d"]], Float[np.ndarray, "m w"]],
    copies: Float[np.ndarray, "copies n d"],
) -> Float[np.ndarray, "n w"]:
    """Each point's mean over its copies, of work that is `mapped`: many rows at once."""
    count, n, d = copies.shape
    rows, means = max(1, _MANY // count), []
    for first in range(0, n, rows):
        part = copies[:, first : first + rows].reshape(-1, d)
        whole = work(next(blocks(part, _MANY)) if len(part) < _MANY else part)
        each = whole[: len(part)].reshape(count, -1, whole.shape[1])
        means.append(each.mean(axis=0))
    return np.concatenate(means)


def weighted_blocks(
    points: Float[np.ndarray, "n d"], weight: Float[np.ndarray, " n"], size: int | None = None
) -> Iterator[tuple[Any, Any]]:
    """Blocks of points with their weights, what fills up the last one weighing nothing."""
    size = size or block_rows()
    for start, part in zip(range(0, len(points), size), blocks(points, size), strict=True):
        share = weight[start : start + size]
        yield part, np.pad(share, (0, size - len(share)))
