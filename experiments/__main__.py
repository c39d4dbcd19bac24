"""Command line of `python -m bayesjko.experiments`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bayesjko.command import run_command
from bayesjko.experiments import EXPERIMENTS
from bayesjko.experiments.datafiles import FOLDER
from bayesjko.experiments.engine import experiment, run
from bayesjko.models.errors import InputError

__all__ = ["main"]

_NAME = "bayesjko.experiments"


@dataclass(frozen=True)
class List:
    """Names of all experiments and what they ask."""


@dataclass(frozen=True)
class Run:
    """Run an experiment, or go on with it: cells that are finished are not measured again."""

    name: Annotated[str, tyro.conf.Positional]
    """One of those that `list` shows."""
    smoke: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """A few small cells, to see that everything works; written to NAME-smoke."""
    jobs: int | None = None
    """Processes of one thread each; one a core if not given."""
    out: Path = Path("results")
    """Folder under which the experiment's own folder is written."""
    replicates: int | None = None
    """Of every case and method, instead of the experiment's own number."""
    only: tuple[str, ...] = ()
    """Patterns of CASE/METHOD, such as 'styblinski_tang/*': run no other cells."""
    data: Path | None = None
    """Folder of the data files that embryoid and emt read; $BAYESJKO_DATA if not given."""


@dataclass(frozen=True)
class Experiments:
    """The experiments that show what the package can and cannot do."""

    action: Annotated[List | Run, tyro.conf.arg(name="")]


def _act(options: tyro.conf.OmitSubcommandPrefixes[Experiments]) -> int:
    if isinstance(options.action, List):
        for name in EXPERIMENTS:
            print(f"{name}: {experiment(name).question}")
        return 0
    return _run(options.action)


def _run(options: Run) -> int:
    for name, value in [("jobs", options.jobs), ("replicates", options.replicates)]:
        if value is not None and value < 1:
            raise InputError(f"--{name} is {value}; give at least 1.")
    if options.data is not None:
        os.environ[FOLDER] = str(options.data.resolve())  # where workers find it too
    jobs = options.jobs or os.cpu_count() or 1
    folder = options.out / (options.name + "-smoke" * options.smoke)
    outcome = run(
        options.name,
        experiment(options.name),
        folder,
        command=_command(options),
        smoke=options.smoke,
        jobs=jobs,
        replicates=options.replicates,
        only=options.only,
    )
    print(outcome.metrics.to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    print(
        f"{outcome.measured} cells measured, {outcome.kept} kept, {outcome.failed} failed: {folder}"
    )
    return 1 if outcome.failed else 0


def _command(options: Run) -> str:
    """What to type to have the same again."""
    words = ["python", "-m", _NAME, "run", options.name]
    words += ["--smoke"] if options.smoke else []
    words += ["--replicates", str(options.replicates)] if options.replicates else []
    words += ["--only", *options.only] if options.only else []
    words += ["--data", "FOLDER"] if experiment(options.name).files and not options.smoke else []
    return shlex.join(words)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `python -m bayesjko.experiments`."""
    return run_command(_NAME, Experiments, _act, arguments)


if __name__ == "__main__":
    sys.exit(main())
