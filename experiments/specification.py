"""What an experiment is: cases × methods × replicates, a measurement, and a report of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bayesjko.experiments.datafiles import DataFile

__all__ = ["Cell", "Experiment", "Report", "Study"]

Measure = Callable[[Any, Any, int], Mapping[str, float]]
"""Case, method, replicate ↦ named numbers; the replicate is the only source of randomness."""


@dataclass(frozen=True)
class Cell:
    """One measurement.

    Attributes:
        case: name of the case.
        method: name of the method.
        replicate: counted from 0.
        settings: what the two names mean: a cell measured under another meaning is not this one.
    """

    case: str
    method: str
    replicate: int
    settings: str


@dataclass(frozen=True)
class Study:
    """Every case with every method, so many times.

    Attributes:
        cases: by name; frozen values that say all there is to say.
        methods: likewise.
        replicates: of every pair.
        measure: a function of a module, since other processes import it.
    """

    cases: Mapping[str, Any]
    methods: Mapping[str, Any]
    replicates: int
    measure: Measure

    def cells(self) -> Iterator[Cell]:
        """All cells, replicate by replicate, so that an unfinished run is a balanced one."""
        for replicate in range(self.replicates):
            for case, truth in self.cases.items():
                for method, how in self.methods.items():
                    meaning = hashlib.sha256(repr((truth, how)).encode()).hexdigest()[:12]
                    yield Cell(case, method, replicate, meaning)

    def run(self, cell: Cell) -> dict[str, float]:
        """One cell's numbers."""
        numbers = self.measure(self.cases[cell.case], self.methods[cell.method], cell.replicate)
        return {name: float(value) for name, value in numbers.items()}


@dataclass(frozen=True)
class Report:
    """What is told of the cells.

    Attributes:
        tables: by the name of their file; the first is called `metrics`.
        draw: writes pictures into a folder.
    """

    tables: Mapping[str, pd.DataFrame]
    draw: Callable[[Path], None]


@dataclass(frozen=True)
class Experiment:
    """A question and all it takes to answer it.

    Attributes:
        question: one sentence.
        studies: of the full run; no two share both a case's and a method's name.
        smoke: of a run of seconds that shows that everything works.
        report: of the finished cells, one row each, and of those that failed, which have an
            `failure` and no numbers.
        files: data that the full run reads, and the smoke does without.
    """

    question: str
    studies: tuple[Study, ...]
    smoke: tuple[Study, ...]
    report: Callable[[pd.DataFrame], Report]
    files: tuple[DataFile, ...] = ()

    def chosen(self, *, smoke: bool, replicates: int | None) -> tuple[Study, ...]:
        """The studies of a run, with another number of replicates if one is given."""
        studies = self.smoke if smoke else self.studies
        if replicates is None:
            return studies
        return tuple(replace(study, replicates=replicates) for study in studies)
