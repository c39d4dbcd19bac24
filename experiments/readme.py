"""The page that stands beside an experiment's results: how they came about, and what they are."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd

from bayesjko.experiments.specification import Experiment, Report
from bayesjko.experiments.tables import markdown

__all__ = ["Run", "commit", "readme"]

_VERSIONS = ("bayesjko", "jax", "jaxlib", "numpy", "scipy", "equinox", "POT", "scikit-learn")


@dataclass(frozen=True)
class Run:
    """The run that wrote the page.

    Attributes:
        name: of the experiment.
        command: that started it.
        jobs: processes.
        seconds: it took.
        measured: how many cells it measured itself; earlier runs left the others.
        commit: of the checkout it ran from.
        files: the data it read, by name, with their SHA-256.
    """

    name: str
    command: str
    jobs: int
    seconds: float
    measured: int
    commit: str
    files: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def provenance(self) -> Mapping[str, str]:
        """What command made the results, of what, and where."""
        return {
            "command": self.command,
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python "
            f"{platform.python_version()}",
            "versions": ", ".join(f"{name} {_version(name)}" for name in _VERSIONS),
            "commit": self.commit,
            "data": "; ".join(f"{name}, SHA-256 {digest}" for name, digest in self.files.items()),
        }


def readme(
    experiment: Experiment, run: Run, cells: pd.DataFrame, report: Report, folder: Path
) -> str:
    """The page in Markdown."""
    failed = cells[cells["failure"].notna()]
    told = run.provenance
    lines = [
        f"# {run.name}",
        "",
        experiment.question,
        "",
        f"- Command: `{run.command}`",
        f"- Finished: {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC; the last run measured "
        f"{run.measured} cells in {_duration(run.seconds)} with {run.jobs} process(es).",
        f"- Cells: {len(cells)}, of which {len(failed)} failed; {_duration(_total(cells))} of "
        "processor time in all.",
        f"- Machine: {told['machine']}.",
        f"- Versions: {told['versions']}; {_commits(cells)}.",
    ]
    lines += [f"- Data: {told['data']}."] if run.files else []
    for stem, table in report.tables.items():
        lines += ["", f"## {stem}.csv", "", *markdown(table)]
    pictures = sorted((folder / "figures").glob("*.png"))
    lines += [line for p in pictures for line in ("", f"![{p.stem}](figures/{p.name})")]
    if len(failed):
        lines += ["", "## Failures", ""]
        lines += [
            f"- {row['case']}/{row['method']}, replicate {row['replicate']}: "
            f"{' '.join(str(row['failure']).split())}"
            for row in failed.to_dict("records")
        ]
    return "\n".join(lines) + "\n"


def _total(cells: pd.DataFrame) -> float:
    return float(cells["cpu_seconds"].sum()) if "cpu_seconds" in cells else 0.0


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"


def _commits(cells: pd.DataFrame) -> str:
    """At which commits cells were measured, and how many at each if there are several."""
    counts = cells["commit"].fillna("unknown").value_counts(sort=False)
    if len(counts) == 1:
        return f"commit {counts.index[0]}"
    return f"commits {', '.join(f'{commit} ({count} cells)' for commit, count in counts.items())}"


def commit() -> str:
    """Of the checkout this runs from; unknown where there is none."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).resolve().parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return told.stdout.strip()
