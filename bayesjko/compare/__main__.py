"""Command line of `python -m bayesjko.compare`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bayesjko.command import run_command, strict_json
from bayesjko.compare import compare, comparison_table
from bayesjko.models.errors import InputError
from bayesjko.result import load_result

__all__ = ["main"]


@dataclass(frozen=True)
class CompareCommand:
    """Compare fits of the same snapshots."""

    results: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Result files of fits."""
    json: bool = False
    """Print one JSON list instead of the table."""


def _run(command: CompareCommand) -> None:
    if len(set(command.results)) < 2:
        raise InputError("Give two or more result files to compare.")
    rows = compare({str(path): load_result(path) for path in command.results})
    print(strict_json([asdict(row) for row in rows]) if command.json else comparison_table(rows))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `python -m bayesjko.compare`."""
    return run_command("bayesjko.compare", CompareCommand, _run, arguments)


if __name__ == "__main__":
    sys.exit(main())
