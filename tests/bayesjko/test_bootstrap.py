"""The bootstrap as a user meets it: stopped in the middle, gone on with, and refused."""

import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from bayesjko import FitSettings, InputError, fit, load_result, simulate
from bayesjko.fit.__main__ import main
from bayesjko.inference import bootstrap
from bayesjko.readers import write_snapshots

DATA = simulate("styblinski_tang", beta=0.2, particles=60, snapshots=3, seed=1)
SETTINGS = FitSettings(
    likelihood="residual",
    covariance="bootstrap",
    potential="poly:2",
    internal=False,
    bootstraps=24,
    seed=2,
)
COMMAND = ["--covariance", "bootstrap", "--potential", "poly:2", "--no-internal"]
COMMAND += ["--bootstraps", "24", "--seed", "2", "--jobs", "1"]


@pytest.fixture(scope="module")
def whole():
    return fit(DATA, SETTINGS, jobs=1)


@pytest.fixture
def data(tmp_path):
    write_snapshots(DATA, tmp_path / "snaps.nc")
    return str(tmp_path / "snaps.nc")


def test_draws_of_the_bootstrap_make_a_result(whole, tmp_path):
    assert whole.posterior.uncertainty == "bootstrap"
    assert len(whole.posterior.draws) == 24
    whole.save(tmp_path / "result.nc")
    again = load_result(tmp_path / "result.nc")
    np.testing.assert_array_equal(again.posterior.coefficients, whole.posterior.coefficients)
    assert again.settings["covariance"] == "bootstrap"
    assert again.settings["bootstraps"] == 24


def test_auto_takes_the_likelihood_that_has_couplings(whole):
    found = fit(DATA, replace(SETTINGS, likelihood="auto"), jobs=1)
    assert found.settings["likelihood"] == "residual"
    np.testing.assert_array_equal(found.posterior.coefficients, whole.posterior.coefficients)


class Stopped:
    """A user who stops the run after so many estimates."""

    def __init__(self, after):
        self.after, self.real = after, bootstrap._Again.__call__

    def __call__(self, again, index):
        if index == self.after:
            raise KeyboardInterrupt
        return self.real(again, index)


def test_the_command_goes_on_to_the_same_bits(data, tmp_path, monkeypatch, capsys, whole):
    out, kept = tmp_path / "result.nc", tmp_path / "result.nc.checkpoint"
    command = [data, *COMMAND, "--out", str(out), "--quiet"]
    with monkeypatch.context() as patch:
        stopped = Stopped(after=19)
        patch.setattr(bootstrap._Again, "__call__", lambda again, i: stopped(again, i))
        assert main(command) == 130
        assert f"kept in '{kept}'" in capsys.readouterr().err
    assert sorted(path.name for path in kept.glob("*.npz")) == ["000000.npz", "000001.npz"]
    assert not out.exists()

    assert main(command) == 2  # not passed over in silence
    assert "--resume" in capsys.readouterr().err
    assert main([*command, "--resume", "--seed", "3"]) == 2
    assert "its seed is 2 and this one's 3" in capsys.readouterr().err
    assert len(list(kept.glob("*.npz"))) == 2

    assert main([*command, "--resume"]) == 0
    assert not kept.exists()
    found = load_result(out).posterior
    np.testing.assert_array_equal(found.coefficients, whole.posterior.coefficients)
    np.testing.assert_array_equal(found.covariance, whole.posterior.covariance)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_run_goes_on_to_the_same_bits(data, tmp_path, whole):
    out, kept = tmp_path / "result.nc", tmp_path / "result.nc.checkpoint"
    command = [data, *COMMAND, "--out", str(out), "--quiet"]
    # estimates that take a while, so that the kill comes between two blocks
    slow = (
        "import sys, time; from bayesjko.inference import bootstrap as b; "
        "from bayesjko.fit.__main__ import main; real = b._Again.__call__; "
        "b._Again.__call__ = lambda again, i: time.sleep(0.1 if i < 10 else 60) or real(again, i); "
        "sys.exit(main(sys.argv[1:]))"
    )
    run = subprocess.Popen([sys.executable, "-c", slow, *command])
    try:
        end = time.monotonic() + 120
        while not (kept / "000000.npz").exists():
            assert run.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert not out.exists()
    assert main([*command, "--resume"]) == 0
    np.testing.assert_array_equal(
        load_result(out).posterior.coefficients, whole.posterior.coefficients
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--likelihood", "weak"], "the weak likelihood has none"),
        (["--likelihood", "flow"], "the flow likelihood has none"),
        (["--bootstraps", "1"], "give at least 2"),
        (["--jobs", "0"], "--jobs is 0"),
        (["--resume"], "give --out"),
    ],
)
def test_the_command_refuses_in_one_sentence(options, said, data, tmp_path, capsys):
    assert main([data, *COMMAND, *options]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.count("\n") == 1
    assert said in written.err
    assert [path.name for path in tmp_path.iterdir()] == ["snaps.nc"]


def test_python_refuses_it_too():
    with pytest.raises(InputError, match="the weak likelihood has none"):
        fit(DATA, SETTINGS, likelihood="weak")
