"""Command line of `python -m bayesjko.fit`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from bayesjko.checkpoint import Checkpoint
from bayesjko.command import (
    INTERRUPTED,
    check_ending,
    check_folder,
    run_command,
    strict_json,
    write_atomically,
)
from bayesjko.demos import demo
from bayesjko.devices import Device, spread_chains, use_device
from bayesjko.fit import checked_settings, fit
from bayesjko.models.data import Snapshots
from bayesjko.models.errors import InputError
from bayesjko.netcdf import write_netcdf
from bayesjko.readers import read_snapshots
from bayesjko.readers.stores import open_population
from bayesjko.result import Result
from bayesjko.schedulers import scheduled
from bayesjko.selection import Selection, select
from bayesjko.settings import FitSettings
from bayesjko.summary import summarise

__all__ = ["main"]


@dataclass(frozen=True)
class FitCommand:
    """Learn the energy that drives a population from snapshots, with its uncertainty."""

    data: Annotated[str | None, tyro.conf.Positional] = None
    """Snapshots: CSV, TSV, Parquet, NPZ, h5ad, netCDF or Zarr."""
    demo: str | None = None
    """Use embedded data instead: double_well, styblinski_tang, wavy_plateau or attraction, with a
    known truth, or countries: income and life expectancy of 142 from 1952 to 2007."""
    time: str | None = None
    """Name of the time column."""
    features: str | None = None
    """Names of the features, separated by commas; for h5ad an obsm key as X_pca or X_pca:5."""
    weight: str | None = None
    """Name of a column of particle weights."""
    settings: Annotated[FitSettings, tyro.conf.OmitArgPrefixes] = field(default_factory=FitSettings)
    select: bool = False
    """Compare energies with and without an interaction and an internal term by log evidence, print
    the table and fit the best."""
    potentials: str | None = None
    """With --select: bases of the potential to compare, separated by commas."""
    out: Path | None = None
    """Result file to write (netCDF)."""
    plots: Path | None = None
    """Folder to write pictures to."""
    json: bool = False
    """Print one JSON object instead of the summary."""
    quiet: bool = False
    """Print nothing but errors."""
    jobs: int | None = None
    """Cores to use; all if not given."""
    device: Device = "auto"
    """Where to compute: cpu, gpu, or whichever JAX was installed for."""
    scheduler: str | None = None
    """Read DATA (Zarr or Parquet) in parts, which are worked on here, by processes of this machine,
    or by the workers of a Dask scheduler (tcp://…); by the weak or the residual likelihood."""
    resume: bool = False
    """Go on with what an interrupted bootstrap or sampler left beside --out, to the same result."""


def _run(command: FitCommand) -> int:
    if (command.data is None) == (command.demo is None):
        raise InputError("Give either a file of snapshots or --demo NAME, and not both.")
    if command.potentials is not None and not command.select:
        raise InputError("The option --potentials is of --select; give both, or --potential.")
    if command.jobs is not None and command.jobs < 1:
        raise InputError(f"--jobs is {command.jobs}; give at least 1.")
    if command.resume and command.out is None:
        raise InputError("There is nothing to resume without the result it was for; give --out.")
    if command.plots is not None:
        check_folder(command.plots)
    use_device(command.device)
    spread_chains(command.settings, command.jobs)
    checkpoint = None
    if command.out is not None:
        check_ending(command.out, [".nc"])
        checkpoint = Checkpoint(command.out, resume=command.resume)
    snapshots = None
    if command.scheduler is not None:
        if command.data is None or command.select:
            raise InputError("The option --scheduler is for a fit to a file; leave it out.")
    elif command.demo is not None:
        snapshots = demo(command.demo)
    else:
        snapshots = read_snapshots(
            command.data, time=command.time, features=command.features, weight=command.weight
        )
    with ExitStack() as files:
        temporary = None
        if command.out is not None:  # fails before the work, not after it
            temporary = files.enter_context(write_atomically(command.out))
        result, selection = _fitted(command, snapshots, checkpoint)
        reading = {
            "time": command.time,
            "features": command.features,
            "weight": command.weight,
        }
        result = replace(result, settings={**result.settings, "reading": reading})
        if temporary is not None:
            write_netcdf(result.to_datatree(), temporary)
    complete = result.posterior.complete
    if checkpoint is not None and complete:
        checkpoint.discard()
    pictures: list[Path] = []
    if command.plots is not None:
        from bayesjko.plots import plot_result

        pictures = plot_result(result, command.plots)
    if command.json:
        print(strict_json(_json(result)))
    elif not command.quiet:
        if selection is not None:
            print(selection.table(), end="\n\n")
        print(summarise(result))
        if command.out is not None:
            print(f"Result: {command.out}")
        if pictures:
            print(f"Pictures: {', '.join(map(str, pictures))}")
    return 0 if complete else INTERRUPTED


def _fitted(
    command: FitCommand, snapshots: Snapshots | None, checkpoint: Checkpoint | None
) -> tuple[Result, Selection | None]:
    options: dict[str, Any] = {
        "jobs": command.jobs,
        "progress": not (command.quiet or command.json),
        "checkpoint": checkpoint,
    }
    try:
        if command.scheduler is not None:
            return _fitted_in_parts(command), None
        if not command.select:
            return fit(snapshots, command.settings, **options), None
        potentials = command.potentials.split(",") if command.potentials else None
        selection = select(snapshots, command.settings, potentials=potentials, **options)
        return selection.result, selection
    except KeyboardInterrupt:
        if checkpoint is None or not checkpoint.folder.exists():
            raise
        raise KeyboardInterrupt(
            f"Interrupted; what is done is kept in '{checkpoint.folder}', and the same command "
            "with --resume goes on with it."
        ) from None


def _fitted_in_parts(command: FitCommand) -> Result:
    from bayesjko.fit.population import fit_population

    assert command.data is not None
    assert command.scheduler is not None
    population = open_population(
        command.data, time=command.time, features=command.features, weight=command.weight
    )
    settings = checked_settings(command.settings, {})
    with scheduled(command.scheduler, command.jobs) as reduce:
        return fit_population(
            population, settings, reduce, progress=not (command.quiet or command.json)
        )


def _json(result: Result) -> dict[str, Any]:
    beta = result.beta
    found: dict[str, Any] = {
        "log_evidence": result.posterior.log_evidence,
        "beta": None if beta is None else float(beta.mean()),
        "settings": dict(result.settings),
        "data_hash": result.provenance["data_hash"],
    }
    if "selection" in result.provenance:
        found["selection"] = result.provenance["selection"]
    if result.scores:
        found["holdout"] = dict(result.scores)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `python -m bayesjko.fit`."""
    return run_command("bayesjko.fit", FitCommand, _run, arguments)


if __name__ == "__main__":
    sys.exit(main())
