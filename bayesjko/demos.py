"""Data for a first look: populations simulated from a known truth, and a real one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from bayesjko.countries import countries
from bayesjko.models.data import SnapshotError, Snapshots
from bayesjko.simulate import simulate

__all__ = ["DEMOS", "demo"]

WELL_TIMES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)


def _without_names(*, seed: int) -> Snapshots:
    """The countries in another order at each time, so that nothing tells which is which."""
    known, rng = countries().snapshots, np.random.default_rng(seed)
    clouds = tuple(rng.permutation(cloud) for cloud in known.particles)
    return replace(known, particles=clouds, paired=False)


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
    # No truth but what happened: income and life expectancy of 142 countries, 1952 to 2007.
    "countries": _without_names,
}
"""Every demonstration by its name."""


def demo(name: str, *, seed: int = 0) -> Snapshots:
    """Unpaired particles in the plane: 1,000 at six times, with their truth, or the countries.

    Args:
        name: one of `DEMOS`.
        seed: of the simulation, or of the order in which countries come.

    Raises:
        SnapshotError: there is no demonstration of this name.

    Examples:
        >>> demo("double_well").counts
        (1000, 1000, 1000, 1000, 1000, 1000)
    """
    if name not in DEMOS:
        raise SnapshotError(f"There is no demo {name!r}; choose one of {', '.join(DEMOS)}.")
    return DEMOS[name](seed=seed)
