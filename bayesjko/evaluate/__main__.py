"""Command line of `python -m bayesjko.evaluate`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from bayesjko.command import check_ending, run_command, strict_json, write_atomically
from bayesjko.evaluate import evaluate, score_table
from bayesjko.evaluate.bands import bands_table, predictive_bands
from bayesjko.evaluate.holdout import extrapolate, holdout_table, leave_out
from bayesjko.forecast import Mode
from bayesjko.models.errors import InputError
from bayesjko.readers import read_snapshots
from bayesjko.result import load_result

__all__ = ["main"]

_BAND_DRAWS = 60  # at the least: ends of a band are quantiles of draws


@dataclass(frozen=True)
class EvaluateCommand:
    """Score a result file on snapshots it has not seen."""

    result: Annotated[Path, tyro.conf.Positional]
    """Result file of a fit."""
    data: Annotated[Path, tyro.conf.Positional]
    """Snapshots to score on, in any format that the fit reads."""
    leave_out: str | None = None
    """Times, separated by commas: fit again, with the result's settings, to the other snapshots of
    DATA, and score what that predicts of these."""
    extrapolate: int | None = None
    """Likewise leave out so many of the last snapshots, and forecast them from those before."""
    bands: bool = False
    """Instead of scores, 90% bands for quantiles and W1, and whether they hold what was seen."""
    picture: Path | None = None
    """With --bands: a picture of them to write (.png, .pdf or .svg)."""
    time: str | None = None
    """Name of the time column."""
    features: str | None = None
    """Names of the features; those of the fit by default."""
    weight: str | None = None
    """Name of a column of particle weights; that of the fit by default."""
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
    if command.leave_out is not None and command.extrapolate is not None:
        raise InputError("Give either --leave-out or --extrapolate, and not both.")
    if command.bands and (command.leave_out is not None or command.extrapolate is not None):
        raise InputError("Bands are of snapshots one step ahead; leave --leave-out and such out.")
    if command.picture is not None:
        _check(command.picture, command.bands)
    result = load_result(command.result)
    read_with = result.settings.get("reading", {})
    data = read_snapshots(
        command.data,
        time=command.time or read_with.get("time"),
        features=command.features or read_with.get("features"),
        weight=command.weight or read_with.get("weight"),
    )
    options: dict[str, Any] = {
        "mode": command.mode,
        "draws": command.draws,
        "substeps": command.substeps,
        "seed": command.seed,
    }
    table: Callable[[dict[str, Any]], str] = score_table
    if command.leave_out is not None or command.extrapolate is not None:
        table = holdout_table
        options["progress"] = not command.json
    if command.leave_out is not None:
        scores = leave_out(result, data, _times(command.leave_out), **options)
    elif command.extrapolate is not None:
        scores = extrapolate(result, data, command.extrapolate, **options)
    elif command.bands:
        options["draws"] = max(command.draws, _BAND_DRAWS)
        with ExitStack() as files:
            picture = None
            if command.picture is not None:  # fails before the work, not after it
                picture = files.enter_context(write_atomically(command.picture))
            scores, table = predictive_bands(result, data, **options), bands_table
            if picture is not None:
                _draw(scores, picture)
    else:
        scores = evaluate(result, data, **options)
    print(strict_json(scores) if command.json else table(scores))


def _check(picture: Path, bands: bool) -> None:
    from bayesjko.plots.style import PICTURES

    if not bands:
        raise InputError("The option --picture is of --bands; give both.")
    check_ending(picture, PICTURES)


def _draw(bands: dict[str, Any], path: Path) -> None:
    from bayesjko.plots.bands import draw_bands
    from bayesjko.plots.style import save, styled

    with styled():
        save(draw_bands(bands), path)


def _times(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"Cannot read --leave-out {text!r} as times; give numbers separated by commas."
        ) from None


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `python -m bayesjko.evaluate`."""
    return run_command("bayesjko.evaluate", EvaluateCommand, _run, arguments)


if __name__ == "__main__":
    sys.exit(main())
