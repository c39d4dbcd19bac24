"""Cells in files of the user's: found or asked for; scores beside the published ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayesjko.experiments.__main__ import main
from bayesjko.experiments.cells import Cells, cells_report
from bayesjko.experiments.datafiles import FOLDER, DataFile
from bayesjko.experiments.engine import run
from bayesjko.experiments.published import published
from bayesjko.experiments.specification import Experiment, Report, Study
from bayesjko.models.errors import InputError


def test_an_experiment_without_its_data_says_where_to_get_them(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(FOLDER, raising=False)
    command = ["run", "embryoid", "--jobs", "1", "--out", str(tmp_path)]
    assert main(command) == 2
    told = capsys.readouterr().err
    assert "eb_pca5.npz is needed" in told
    assert "Mendeley" in told
    assert "--data FOLDER" in told
    monkeypatch.setenv(FOLDER, "elsewhere")  # so that what main sets is undone
    assert main([*command, "--data", str(tmp_path)]) == 2
    assert f"eb_pca5.npz is not in '{tmp_path}'" in capsys.readouterr().err
    assert not (tmp_path / "embryoid").exists()


def count_cells(case, method, replicate):
    return {"cells": sum(case.snapshots(replicate).counts)}


def test_cells_are_read_from_the_folder_and_the_page_says_which(tmp_path, monkeypatch):
    rows = ["samples,x1,x2"] + [f"{i % 2},{i},{i * i}" for i in range(8)]
    (tmp_path / "tiny.csv").write_text("\n".join(rows), "utf-8")
    monkeypatch.setenv(FOLDER, str(tmp_path))
    file = DataFile("tiny.csv", "made here")
    study = Study({"c": Cells(file, {"time": "samples"})}, {"m": 0}, 1, count_cells)
    tiny = Experiment(
        "?", (study,), (study,), lambda cells: Report({"metrics": cells}, lambda _: None), (file,)
    )
    outcome = run("tiny", tiny, tmp_path / "out", command="try it")
    assert outcome.metrics["cells"].tolist() == [8]
    assert f"tiny.csv, SHA-256 {file.digest()}" in (tmp_path / "out/README.md").read_text("utf-8")
    (tmp_path / "tiny.csv").unlink()
    with pytest.raises(InputError, match="made here"):
        run("tiny", tiny, tmp_path / "out", command="try it")


def test_scores_stand_beside_the_published_ones():
    one = {"case": "one step", "method": "piecewise"}
    two = {"case": "without 1 and 3", "method": "piecewise", "replicate": 0}
    cells = pd.DataFrame(
        [
            {**one, "replicate": 0, "w1": 0.5, "seconds": 1.0},
            {**one, "replicate": 1, "w1": 0.6, "seconds": 1.0},
            {**two, "w2": 0.8, "w2@1": 0.7, "w2@3": 0.9, "seconds": 1.0},
        ]
    )
    tables = cells_report(cells, published("embryoid")).tables
    metrics = tables["metrics"].set_index("case")
    assert metrics.loc["one step", "w1"] == pytest.approx(0.55)
    assert metrics.loc["one step", "w1_se"] == pytest.approx(0.05)
    beside = tables["published"].set_index(["setting", "case"])
    first = beside.loc[("one step", "mean")]
    assert first["method"].tolist()[:2] == ["ours, piecewise", "JKOnet*"]
    assert np.all(np.diff(first["value"]) >= 0)
    assert beside.loc[("without 1 and 3", "time 1")]["value"].tolist()[0] == pytest.approx(0.7)
    assert set(beside.loc[("without 1 and 3", "mean")]["method"]) == {"ours, piecewise", "OTP-FM"}


def test_a_case_in_which_every_fit_failed_is_told_and_has_no_picture(tmp_path):
    found = {"method": "flow", "replicate": 0, "seconds": 1.0}
    cells = pd.DataFrame(
        [
            {**found, "case": "without 1", "w1": 0.5, "failure": None},
            {**found, "case": "without 2", "failure": "UnsettledError: none found"},
        ]
    )
    report = cells_report(cells, None)
    assert report.tables["metrics"]["failed"].tolist() == [0, 1]
    report.draw(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["without_1.png"]


@pytest.mark.parametrize("name", ["embryoid", "potentials"])
def test_published_figures_have_their_source(name):
    table = published(name)
    assert table.notna().all(axis=None)
    assert (table["value"] >= 0.0).all()
    assert not table.duplicated(["method", "setting", "case", "measure"]).any()
