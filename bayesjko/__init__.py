"""Bayesian inference of the energy that drives a population, learned from snapshots."""

from bayesjko.annotate import annotate
from bayesjko.barrier import Barrier, barrier
from bayesjko.compare import Comparison, compare
from bayesjko.conditions import SharedEnergy, share_energy
from bayesjko.demos import demo
from bayesjko.design import Design, expected_information
from bayesjko.energy import energy_at
from bayesjko.evaluate import evaluate
from bayesjko.evaluate.bands import predictive_bands
from bayesjko.evaluate.holdout import extrapolate, leave_out
from bayesjko.fates import Fates, fate_probabilities
from bayesjko.fit import fit
from bayesjko.forecast import Forecast, forecast
from bayesjko.models.data import Snapshots
from bayesjko.models.errors import InputError, SnapshotError
from bayesjko.readers import read_snapshots, write_snapshots
from bayesjko.report import report, write_report
from bayesjko.result import Result, load_result
from bayesjko.selection import Selection, select
from bayesjko.settings import FitSettings
from bayesjko.simulate import simulate

__all__ = [
    "Barrier",
    "Comparison",
    "Design",
    "Fates",
    "FitSettings",
    "Forecast",
    "InputError",
    "Result",
    "Selection",
    "SharedEnergy",
    "SnapshotError",
    "Snapshots",
    "annotate",
    "barrier",
    "compare",
    "demo",
    "energy_at",
    "evaluate",
    "expected_information",
    "extrapolate",
    "fate_probabilities",
    "fit",
    "forecast",
    "leave_out",
    "load_result",
    "predictive_bands",
    "read_snapshots",
    "report",
    "select",
    "share_energy",
    "simulate",
    "write_report",
    "write_snapshots",
]
