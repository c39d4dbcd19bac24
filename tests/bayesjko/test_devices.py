"""Where a fit is computed."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from bayesjko import simulate
from bayesjko.devices import join_processes
from bayesjko.fit.__main__ import main
from bayesjko.forecast import forecast
from bayesjko.models.errors import InputError
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


PAGE = Path(__file__).parents[2] / "docs" / "howto" / "devices.md"

SAVED = """
import numpy as np
np.savez(f"{number}.npz", coefficients=result.posterior.coefficients,
    trajectories=future.trajectories, devices=[jax.device_count(), jax.local_device_count()])
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


def ended(processes, seconds):
    """Exit codes; who is left is killed when another has failed, or at the end of the time."""
    end = time.monotonic() + seconds
    codes = [None]
    while None in codes:
        codes = [process.poll() for process in processes]
        if any(codes) or time.monotonic() > end:
            for process in processes:
                process.kill()
            return [process.wait() for process in processes]
        time.sleep(0.1)
    return codes


def test_two_processes_of_two_devices_find_what_one_process_does(tmp_path, monkeypatch):
    """The program that the page shows: ten draws on four devices are three on each and two more."""
    (program,) = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    script = tmp_path / "machines.py"
    script.write_text(program + SAVED, "utf-8")
    with socket.create_server(("localhost", 0)) as free:
        address = f"localhost:{free.getsockname()[1]}"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2"}
    logs = [(tmp_path / f"{number}.log").open("wb") for number in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), address, "2", str(number)],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
        )
        for number, log in enumerate(logs)
    ]
    try:
        alone = {"__name__": "__main__"}
        (tmp_path / "alone").mkdir()
        monkeypatch.chdir(tmp_path / "alone")
        monkeypatch.setattr(sys, "argv", ["machines.py", address, "1", "0"])
        monkeypatch.setattr(jax.distributed, "initialize", lambda *_: None)
        exec(compile(program, str(PAGE), "exec"), alone)
    finally:
        codes = ended(processes, 600)
        for log in logs:
            log.close()
    assert codes == [0, 0], "".join(Path(log.name).read_text("utf-8")[-3000:] for log in logs)
    first, second = (np.load(tmp_path / f"{number}.npz") for number in range(2))
    for name in ("coefficients", "trajectories"):
        np.testing.assert_array_equal(first[name], second[name])
    assert first["devices"].tolist() == second["devices"].tolist() == [4, 2]
    # four chains to a device are compiled together, and one to a device by itself: last digits
    expected = alone["result"].posterior.coefficients
    np.testing.assert_allclose(first["coefficients"], expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(
        first["trajectories"], alone["future"].trajectories, rtol=1e-6, atol=1e-8
    )
    saved = load_result(tmp_path / "machines.nc")
    np.testing.assert_allclose(saved.posterior.coefficients, first["coefficients"], rtol=1e-12)
    assert not (tmp_path / "machines.nc.checkpoint").exists()


FORECAST = """
import sys
import numpy as np
import jax
from bayesjko import forecast, load_result
found = forecast(load_result(sys.argv[1]), horizon=0.02, draws=5, mode="sde", substeps=3)
assert jax.device_count() == 3
np.save(sys.argv[2], found.trajectories)
"""


def test_a_forecast_has_the_same_bits_on_any_number_of_devices(snapshots, tmp_path):
    """Five draws on three devices."""
    result, spread = tmp_path / "r.nc", tmp_path / "spread.npy"
    options = ["--likelihood", "residual", "--potential", "rbf:10", "--quiet"]
    assert main([snapshots, *options, "--out", str(result)]) == 0
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "3"}
    command = [sys.executable, "-c", FORECAST, str(result), str(spread)]
    subprocess.run(command, check=True, env=environment, timeout=600)
    settings = {"horizon": 0.02, "draws": 5, "mode": "sde", "substeps": 3}
    expected = forecast(load_result(result), **settings).trajectories
    np.testing.assert_array_equal(np.load(spread), expected)


def test_who_joins_too_late_is_told():
    jax.numpy.zeros(1).block_until_ready()  # JAX has computed
    with pytest.raises(InputError, match="call join_processes before anything else of JAX"):
        join_processes("localhost:1", 2, 0)
