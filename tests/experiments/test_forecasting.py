"""The three scripts run on small data and say something that is true."""

import ast
from pathlib import Path

import numpy as np
import pytest

import bayesjko.experiments.forecasting as folder
from bayesjko.experiments.forecasting import cell_fate, next_sampling_time, time_to_threshold

SCRIPTS = sorted(Path(folder.__file__).parent.glob("[a-z]*.py"))


def test_there_are_three():
    names = ["cell_fate.py", "next_sampling_time.py", "time_to_threshold.py"]
    assert [script.name for script in SCRIPTS] == names


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_they_import_only_the_package(script):
    tree = ast.parse(script.read_text())
    imported = [
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert set(imported) <= {"__future__", "numpy", "bayesjko"}
    assert len(script.read_text().splitlines()) < 70


def test_cells_end_on_their_own_side(capsys):
    found = cell_fate.main(particles=150, draws=8, copies=5)
    right = found["mean"][:, 1]
    assert right[0] < 0.3 < 0.7 < right[-1]
    assert np.all((found["low"] <= found["mean"]) & (found["mean"] <= found["high"]))
    assert "90% interval" in capsys.readouterr().out


def test_the_threshold_is_reached_later_than_it_starts(capsys):
    times = time_to_threshold.main(particles=150, draws=8, horizon=0.5)
    assert times.shape == (8,)
    assert np.all(times > 0.4)
    assert "draws reach" in capsys.readouterr().out


def test_a_curve_crosses_on_the_straight_line():
    times = np.array([0.0, 1.0, 3.0])
    share = time_to_threshold.SHARE
    assert time_to_threshold.crossing(times, np.array([0.0, share - 0.2, share + 0.2])) == 2.0
    assert time_to_threshold.crossing(times, np.array([share, 0.0, 0.0])) == 0.0
    assert time_to_threshold.crossing(times, np.zeros(3)) == np.inf


def test_a_snapshot_makes_the_forecast_surer(capsys):
    design = next_sampling_time.main(particles=600, draws=24)
    assert np.all(design.after <= design.before)
    assert design.after.min() < 0.9 * design.before.max()
    assert design.best in design.times
    assert "Best for this forecast" in capsys.readouterr().out
