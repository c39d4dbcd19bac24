"""Command line of `python -m bayesjko.forecast`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from bayesjko.command import check_ending, run_command, write_atomically
from bayesjko.forecast import Mode, forecast
from bayesjko.forecast.interventions import read_assignments
from bayesjko.models.likelihoods.residual import Scheme
from bayesjko.netcdf import write_netcdf
from bayesjko.points import read_points
from bayesjko.result import Result, load_result

__all__ = ["main"]


@dataclass(frozen=True)
class ForecastCommand:
    """Forecast particle trajectories from a result file."""

    result: Annotated[Path, tyro.conf.Positional]
    """Result file of a fit."""
    out: Path
    """netCDF file to write, dimensions (draw, time, particle, feature)."""
    start: str | None = None
    """Time of the snapshot to start from, or a table (CSV, TSV, Parquet) with a cloud; the last
    snapshot of the fit by default."""
    start_time: float | None = None
    """When the cloud of a file is."""
    horizon: float | None = None
    """How long, in the data's unit of time; one mean sampling interval by default."""
    mode: Mode | None = None
    """One-step maps or the stochastic equation; by default what the fit's likelihood stands for."""
    scheme: Scheme | None = None
    """Of the one-step map; the fit's own by default."""
    substeps: int | Literal["auto"] = "auto"
    """Of the stochastic equation, per sampling interval; auto takes as many as change nothing."""
    draws: int = 100
    """How many draws of the energy."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """What if: a term set to another value, such as beta=0 (in the data's units); 0 removes the
    potential or the interaction."""
    scale: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """What if: a term scaled by a factor, such as potential=0.5."""
    seed: int = 0
    """Of the draws and the noise."""


def _run(command: ForecastCommand) -> None:
    check_ending(command.out, [".nc"])
    result = load_result(command.result)
    with write_atomically(command.out) as temporary:
        found = forecast(
            result,
            start=_read_start(command.start, result),
            start_time=command.start_time,
            horizon=command.horizon,
            mode=command.mode,
            scheme=command.scheme,
            substeps=command.substeps,
            draws=command.draws,
            seed=command.seed,
            fixed=read_assignments(command.set, "--set"),
            scale=read_assignments(command.scale, "--scale"),
        )
        write_netcdf(found.to_dataset(), temporary)
    draws, times, particles, _ = found.trajectories.shape
    print(
        f"{draws} draws of {particles} particles at {times} times, "
        f"{found.times[0]:g} to {found.times[-1]:g}, are in {command.out}."
    )
    escaped = found.settings["escaped"]
    if escaped:
        print(f"In {escaped} more draws particles escape; they are left out.")
    error = found.settings["step_error"]
    if error is not None and not error <= 0.05:
        print(
            f"Even {found.settings['substeps']} substeps an interval leave an error of "
            f"{error:.0%} of the distance moved; take more, or a smoother energy."
        )


def _read_start(start: str | None, result: Result) -> float | np.ndarray | None:
    if start is None:
        return None
    try:
        return float(start)
    except ValueError:
        return read_points(start, result.snapshots.features)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `python -m bayesjko.forecast`."""
    return run_command("bayesjko.forecast", ForecastCommand, _run, arguments)


if __name__ == "__main__":
    sys.exit(main())
