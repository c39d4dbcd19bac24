"""The five commands end to end: one population from its simulation to its score, and mistakes."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayesjko import load_result, read_snapshots, write_snapshots

COMMANDS = ("simulate", "fit", "forecast", "evaluate", "energy")
SIMULATED = ["--potential", "quadratic", "--beta", "0.2", "--start", "normal", "--particles", "60"]
FITTED = ["--potential", "poly:2", "--likelihood", "residual", "--draws", "40"]


def call(name, *arguments):
    """Exit code of a command run in this process."""
    module = importlib.import_module(f"bayesjko.{name}.__main__")
    return module.main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a user has after the first four commands, the held-out particles in a file too."""
    place = tmp_path_factory.mktemp("commands")
    snaps, result = place / "snaps.nc", place / "result.nc"
    assert call("simulate", *SIMULATED, "--snapshots", 3, "--tau", 0.2, "--out", snaps) == 0
    held_out = ("--holdout", 0.4, "--seed", 3, "--out", result, "--plots", place / "figures")
    assert call("fit", snaps, *FITTED, *held_out) == 0
    assert call("forecast", result, "--horizon", 0.3, "--out", place / "forecast.nc") == 0
    pd.DataFrame({"x2": [0.0, 1.0], "label": ["a", "b"], "x1": [1.0, -1.0]}).to_csv(
        place / "points.csv", index=False
    )
    for ending in (".csv", ".nc"):
        out = place / f"energy{ending}"
        assert call("energy", result, "--at", place / "points.csv", "--out", out) == 0
    _, test = read_snapshots(snaps).split(0.4, 3)
    write_snapshots(test, place / "test.npz")
    return place


def test_the_files_fit_together(folder):
    result = load_result(folder / "result.nc")
    assert result.snapshots.counts == (36, 36, 36)
    with xr.open_dataset(folder / "forecast.nc", engine="h5netcdf") as found:
        assert dict(found.sizes) == {"draw": 40, "time": 3, "particle": 36, "feature": 2}
        np.testing.assert_allclose(found["time"], [0.4, 0.6, 0.7])
        start = np.broadcast_to(result.snapshots.particles[-1], (40, 36, 2))
        np.testing.assert_allclose(found["trajectories"].isel(time=0), start, atol=1e-12)
    table = pd.read_csv(folder / "energy.csv")
    np.testing.assert_array_equal(table[["x1", "x2"]], [[1.0, 0.0], [-1.0, 1.0]])
    drift = result.drift(table[["x1", "x2"]].to_numpy())
    np.testing.assert_allclose(table[["drift_x1", "drift_x2"]], drift.mean(axis=0), rtol=1e-9)
    assert np.all(table["drift_x1_low"] < table["drift_x1"])
    assert np.all(table["drift_x1"] < table["drift_x1_high"])
    with xr.open_dataset(folder / "energy.nc", engine="h5netcdf") as found:
        pd.testing.assert_frame_equal(found.to_dataframe(), table, check_names=False)
    pictures = sorted(path.name for path in (folder / "figures").iterdir())
    assert {"landscape.png", "clouds.png", "scores.png"} <= set(pictures)
    assert all(name.endswith(".png") for name in pictures)


def test_evaluate_gives_the_scores_that_the_fit_gave(folder, capsys):
    """The same particles held out, the same seed: the same numbers, by either way."""
    assert call("evaluate", folder / "result.nc", folder / "test.npz", "--seed", 3, "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    fitted = load_result(folder / "result.nc").scores
    assert scores.keys() == fitted.keys()
    for ours, theirs in zip(scores["intervals"], fitted["intervals"], strict=True):
        # only the fit's own snapshots know the truth
        blind = {name: value for name, value in theirs.items() if "l2_uvp" not in name}
        assert ours == pytest.approx(blind, rel=1e-9)
        assert len(theirs) > len(blind)
        assert {"time", "w1", "w1_low", "w1_high", "w2", "persistence_w1", "floor_w1"} <= set(ours)
        assert 0.0 < ours["w1_low"] <= ours["w1_high"]
        assert 0.0 < ours["w1"] <= ours["w2"]
    assert scores["w1_mean"] == pytest.approx(np.mean([r["w1"] for r in scores["intervals"]]))
    assert call("evaluate", folder / "result.nc", folder / "test.npz", "--seed", 3) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["time", "0.2", "0.4", "mean"]
    assert float(lines[-1].split()[1]) == pytest.approx(scores["w1_mean"], rel=1e-3)


def test_fit_prints_for_people_for_programs_or_not_at_all(folder, capsys):
    data = (folder / "snaps.nc", *FITTED, "--holdout", 0.4, "--seed", 3)
    assert call("fit", *data) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for words in ("Data: 3 snapshots", "Energy: potential poly:2 (5)", "β: ", "Truth: β = 0.2"):
        assert words in shown.out
    assert call("fit", *data, "--json") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    found = json.loads(shown.out)
    assert found["holdout"] == load_result(folder / "result.nc").scores
    assert found["settings"]["seed"] == 3
    assert call("fit", *data, "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_fitting_again_gives_the_same_file(folder, tmp_path):
    out = tmp_path / "again.nc"
    again = ("--holdout", 0.4, "--seed", 3, "--out", out, "--quiet")
    assert call("fit", folder / "snaps.nc", *FITTED, *again) == 0
    ours, theirs = load_result(out).posterior, load_result(folder / "result.nc").posterior
    np.testing.assert_array_equal(ours.coefficients, theirs.coefficients)


@pytest.fixture(scope="module")
def wrong(folder):
    """Files with something wrong beside the good ones; nothing else is written here from now on."""
    whole = (folder / "result.nc").read_bytes()
    (folder / "cut.nc").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.nc").write_bytes(b"")
    (folder / "text.nc").write_text("no netCDF")
    (folder / "half.csv").write_text("x1\n0\n1\n")
    (folder / "words.csv").write_text("x1,x2\n0,much\n")
    (folder / "none.csv").write_text("x1,x2\n")
    (folder / "other.csv").write_text("t,y1,y2\n0,0,1\n0,1,0\n1,2,1\n1,0,3\n")
    (folder / "folder.nc").mkdir()
    (folder / "still.csv").write_text("t,x1,x2\n0,0,1\n0,1,0\n1,0,1\n1,1,0\n")
    (folder / "far.csv").write_text("t,x1\n0,0\n0,1e200\n1,0\n1,1\n")
    (folder / "near.csv").write_text("t,x1\n0,0\n0,1e-200\n1,0\n1,0\n")
    (folder / "soon.csv").write_text("t,x1\n0,0\n0,1\n1e-20,0\n1e-20,2\n1,0\n1,1\n")
    (folder / "one.csv").write_text("t,x1,x2\n0,0,1\n0,1,0\n")
    return folder


MISTAKES = [
    ("simulate", "--out s.foo", "its ending must be one of .nc"),
    ("simulate", "--out no/s.nc", "there is no directory 'no'"),
    ("simulate", "--out s.nc --potential hill", "There is no potential 'hill'"),
    ("simulate", "--out s.nc --particles 1", "particles is 1"),
    ("simulate", "--out s.nc --seed 18446744073709551616", "The seed is 18446744073709551616"),
    ("simulate", "--out s.nc --tau -1", "increasing"),
    ("simulate", "--out s.nc --paired --unpaired", "not allowed together"),
    ("simulate", "", "--out"),
    ("fit", "missing.csv --out r.nc", "The file 'missing.csv' does not exist"),
    ("fit", "cut.nc --out r.nc", "Cannot read file 'cut.nc'"),
    ("fit", "empty.nc --out r.nc", "'empty.nc' is empty"),
    ("fit", "result.nc --out r.nc", "no positions in file 'result.nc'"),
    ("fit", "one.csv --out r.nc", "Found 1 snapshot"),
    ("fit", "other.csv --features x1 --out r.nc", "No feature 'x1'"),
    ("fit", "other.csv --time hour --out r.nc", "No time 'hour'"),
    ("fit", "snaps.nc --out no/r.nc", "there is no directory 'no'"),
    ("fit", "snaps.nc --out figures", "its ending must be .nc"),
    ("fit", "snaps.nc --out folder.nc", "it is a directory"),
    ("fit", "snaps.nc --out r.csv", "its ending must be .nc"),
    ("fit", "still.csv --potential poly:1 --out r.nc", "No particle moves"),
    ("fit", "far.csv --out r.nc", "The values of feature 'x1' reach 1e+200"),
    ("fit", "near.csv --out r.nc", "The values of feature 'x1' differ by 1e-200 at most"),
    ("fit", "soon.csv --out r.nc", "at times 0 and 1e-20 are as good as simultaneous"),
    ("fit", "snaps.nc --potential rbf:4:1e-300 --out r.nc", "A feature of the energy is zero"),
    ("fit", "snaps.nc --draws 1000000000000 --out r.nc", "Cannot keep 1000000000000 draws"),
    ("fit", "snaps.nc --draws x --out r.nc", "base 10: 'x'; see bayesjko.fit"),
    ("fit", "snaps.nc --plots one.csv/p --out r.nc", "folder 'one.csv/p': Not a directory"),
    ("fit", "snaps.nc --scheme sideways --out r.nc", "'sideways'"),
    ("fit", "snaps.nc --slowly --out r.nc", "--slowly"),
    ("fit", "snaps.nc --potential spline:3 --out r.nc", "Unknown basis 'spline:3'"),
    ("fit", "snaps.nc --potential none --no-internal --out r.nc", "The energy has no term"),
    ("fit", "snaps.nc --holdout 1.5 --out r.nc", "fraction is 1.5"),
    ("fit", "snaps.nc --holdout 0.99 --out r.nc", "fewer than two particles"),
    ("fit", "snaps.nc --draws 0 --out r.nc", "Cannot keep 0 draws"),
    ("fit", "snaps.nc --prior-scale 0 --out r.nc", "prior scale is 0"),
    ("fit", "snaps.nc --demo double_well --out r.nc", "not both"),
    ("fit", "--demo nowhere --out r.nc", "There is no demo 'nowhere'"),
    ("forecast", "missing.nc --out f.nc", "There is no file missing.nc"),
    ("forecast", "cut.nc --out f.nc", "cut.nc is not a whole result file"),
    ("forecast", "text.nc --out f.nc", "text.nc is not a whole result file"),
    ("forecast", "snaps.nc --out f.nc", "snaps.nc is not a whole result file"),
    ("forecast", "result.nc --out no/f.nc", "there is no directory 'no'"),
    ("forecast", "result.nc --out f.csv", "its ending must be .nc"),
    ("forecast", "result.nc --out f.nc --horizon -1", "The horizon is -1"),
    ("forecast", "result.nc --out f.nc --start 0.3", "No snapshot at time 0.3"),
    ("forecast", "result.nc --out f.nc --start half.csv", "half.csv has no column 'x2'"),
    ("forecast", "result.nc --out f.nc --mode dream", "'dream'"),
    ("forecast", "result.nc", "--out"),
    ("evaluate", "missing.nc test.npz", "There is no file missing.nc"),
    ("evaluate", "cut.nc test.npz", "cut.nc is not a whole result file"),
    ("evaluate", "result.nc missing.npz", "The file 'missing.npz' does not exist"),
    ("evaluate", "result.nc other.csv", "have the features y1, y2 and the fit x1, x2"),
    ("evaluate", "result.nc one.csv", "Found 1 snapshot"),
    ("evaluate", "result.nc test.npz --draws 0", "Cannot score 0 draws"),
    ("evaluate", "result.nc test.npz --mode dream", "'dream'"),
    ("evaluate", "result.nc", "Snapshots to score on"),
    ("energy", "missing.nc --at points.csv --out e.csv", "There is no file missing.nc"),
    ("energy", "cut.nc --at points.csv --out e.csv", "cut.nc is not a whole result file"),
    ("energy", "result.nc --at missing.csv --out e.csv", "There is no file missing.csv"),
    ("energy", "result.nc --at half.csv --out e.csv", "half.csv has no column 'x2'"),
    ("energy", "result.nc --at words.csv --out e.csv", "words.csv has 1 values that are no finite"),
    ("energy", "result.nc --at none.csv --out e.csv", "none.csv has no rows"),
    ("energy", "result.nc --at points.csv --out e.foo", "its ending must be one of .csv"),
    ("energy", "result.nc --at points.csv --out no/e.csv", "there is no directory 'no'"),
    ("energy", "result.nc --at points.csv --out e.csv --level 1.5", "The level is 1.5"),
    ("energy", "result.nc --at points.csv --out e.csv --snapshot 9", "No snapshot at time 9"),
    ("energy", "result.nc --at points.csv", "--out"),
]


def contents(place):
    return {path: path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(("name", "line", "words"), MISTAKES)
def test_mistakes_end_in_one_sentence_and_leave_nothing(
    name, line, words, wrong, capsys, monkeypatch
):
    monkeypatch.chdir(wrong)
    before = contents(wrong)
    assert call(name, *line.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert f"bayesjko.{name}: " in shown.err
    assert words in shown.err
    assert contents(wrong) == before


def test_run_as_modules_they_end_with_their_code_and_no_traceback(tmp_path):
    """As a shell starts them, all at once; all but the first lack what they need."""
    arguments = {"simulate": [*SIMULATED, "--out", "s.npz"]}
    started = {
        name: subprocess.Popen(
            [sys.executable, "-m", f"bayesjko.{name}", *arguments.get(name, [])],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in COMMANDS
    }
    ended = {
        name: (*process.communicate(), process.returncode) for name, process in started.items()
    }
    out, err, code = ended.pop("simulate")
    assert (err, code) == ("", 0)
    assert "Written to s.npz." in out
    for name, (out, err, code) in ended.items():
        assert (out, code) == ("", 2), err
        assert err.startswith(f"bayesjko.{name}: ")
        assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["s.npz"]
    assert read_snapshots(tmp_path / "s.npz").counts == (60,) * 6
