"""Sampling as a user meets it: by the command and from Python, killed, gone on with, cut short."""

import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from bayesjko import FitSettings, InputError, fit, load_result, simulate
from bayesjko.fit.__main__ import main
from bayesjko.readers import write_snapshots
from bayesjko.summary import summarise

DATA = simulate("styblinski_tang", beta=0.2, particles=60, snapshots=3, seed=1)
SETTINGS = FitSettings(
    likelihood="residual", potential="poly:2", internal=False, method="nuts", draws=20_000, seed=2
)
COMMAND = ["--likelihood", "residual", "--potential", "poly:2", "--no-internal", "--method", "nuts"]
COMMAND += ["--draws", "20000", "--seed", "2", "--jobs", "1"]
BLOCKS = 55  # of warm-up and draws
FIRST = 8  # that hold draws too


@pytest.fixture(scope="module")
def whole():
    return fit(DATA, SETTINGS)


@pytest.fixture
def command(tmp_path):
    write_snapshots(DATA, tmp_path / "snaps.nc")
    return [str(tmp_path / "snaps.nc"), *COMMAND, "--out", str(tmp_path / "result.nc")]


def test_draws_of_a_sampler_make_a_result(whole, tmp_path):
    exact = fit(DATA, SETTINGS, method="conjugate")
    assert whole.posterior.method == "nuts"
    spread = np.sqrt(np.diagonal(exact.posterior.covariance, axis1=1, axis2=2))
    off = (whole.posterior.mean - exact.posterior.mean) / spread
    assert np.abs(off).max() < 0.05
    np.testing.assert_allclose(whole.posterior.draws.std(axis=0), spread, rtol=0.05)
    whole.save(tmp_path / "result.nc")
    again = load_result(tmp_path / "result.nc")
    np.testing.assert_array_equal(again.posterior.coefficients, whole.posterior.coefficients)
    assert again.posterior.complete
    assert not again.posterior.sample_stats["diverging"].any()
    assert "nuts" in summarise(again)


def stopped(command, tmp_path, with_signal):
    """The command, stopped some blocks after its first draws; how many blocks it kept.

    On a busy machine it may be done before anybody looks: then once more.
    """
    folder = tmp_path / "result.nc.checkpoint"
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-m", "bayesjko.fit", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while len(list(folder.glob("*.npz"))) < FIRST and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(with_signal)
        told = process.communicate(timeout=120)
        kept = len(list(folder.glob("*.npz")))
        if FIRST <= kept < BLOCKS and process.returncode != 0:
            return process.returncode, kept, told
        (tmp_path / "result.nc").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
    raise AssertionError("never caught at work")


def test_a_killed_run_goes_on_to_the_same_bits(whole, command, tmp_path, capsys):
    code, kept, _ = stopped(command, tmp_path, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not (tmp_path / "result.nc").exists()
    assert main(command) == 2  # work that is there is not passed over
    assert "--resume" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    again = load_result(tmp_path / "result.nc")
    np.testing.assert_array_equal(again.posterior.coefficients, whole.posterior.coefficients)
    assert not (tmp_path / "result.nc.checkpoint").exists()


def test_an_interrupted_run_leaves_a_valid_part_and_goes_on(whole, command, tmp_path):
    code, kept, (out, _) = stopped(command, tmp_path, signal.SIGINT)
    assert code == 130
    part = load_result(tmp_path / "result.nc")
    assert not part.posterior.complete
    draws = part.posterior.coefficients
    assert 100 <= draws.shape[1] < 5000
    np.testing.assert_array_equal(draws, whole.posterior.coefficients[:, : draws.shape[1]])
    assert "Interrupted" in out
    assert main([*command, "--resume", "--quiet"]) == 0
    again = load_result(tmp_path / "result.nc")
    assert again.posterior.complete
    np.testing.assert_array_equal(again.posterior.coefficients, whole.posterior.coefficients)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "conjugate", "prior": "horseshoe"}, "closed form"),
        ({"method": "conjugate", "beta_prior": "half-normal"}, "closed form"),
        ({"covariance": "bootstrap"}, "bootstrap"),
        ({"chains": 0}, "chains"),
        ({"warmup": 0}, "warm-up"),
    ],
)
def test_what_cannot_be_is_told(changes, said):
    with pytest.raises(InputError, match=said):
        fit(DATA, SETTINGS, **changes)


def test_bootstrap_is_a_method_too():
    found = fit(DATA, SETTINGS, method="bootstrap", bootstraps=4, jobs=1)
    assert found.posterior.uncertainty == "bootstrap"
