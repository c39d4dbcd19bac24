"""Command line of `python -m bayesjko.report`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bayesjko.command import check_ending, run_command, write_atomically
from bayesjko.report import report
from bayesjko.result import load_result

__all__ = ["main"]


@dataclass(frozen=True)
class ReportCommand:
    """Write a result as one page (HTML) to read, print and pass on; it needs no network."""

    result: Annotated[Path, tyro.conf.Positional]
    """Result file of a fit."""
    out: Path = Path("report.html")
    """The page to write."""


def _run(command: ReportCommand) -> None:
    check_ending(command.out, [".html", ".htm"])
    result = load_result(command.result)
    with write_atomically(command.out) as temporary:
        temporary.write_text(report(result), encoding="utf-8")
    print(f"Report: {command.out}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of `python -m bayesjko.report`."""
    return run_command("bayesjko.report", ReportCommand, _run, arguments)


if __name__ == "__main__":
    sys.exit(main())
