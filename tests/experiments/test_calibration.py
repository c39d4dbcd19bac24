"""Ranks that tell a right posterior from a wrong one, and every experiment's smoke."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayesjko import FitSettings
from bayesjko.experiments import EXPERIMENTS
from bayesjko.experiments.__main__ import main
from bayesjko.experiments.calibration.pictures import STROKES
from bayesjko.experiments.calibration.ranks import (
    BINS,
    Closed,
    Regression,
    rank_counts,
    rank_table,
)
from bayesjko.experiments.engine import experiment
from bayesjko.experiments.recovery import Grid, Truth, recover, recovery_table


def uniform_p(case, method):
    counts = rank_counts(case, method, 0)
    table = rank_table(pd.DataFrame([{"case": "c", "method": "m", **counts}]))
    bins = table[[f"bin{b}" for b in range(BINS)]].to_numpy()
    assert np.all(bins.sum(axis=1) == case.repeats)
    return table["uniform_p"].iloc[0]


def test_ranks_of_the_posterior_are_uniform():
    assert uniform_p(Regression(repeats=200), Closed()) > 0.01


@pytest.mark.parametrize("widening", [0.5, 2.0])
def test_ranks_detect_a_wrong_spread(widening):
    assert uniform_p(Regression(repeats=100), Closed(widening)) < 1e-4


def test_ranks_detect_a_shifted_mean(monkeypatch):
    from bayesjko.experiments.calibration import ranks

    right = ranks._posterior_draws
    monkeypatch.setattr(ranks, "_posterior_draws", lambda *args: right(*args) + 0.5)
    assert uniform_p(Regression(repeats=100), Closed()) < 1e-4


def test_the_same_replicate_gives_the_same_ranks():
    case = Regression(repeats=3)
    assert rank_counts(case, Closed(), 5) == rank_counts(case, Closed(), 5)
    assert rank_counts(case, Closed(), 5) != rank_counts(case, Closed(), 6)


def test_the_table_means_over_replicates_and_leaves_failures_out():
    rows = [
        {"cover_90": 0.8, "error": 0.1, "p_value": 0.01, "seconds": 1.0},
        {"cover_90": 1.0, "error": 0.3, "p_value": 0.2, "seconds": 3.0},
        {"failure": "ValueError: no"},
    ]
    cells = pd.DataFrame([{"case": "c", "method": "m", **row} for row in rows])
    (found,) = recovery_table(cells).to_dict("records")
    assert (found["replicates"], found["failed"]) == (2, 1)
    assert found["cover_90"] == pytest.approx(0.9)
    assert found["cover_90_se"] == pytest.approx(0.1)
    assert found["error"] == pytest.approx(0.2)
    assert found["rejected"] == pytest.approx(0.5)
    assert found["seconds"] == pytest.approx(2.0)
    assert np.isnan(found["beta"])


def test_a_grid_has_its_corners():
    points = Grid((-1.3, -0.8), (1.3, 0.8), (12, 8)).points()
    assert points.shape == (96, 2)
    assert {tuple(p) for p in points} >= {(-1.3, -0.8), (1.3, 0.8), (-1.3, 0.8), (1.3, -0.8)}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_specifications_name_real_settings_and_no_cell_twice(name):
    found = experiment(name)
    for studies in (found.studies, found.smoke):
        cells = [(c.case, c.method, c.replicate) for study in studies for c in study.cells()]
        assert len(cells) == len(set(cells))
    for study in found.studies:
        for case in study.cases.values():
            if isinstance(case, Truth):
                for method in study.methods.values():
                    FitSettings(**{**case.settings, **method})


def test_every_method_of_calibration_has_its_stroke():
    drawn = {tuple(sorted(stroke.items())) for stroke in STROKES.values()}
    assert len(drawn) == len(STROKES)
    measured = [s for s in experiment("calibration").studies if s.measure is recover]
    assert {name for study in measured for name in study.methods} == set(STROKES)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_smoke(name, tmp_path, capsys):
    code = main(
        ["run", name, "--smoke", "--replicates", "1", "--jobs", "1", "--out", str(tmp_path)]
    )  # which needs no data
    told = capsys.readouterr()
    assert code == 0, told.out
    folder = tmp_path / f"{name}-smoke"
    metrics = pd.read_csv(folder / "metrics.csv")
    expected = {
        (case, method)
        for study in experiment(name).smoke
        for case in study.cases
        for method in study.methods
    }
    # cells of another kind than most are told in a table of their own
    tables = [pd.read_csv(path, dtype=str) for path in folder.glob("*.csv")]
    told_of = [table for table in tables if {"case", "method"} <= set(table)]
    rows = {pair for t in told_of for pair in zip(t["case"], t["method"], strict=True)}
    if told_of:  # but where cases are called by what they are
        assert rows >= expected
    if "cover_90" in metrics:
        assert metrics["cover_90"].between(0.0, 1.0).all()
    if "cover_50" in metrics:
        assert (metrics["cover_50"] <= metrics["cover_95"]).all()
    if "failed" in metrics:
        assert (metrics["failed"] == 0).all()
    pictures = sorted(path.name for path in (folder / "figures").glob("*.png"))
    page = (folder / "README.md").read_text("utf-8")
    assert pictures
    assert all(f"figures/{picture}" in page for picture in pictures)
    assert f"run {name} --smoke --replicates 1" in page
