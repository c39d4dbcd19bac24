"""Command line of `python -m bayesjko.simulate`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from bayesjko.command import check_ending, run_command, write_atomically
from bayesjko.readers import WRITERS, write_snapshots
from bayesjko.readers.writer import write_zarr_parts
from bayesjko.simulate import PART, Simulation

__all__ = ["main"]

PAIRING = tyro.conf.create_mutex_group(required=False)


@dataclass(frozen=True)
class SimulateCommand:
    """Simulate snapshots of a population whose energy is known."""

    out: Path
    """Where to: .nc and .zarr keep the truth, .npz, .csv and .parquet the particles only."""
    potential: str = "styblinski_tang"
    """V: a name (a wrong one lists them) or none."""
    interaction: str = "none"
    """W: a name as for the potential, or none."""
    beta: float = 0.1
    """Strength of the internal energy: the noise is √(2 beta) dB."""
    particles: int = 1000
    """How many in each snapshot."""
    snapshots: int = 6
    """How many, tau apart from time 0."""
    tau: float = 0.01
    """Time between two snapshots."""
    times: tuple[float, ...] | None = None
    """When to look, instead of snapshots and tau."""
    substeps: int = 20
    """Euler–Maruyama steps in the shortest interval."""
    paired: Annotated[bool, PAIRING, tyro.conf.FlagCreatePairsOff] = False
    """Follow the same particles."""
    unpaired: Annotated[bool, PAIRING, tyro.conf.FlagCreatePairsOff] = False
    """A fresh population for every snapshot, as real data have: the default."""
    dimension: int = 2
    """Number of features."""
    start: Literal["uniform", "normal"] = "uniform"
    """The first population: uniform on [−4, 4] in each feature, or standard normal."""
    interaction_scale: float = 1.0
    """A factor on W."""
    seed: int = 0
    """The same seed gives the same file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m bayesjko.simulate`; returns the exit code."""
    return run_command("bayesjko.simulate", SimulateCommand, _run, arguments)


def _run(options: SimulateCommand) -> None:
    settings = dict(vars(options))
    out: Path = settings.pop("out")
    settings.pop("unpaired")  # what not being paired means
    ending = check_ending(out, WRITERS)
    with write_atomically(out) as fresh:  # a place that cannot be written fails before the work
        found = Simulation.planned(**settings)
        if ending == ".zarr" and found.divisible and found.truth["particles"] > PART:
            write_zarr_parts(
                found.times, found.parts(), found.truth["particles"], found.truth, fresh
            )
        else:
            write_snapshots(found.snapshots(), fresh)
    print(found.note, f"Written to {out}.")
    if ending not in (".nc", ".zarr"):
        print(f"A {ending} file keeps the particles and not the truth; .nc and .zarr keep both.")


if __name__ == "__main__":
    sys.exit(main())
