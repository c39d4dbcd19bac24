"""Populations with a known truth, simulated when asked for: data for a first look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from bayesjko.models.data import SnapshotError, Snapshots
from bayesjko.simulate import simulate

__all__ = ["DEMOS", "demo"]

WELL_TIMES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)

DEMOS: Mapping[str, Callable[..., Snapshots]] = {
    # Snapshots far apart: the population crosses a good part of a well between two of them.
    "double_well": partial(
        simulate, "tilted_double_well", beta=0.3, start="normal", times=WELL_TIMES
    ),
    # The benchmark's own setting but for its one Euler step: snapshots close together.
    "styblinski_tang": partial(simulate, "styblinski_tang", beta=0.1),
    "wavy_plateau": partial(simulate, "wavy_plateau", beta=0.1),
    "attraction": partial(
        simulate,
        "tilted_double_well",
        "gaussian",
        beta=0.3,
        start="normal",
        times=WELL_TIMES,
        interaction_scale=4.0,
    ),
}
"""Every demonstration by its name."""


def demo(name: str, *, seed: int = 0) -> Snapshots:
    """1,000 unpaired particles at six times in the plane, with their truth.

    Args:
        name: one of `DEMOS`.
        seed: of the simulation.

    Raises:
        SnapshotError: there is no demonstration of this name.

    Examples:
        >>> demo("double_well").counts
        (1000, 1000, 1000, 1000, 1000, 1000)
    """
    if name not in DEMOS:
        raise SnapshotError(f"There is no demo {name!r}; choose one of {', '.join(DEMOS)}.")
    return DEMOS[name](seed=seed)
