"""Sampling as a user meets it: by the command and from Python, killed, gone on with, cut short."""

import signal
import subprocess
import sys

import numpy as np
import pytest

from bayesjko import FitSettings, InputError, fit, load_result, simulate
from bayesjko.checkpoint import Checkpoint
from bayesjko.fit.__main__ import main
from bayesjko.readers import write_snapshots
from bayesjko.summary import summarise

DATA = simulate("styblinski_tang", beta=0.2, particles=60, snapshots=3, seed=1)
SETTINGS = FitSettings(
    likelihood="residual", potential="poly:2", internal=False, method="nuts", draws=20_000, seed=2
)
COMMAND = ["--likelihood", "residual", "--potential", "poly:2", "--no-internal", "--method", "nuts"]
COMMAND += ["--draws", "20000", "--seed", "2", "--jobs", "1"]


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


DIES = """
import os, signal, sys
from bayesjko.checkpoint import Checkpoint
from bayesjko.fit.__main__ import main
append = Checkpoint.append
def killed(self, block):
    append(self, block)
    if len(list(self.folder.glob("*.npz"))) == 20:
        os.kill(os.getpid(), signal.SIGKILL)
Checkpoint.append = killed
main(sys.argv[1:])
"""


def test_a_killed_run_goes_on_to_the_same_bits(whole, command, tmp_path, capsys):
    died = subprocess.run([sys.executable, "-c", DIES, *command], check=False)
    assert died.returncode == -signal.SIGKILL
    assert not (tmp_path / "result.nc").exists()
    assert main(command) == 2  # work that is there is not passed over
    assert "--resume" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    again = load_result(tmp_path / "result.nc")
    np.testing.assert_array_equal(again.posterior.coefficients, whole.posterior.coefficients)
    assert not (tmp_path / "result.nc.checkpoint").exists()


def test_an_interrupted_run_leaves_a_valid_part_and_goes_on(
    whole, command, tmp_path, monkeypatch, capsys
):
    append = Checkpoint.append

    def interrupted(self, block):
        append(self, block)
        if len(list(self.folder.glob("*.npz"))) == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "append", interrupted)
    assert main(command) == 130
    monkeypatch.undo()
    out = capsys.readouterr().out
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
