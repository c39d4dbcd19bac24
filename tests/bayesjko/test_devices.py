"""Where a fit is computed."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bayesjko import simulate
from bayesjko.fit.__main__ import main
from bayesjko.readers import write_snapshots
from bayesjko.result import load_result

DATA = simulate("styblinski_tang", beta=0.2, particles=60, snapshots=3, seed=1)
OPTIONS = ["--likelihood", "residual", "--potential", "poly:2", "--no-internal"]

TOLD = """
import sys
from bayesjko.fit.__main__ import main
code = main(sys.argv[1:])
import jax
print(code, jax.default_backend(), jax.local_device_count())
"""


@pytest.fixture
def snapshots(tmp_path):
    write_snapshots(DATA, tmp_path / "snaps.nc")
    return str(tmp_path / "snaps.nc")


def test_chains_run_side_by_side_on_two_devices_of_the_processor(snapshots, tmp_path):
    """Four chains, two a device; the closed form tells whether they found the posterior."""
    options = [*OPTIONS, "--method", "nuts", "--draws", "4000", "--jobs", "2", "--device", "cpu"]
    command = [sys.executable, "-c", TOLD, snapshots, *options, "--quiet"]
    out = tmp_path / "two.nc"
    environment = {name: v for name, v in os.environ.items() if name != "JAX_PLATFORMS"}
    ran = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, check=True, env=environment
    )
    assert ran.stdout.split() == ["0", "cpu", "2"]
    found = load_result(out)
    assert main([snapshots, *OPTIONS, "--quiet", "--out", str(tmp_path / "exact.nc")]) == 0
    exact = load_result(tmp_path / "exact.nc")
    spread = np.sqrt(np.diagonal(exact.posterior.covariance, axis1=1, axis2=2))
    assert found.posterior.coefficients.shape[:2] == (4, 1000)
    assert np.abs((found.posterior.mean - exact.posterior.mean) / spread).max() < 0.1
    np.testing.assert_allclose(found.posterior.draws.std(axis=0), spread, rtol=0.1)
    assert len({chain.tobytes() for chain in found.posterior.coefficients}) == 4
    assert found.diagnostics.r_hat < 1.02


@pytest.mark.processor
def test_without_a_gpu_there_is_a_sentence(snapshots, capsys):
    assert main([snapshots, *OPTIONS, "--device", "gpu"]) == 2
    assert "JAX sees no GPU here" in capsys.readouterr().err
