"""The engine: goes on where it was stopped, survives what a cell does, and says what it did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr

from bayesjko.experiments import EXPERIMENTS
from bayesjko.experiments.__main__ import main
from bayesjko.experiments.engine import run
from bayesjko.experiments.ledger import Ledger
from bayesjko.experiments.specification import Experiment, Report, Study
from bayesjko.experiments.workers import measured, one_thread
from bayesjko.models.errors import InputError

calls: list[tuple[int, int, int]] = []


def measure(case, method, replicate):
    calls.append((case, method, replicate))
    if case == 13:
        raise ZeroDivisionError("thirteen of them")
    return {"value": 100 * case + 10 * method + replicate}


def report(cells):
    whole = cells[cells["failure"].isna()]
    table = whole.groupby(["case", "method"], sort=False)["value"].agg(["mean", "count"])
    return Report({"metrics": table.reset_index()}, lambda folder: None)


def toy(cases=(1, 2), replicates=3, measure=measure):
    study = Study({f"c{c}": c for c in cases}, {"m1": 1, "m2": 2}, replicates, measure)
    return Experiment("Does it count?", (study,), (replace(study, replicates=1),), report)


def start(experiment, folder, **changes):
    calls.clear()
    return run("toy", experiment, folder, command="try it", **changes)


def test_the_page_says_at_which_commits_its_cells_were_measured(tmp_path, monkeypatch):
    page = tmp_path / "README.md"
    for number, commit in enumerate(("aaa", "bbb"), start=1):
        monkeypatch.setattr("bayesjko.experiments.engine.commit", lambda commit=commit: commit)
        start(toy(replicates=number), tmp_path)
        told = "commit aaa." if number == 1 else "commits aaa (4 cells), bbb (4 cells)."
        assert told in page.read_text("utf-8")


def test_every_cell_is_measured_once_and_reported(tmp_path):
    outcome = start(toy(), tmp_path)
    assert (outcome.measured, outcome.kept, outcome.failed) == (12, 0, 0)
    assert len(calls) == len(set(calls)) == 12
    assert [replicate for *_, replicate in calls] == [0] * 4 + [1] * 4 + [2] * 4
    metrics = pd.read_csv(tmp_path / "metrics.csv")
    assert list(metrics["mean"]) == [111, 121, 211, 221]
    assert "Does it count?" in (tmp_path / "README.md").read_text("utf-8")


def test_every_cell_is_in_the_netcdf_file(tmp_path):
    start(toy(cases=(2, 13, 1)), tmp_path)
    with xr.open_dataset(tmp_path / "cells.nc", engine="h5netcdf") as found:
        assert found["value"].dims == ("case", "approach", "replicate")
        assert list(found["case"].values) == ["c2", "c13", "c1"]
        assert found["value"].sel(case="c2", approach="m1").values.tolist() == [210, 211, 212]
        assert "thirteen of them" in str(found["failure"].sel(case="c13").values[0, 0])
        assert found["failure"].sel(case="c1").values.tolist() == [[""] * 3] * 2
        assert (found.attrs["question"], found.attrs["command"]) == ("Does it count?", "try it")


def test_a_run_that_was_killed_goes_on(tmp_path):
    start(toy(), tmp_path)
    kept = (tmp_path / "cells.ndjson").read_bytes().splitlines(keepends=True)[:5]
    (tmp_path / "cells.ndjson").write_bytes(b"".join(kept) + b'{"case": "c1", "meth')
    outcome = start(toy(), tmp_path)
    assert (outcome.measured, outcome.kept) == (7, 5)
    done = [json.loads(line) for line in kept]
    assert not {(row["case"], row["method"], row["replicate"]) for row in done} & {
        (f"c{case}", f"m{method}", replicate) for case, method, replicate in calls
    }
    assert list(outcome.metrics["count"]) == [3, 3, 3, 3]
    assert start(toy(), tmp_path).measured == 0


def test_more_replicates_add_to_those_there(tmp_path):
    start(toy(), tmp_path)
    outcome = start(toy(), tmp_path, replicates=5)
    assert (outcome.measured, outcome.kept) == (8, 12)
    assert list(outcome.metrics["count"]) == [5, 5, 5, 5]


def test_a_case_that_changed_is_measured_anew(tmp_path):
    start(toy(), tmp_path)
    experiment = toy()
    changed = replace(experiment.studies[0], cases={"c1": 1, "c2": 7})
    outcome = start(replace(experiment, studies=(changed,)), tmp_path)
    assert (outcome.measured, outcome.kept) == (6, 6)
    assert list(outcome.metrics["mean"]) == [111, 121, 711, 721]


def test_a_failure_is_recorded_stops_nothing_and_is_tried_again(tmp_path):
    outcome = start(toy((1, 13, 2)), tmp_path)
    assert (outcome.measured, outcome.failed) == (18, 6)
    assert list(outcome.metrics["count"]) == [3, 3, 3, 3]
    assert "ZeroDivisionError: thirteen of them" in (tmp_path / "README.md").read_text("utf-8")
    assert start(toy((1, 13, 2)), tmp_path).measured == 6


def test_only_what_matches_is_measured(tmp_path):
    assert start(toy(), tmp_path, only=("c2/*", "*/m1")).measured == 9
    with pytest.raises(InputError, match="matches"):
        start(toy(), tmp_path, only=("c3/*",))


def test_numbers_that_are_not_finite_are_null(tmp_path):
    ledger = Ledger(tmp_path / "cells.ndjson")
    ledger.append({"a": float("nan"), "b": 1.5, "c": float("inf")})
    assert ledger.rows() == [{"a": None, "b": 1.5, "c": None}]


TOY = """
import os, time

def threads(case, method, replicate):
    if case == "dies" and replicate == 0:
        os._exit(1)
    if case == "slow" and replicate > 2:
        time.sleep(600)
    return {"threads": int(os.environ["OMP_NUM_THREADS"]), "process": os.getpid()}
"""


@pytest.fixture
def toy_module(tmp_path, monkeypatch):
    """A measurement that processes of their own can import."""
    (tmp_path / "toy_measurement.py").write_text(TOY, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import toy_measurement

    yield toy_measurement
    del sys.modules["toy_measurement"]


def test_workers_have_one_thread_and_may_die(toy_module):
    study = Study({"lives": "lives", "dies": "dies"}, {"m": 0}, 3, toy_module.threads)
    before = dict(os.environ)
    rows = list(measured([(study, cell) for cell in study.cells()], jobs=2))
    assert os.environ == before
    failed = [row for row in rows if "failure" in row]
    assert len(rows) == 6
    assert 1 <= len(failed) <= 2  # the one that dies, and what ran beside it
    assert ("dies", 0) in {(row["case"], row["replicate"]) for row in failed}
    whole = [row for row in rows if "failure" not in row]
    assert {row["threads"] for row in whole} == {1}
    assert os.getpid() not in {row["process"] for row in whole}


def test_one_thread_keeps_other_flags(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_something")
    with one_thread():
        assert os.environ["XLA_FLAGS"].startswith("--xla_something --xla")
    assert os.environ["XLA_FLAGS"] == "--xla_something"


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import toy_measurement
from bayesjko.experiments.engine import run
from bayesjko.experiments.specification import Experiment, Report, Study

if __name__ == "__main__":
    study = Study({"slow": "slow"}, {"m": 0}, 6, toy_measurement.threads)
    report = lambda cells: Report({"metrics": cells}, lambda folder: None)
    run("toy", Experiment("?", (study,), (study,), report), Path(sys.argv[1]), command="", jobs=2)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_run_leaves_its_cells_and_no_process(tmp_path, toy_module):
    script, folder = tmp_path / "script.py", tmp_path / "toy"
    script.write_text(SCRIPT, "utf-8")
    house = str(Path(__file__).parents[2])
    command = [sys.executable, str(script), str(folder), str(tmp_path), house]
    parent = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    ledger = folder / "cells.ndjson"
    try:
        _wait_for(lambda: ledger.exists() and ledger.read_bytes().count(b"\n") >= 3)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    rows = Ledger(ledger).rows()
    assert [row["replicate"] for row in sorted(rows, key=lambda r: r["replicate"])] == [0, 1, 2]
    for process in {int(row["process"]) for row in rows}:
        _wait_for(lambda process=process: not _alive(process))


def _wait_for(happened, seconds=60.0):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def _alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not (stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_the_command_lists_and_refuses(tmp_path, capsys):
    assert main(["list"]) == 0
    told = capsys.readouterr().out
    assert all(f"{name}: " in told for name in EXPERIMENTS)
    assert main(["run", "nonsense", "--out", str(tmp_path)]) == 2
    assert "There is no experiment 'nonsense'" in capsys.readouterr().err
    assert main(["run", "interval", "--jobs", "0", "--out", str(tmp_path)]) == 2
    assert "--jobs is 0" in capsys.readouterr().err
    (tmp_path / "file").write_text("", "utf-8")
    assert main(["run", "interval", "--smoke", "--jobs", "1", "--out", str(tmp_path / "file")]) == 2
    assert "Cannot make" in capsys.readouterr().err
