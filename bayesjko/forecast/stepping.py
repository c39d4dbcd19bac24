"""How many substeps a simulation needs, by halving them until it no longer matters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

__all__ = ["choose_substeps"]

_TOLERANCE = 0.01  # of the distance that particles move
_FIRST, _MOST = 5, 640


def choose_substeps(
    simulated: Callable[[int], Float[np.ndarray, "time n d"]], tolerance: float = _TOLERANCE
) -> tuple[int, float]:
    """The fewest substeps (5, 10, 20, …, 640) whose halving moves nobody much, and by how much.

    Halving the step of a first-order method removes half of its error, so the difference of two
    runs is the error that is left in the finer one.

    Args:
        simulated: particles at all times, without noise, for a number of substeps.
        tolerance: root mean square difference that is allowed, in root mean square distances that
            the particles move in all; a thousandth of their spread counts as such at the least.

    Returns:
        The substeps of the finer run, and its error in that unit; infinite if particles escape.
    """
    coarse, steps, error = simulated(_FIRST), _FIRST, np.inf
    while steps < _MOST and error > tolerance:
        steps *= 2
        fine = simulated(steps)
        both = np.isfinite(coarse).all() and np.isfinite(fine).all()
        if both:
            moved = np.sqrt(np.mean((fine - fine[0]) ** 2))
            floor = 1e-3 * float(np.std(fine[0], axis=0).max())
            error = float(np.sqrt(np.mean((fine - coarse) ** 2)) / max(moved, floor, 1e-300))
        coarse = fine
    return steps, error
