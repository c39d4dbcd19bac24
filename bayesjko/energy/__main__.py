"""Command line of `python -m bayesjko.energy`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import tyro
import xarray as xr

from bayesjko.command import check_ending, run_command, write_atomically
from bayesjko.energy import energy_at
from bayesjko.models.errors import InputError
from bayesjko.netcdf import write_netcdf
from bayesjko.points import read_points
from bayesjko.result import Result, load_result

__all__ = ["main"]

_NAMED = 8  # features whose mean is spelt out

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class EnergyCommand:
    """Potential and drift of a result file at given points, with their uncertainty."""

    result: Annotated[Path, tyro.conf.Positional]
    """Result file of a fit."""
    at: Path
    """Table of points (CSV, TSV, Parquet) with a column for each feature."""
    out: Path
    """Table to write: .csv, .tsv, .parquet or .nc (netCDF)."""
    snapshot: float | None = None
    """Time of the snapshot whose population and period are meant; the last by default."""
    level: float = 0.9
    """How much of the posterior an interval holds."""


def _run(command: EnergyCommand) -> None:
    write = _WRITERS[check_ending(command.out, _WRITERS)]
    result = load_result(command.result)
    points = read_points(command.at, result.snapshots.features)
    with write_atomically(command.out) as temporary:
        columns = energy_at(result, points, command.snapshot, command.level)
        write(columns, _attributes(result, command), temporary)
    print(*_sentences(result, command, points), sep="\n")


def _sentences(result: Result, command: EnergyCommand, points: np.ndarray) -> list[str]:
    """What was written and how to read it."""
    has_potential = "potential" in result.energy.slices
    sentences = [
        f"{'Potential and drift' if has_potential else 'The drift'} at {_points(points)}, with "
        f"{100 * command.level:g}% intervals, for the population at time "
        f"{_time(result, command):g}: {command.out}.",
        _constant(result) if has_potential else _NO_POTENTIAL,
    ]
    outside = int(np.sum(~_inside(result, points)))
    if outside:
        sentences.append(
            f"Of {_points(points)}, {outside} outside the range of the data: the energy is "
            "extrapolated there."
        )
    return sentences


def _points(points: np.ndarray) -> str:
    return f"{len(points)} point{'' if len(points) == 1 else 's'}"


def _constant(result: Result) -> str:
    pairs = zip(result.snapshots.features, result.standardisation.mean, strict=True)
    mean = [f"{name} = {value:.6g}" for name, value in pairs]
    told = ", ".join(mean[:_NAMED]) + (", …" if len(mean) > _NAMED else "")
    return (
        "A potential is known up to a constant; it is fixed by V = 0 at the data's mean "
        f"({told}), so potential and potential_sd are those of the difference to that point."
    )


_NO_POTENTIAL = "This energy has no potential term, so the columns of the potential are left out."


def _attributes(result: Result, command: EnergyCommand) -> dict[str, Any]:
    has_potential = "potential" in result.energy.slices
    return {
        "title": "bayesjko energy at points",
        "drift": "minus the gradient of the potential and of the interaction with the population",
        "snapshot_time": _time(result, command),
        "level": command.level,
        "potential_constant": _constant(result) if has_potential else _NO_POTENTIAL,
        "data_mean": result.standardisation.mean,
        "data": str(result.provenance.get("data_hash", "unknown")),
    }


def _time(result: Result, command: EnergyCommand) -> float:
    return float(result.snapshots.times[result.snapshot_index(command.snapshot)])


def _inside(result: Result, points: np.ndarray) -> np.ndarray:
    seen = np.concatenate(result.snapshots.particles)
    return np.all((points >= seen.min(axis=0)) & (points <= seen.max(axis=0)), axis=1)


def _write_csv(columns: Columns, attributes: Mapping[str, Any], path: Path) -> None:
    pd.DataFrame(columns).to_csv(path, index=False)


def _write_tsv(columns: Columns, attributes: Mapping[str, Any], path: Path) -> None:
    pd.DataFrame(columns).to_csv(path, index=False, sep="\t")


def _write_parquet(columns: Columns, attributes: Mapping[str, Any], path: Path) -> None:
    pd.DataFrame(columns).to_parquet(path, index=False)


def _write_netcdf(columns: Columns, attributes: Mapping[str, Any], path: Path) -> None:
    slashed = [name for name in columns if "/" in name]
    if slashed:
        raise InputError(
            f"netCDF cannot hold the column {slashed[0]!r}, whose name has a '/'; write .csv."
        )
    data = xr.Dataset({name: ("point", values) for name, values in columns.items()})
    write_netcdf(data.assign_attrs(attributes), path)


_WRITERS: Mapping[str, Callable[[Columns, Mapping[str, Any], Path], None]] = {
    ".csv": _write_csv,
    ".tsv": _write_tsv,
    ".parquet": _write_parquet,
    ".nc": _write_netcdf,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `python -m bayesjko.energy`."""
    return run_command("bayesjko.energy", EnergyCommand, _run, arguments)


if __name__ == "__main__":
    sys.exit(main())
