"""Command line of `python -m bayesjko.evaluate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bayesjko.command import run_command
from bayesjko.evaluate import evaluate, score_table
from bayesjko.forecast import Mode
from bayesjko.readers import read_snapshots
from bayesjko.result import load_result

__all__ = ["main"]


@dataclass(frozen=True)
class EvaluateCommand:
    """Score a result file on snapshots it has not seen."""

    result: Annotated[Path, tyro.conf.Positional]
    """Result file of a fit."""
    data: Annotated[Path, tyro.conf.Positional]
    """Snapshots to score on, in any format that the fit reads."""
    time: str | None = None
    """Name of the time column."""
    features: str | None = None
    """Names of the features; those of the fit by default."""
    mode: Mode | None = None
    """One-step maps or the stochastic equation; by default what the fit's likelihood stands for."""
    draws: int = 20
    """How many draws the intervals stand on."""
    substeps: int = 20
    """Of the stochastic equation, per sampling interval."""
    seed: int = 0
    """Of draws and noise."""
    json: bool = False
    """Print one JSON object instead of a table."""


def _run(command: EvaluateCommand) -> None:
    result = load_result(command.result)
    read_with = result.settings.get("reading", {})
    test = read_snapshots(
        command.data,
        time=command.time or read_with.get("time"),
        features=command.features or read_with.get("features"),
    )
    scores = evaluate(
        result,
        test,
        mode=command.mode,
        draws=command.draws,
        substeps=command.substeps,
        seed=command.seed,
    )
    print(json.dumps(scores) if command.json else score_table(scores))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `python -m bayesjko.evaluate`."""
    return run_command("bayesjko.evaluate", EvaluateCommand, _run, arguments)


if __name__ == "__main__":
    sys.exit(main())
