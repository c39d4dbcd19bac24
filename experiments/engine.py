"""Runs an experiment: what is missing is measured, then everything measured is reported."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from time import perf_counter

import pandas as pd
from tqdm import tqdm

from bayesjko.command import write_atomically
from bayesjko.experiments import EXPERIMENTS
from bayesjko.experiments.ledger import Ledger
from bayesjko.experiments.readme import Run, commit, readme
from bayesjko.experiments.specification import Cell, Experiment, Study
from bayesjko.experiments.tables import dataset
from bayesjko.experiments.workers import Task, measured
from bayesjko.models.errors import InputError
from bayesjko.netcdf import write_netcdf

__all__ = ["Outcome", "experiment", "run"]

_KEY = ["case", "method", "replicate", "settings"]


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    Attributes:
        measured: cells measured by this run.
        kept: cells that an earlier run had finished.
        failed: cells of this run that failed.
        metrics: the report's first table.
    """

    measured: int
    kept: int
    failed: int
    metrics: pd.DataFrame


def experiment(name: str) -> Experiment:
    """An experiment by its name.

    Raises:
        InputError: there is none of this name.
    """
    if name not in EXPERIMENTS:
        raise InputError(
            f"There is no experiment {name!r}; choose one of {', '.join(EXPERIMENTS)}."
        )
    found = import_module(EXPERIMENTS[name]).EXPERIMENT
    assert isinstance(found, Experiment)
    return found


def run(
    name: str,
    experiment: Experiment,
    folder: Path,
    *,
    command: str,
    smoke: bool = False,
    jobs: int = 1,
    replicates: int | None = None,
    only: Sequence[str] = (),
) -> Outcome:
    """Measure the cells that the folder does not have yet, and report all that it has.

    What every cell measured is written too, over case, approach and replicate (`cells.nc`).

    A cell that failed before is measured again. Interrupted or killed, a run leaves the cells it
    finished, and the same command goes on from there.

    Args:
        name: of the experiment.
        experiment: what to run.
        folder: where to; made if need be.
        command: that did this, for the reader.
        smoke: run the few small cells only.
        jobs: processes.
        replicates: of every case and method, instead of the specification's.
        only: patterns of CASE/METHOD; cells that match none are left alone.

    Raises:
        InputError: the folder cannot be used, a data file is not there, or nothing matches the
            patterns.
    """
    start = perf_counter()
    studies = experiment.chosen(smoke=smoke, replicates=replicates)
    wanted = [
        (study, cell)
        for study, cell in _by_replicate(studies)
        if not only or any(fnmatchcase(f"{cell.case}/{cell.method}", one) for one in only)
    ]
    if not wanted:
        raise InputError(f"No CASE/METHOD of {name} matches {' or '.join(only)}.")
    files = () if smoke else experiment.files
    for file in files:
        file.path()
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot make '{folder}': {error.strerror}; choose another.") from error
    ledger = Ledger(folder / "cells.ndjson")
    finished = {_key(row) for row in ledger.rows() if "failure" not in row}
    missing = [(s, c) for s, c in wanted if (c.case, c.method, c.replicate, c.settings)
               not in finished]  # fmt: skip
    failed, here = 0, commit()
    with tqdm(total=len(missing), desc=name, unit="cell", file=sys.stderr) as bar:
        for row in measured(missing, jobs):
            ledger.append({**row, "commit": here})
            failed += "failure" in row
            bar.set_postfix(failed=failed)
            bar.update()
    cells = _cells(ledger, studies)
    report = experiment.report(cells)
    for stem, table in report.tables.items():
        with write_atomically(folder / f"{stem}.csv") as fresh:
            table.to_csv(fresh, index=False, float_format="%.6g")
    report.draw(folder / "figures")
    read = {file.name: file.digest() for file in files}
    this = Run(name, command, jobs, perf_counter() - start, len(missing), here, read)
    with write_atomically(folder / "cells.nc") as fresh:
        write_netcdf(
            dataset(cells).assign_attrs(question=experiment.question, **this.provenance), fresh
        )
    with write_atomically(folder / "README.md") as fresh:
        fresh.write_text(readme(experiment, this, cells, report, folder), "utf-8")
    metrics = next(iter(report.tables.values()))
    return Outcome(len(missing), len(wanted) - len(missing), failed, metrics)


def _by_replicate(studies: Sequence[Study]) -> list[Task]:
    """All cells, those of a smaller replicate first whatever their study."""
    tasks = [(study, cell) for study in studies for cell in study.cells()]
    return sorted(tasks, key=lambda task: task[1].replicate)


def _cells(ledger: Ledger, studies: Sequence[Study]) -> pd.DataFrame:
    """The newest row of every cell that means what the specification means."""
    meant = {_meaning(cell) for study in studies for cell in study.cells()}
    rows = [row for row in ledger.rows() if (row["case"], row["method"], row["settings"]) in meant]
    table = pd.DataFrame(rows).drop_duplicates(_KEY, keep="last")
    table = table.assign(**{name: None for name in ("failure", "commit") if name not in table})
    order = {pair[:2]: place for place, pair in enumerate(_ordered(studies))}
    places = [order[pair] for pair in zip(table["case"], table["method"], strict=True)]
    table = table.assign(place=places).sort_values(["place", "replicate"])
    return table.drop(columns="place").reset_index(drop=True)


def _meaning(cell: Cell) -> tuple[str, str, str]:
    return cell.case, cell.method, cell.settings


def _ordered(studies: Sequence[Study]) -> list[tuple[str, str, str]]:
    """Cases and methods in the order in which the specification names them."""
    return list(dict.fromkeys(_meaning(cell) for study in studies for cell in study.cells()))


def _key(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in _KEY)
