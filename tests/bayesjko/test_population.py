"""A population read in parts says what it says in memory, wherever its parts are worked on."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pytest

import bayesjko
from bayesjko.fit.__main__ import main
from bayesjko.fit.population import fit_population
from bayesjko.inference import moments, transport
from bayesjko.inference.whole import in_turn
from bayesjko.models.errors import InputError, SnapshotError
from bayesjko.readers.stores import open_population
from bayesjko.schedulers import DaskSums, scheduled
from bayesjko.settings import FitSettings

SETTINGS = FitSettings(potential="poly:2+rbf:5", likelihood="weak", tests=6, draws=8, steps=4)
SETTINGS = replace(SETTINGS, copies=2, prior_scale=3.0)


@pytest.fixture(scope="module")
def snapshots():
    found = bayesjko.simulate(
        "quadratic", beta=0.3, particles=400, snapshots=3, tau=0.1, start="normal"
    )
    rng = np.random.default_rng(0)
    weights = tuple(rng.uniform(0.5, 1.5, 400) for _ in found.times)
    return bayesjko.Snapshots(found.times, found.particles, weights, truth=found.truth)


@pytest.fixture(scope="module", params=["zarr", "parquet"])
def store(request, snapshots, tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / f"cells.{request.param}"
    bayesjko.write_snapshots(snapshots, path)
    return path


def same(one, other):
    np.testing.assert_allclose(one.posterior.mean, other.posterior.mean, rtol=1e-8, atol=1e-10)
    scale = np.abs(other.posterior.covariance).max()
    np.testing.assert_allclose(
        one.posterior.covariance, other.posterior.covariance, rtol=1e-8, atol=1e-9 * scale
    )
    np.testing.assert_allclose(one.standardisation.mean, other.standardisation.mean, atol=1e-12)


@pytest.mark.processor
def test_parts_say_what_memory_says(store, snapshots):
    parts = open_population(store, rows=150)
    assert [sum(sizes) for sizes in parts.sizes] == [400] * 3
    assert max(map(len, parts.parts)) > 1
    same(fit_population(parts, SETTINGS, in_turn), bayesjko.fit(snapshots, SETTINGS))


def test_couplings_in_parts_are_those_in_memory(store, snapshots, monkeypatch):
    """Of the same mini-batches and the same density, counted per particle."""
    settings = replace(SETTINGS, likelihood="residual")
    monkeypatch.setattr(transport, "BATCH", 120)
    parts = fit_population(open_population(store, rows=150), settings, in_turn)
    same(parts, bayesjko.fit(snapshots, settings))


@pytest.mark.processor
def test_thinned_they_say_the_same(store, snapshots, monkeypatch):
    """Where only some particles are asked for what must be known of single ones."""
    full = bayesjko.fit(snapshots, SETTINGS)
    monkeypatch.setattr(moments, "_FEWEST_HELD", 150)
    monkeypatch.setattr(moments, "_HELD", 1)
    thinned = bayesjko.fit(snapshots, SETTINGS)
    same(fit_population(open_population(store, rows=150), SETTINGS, in_turn), thinned)
    # other particles are simulated, and the rest is of all of them
    spread = np.sqrt(np.diag(full.posterior.covariance[0]))
    moved = np.abs(thinned.posterior.mean - full.posterior.mean)[0] / spread
    assert 1e-6 < moved.max() < 1.0


class Deadly:
    """A part whose first reader dies."""

    def __init__(self, part, mark):
        self.part, self.mark = part, mark

    def __call__(self):
        if not Path(self.mark).exists():
            Path(self.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.part()


@pytest.mark.processor
@pytest.mark.filterwarnings("ignore")  # of Dask's own, at a worker's death
def test_a_worker_killed_costs_a_retry(snapshots, tmp_path):
    """By both likelihoods, in processes, where the memory of this one says the same.

    However long the worker takes to come back: Dask would give it up before.
    """
    path = tmp_path / "cells.zarr"
    bayesjko.write_snapshots(snapshots, path)
    parts = open_population(path, rows=150)
    first, *others = parts.parts
    at_once = dask.config.set({"distributed.deploy.lost-worker-timeout": "10ms"})
    with at_once, scheduled("processes", jobs=1) as reduce:
        assert isinstance(reduce, DaskSums)
        for likelihood in ("weak", "residual"):
            mark = tmp_path / f"died in {likelihood}"
            deadly = (first[0], Deadly(first[1], str(mark)), *first[2:])
            settings = replace(SETTINGS, likelihood=likelihood)
            found = fit_population(replace(parts, parts=(deadly, *others)), settings, reduce)
            assert mark.exists()
            same(found, bayesjko.fit(snapshots, settings))


def test_the_command_writes_a_result_that_forecasts(snapshots, tmp_path, capsys):
    path = tmp_path / "cells.zarr"
    bayesjko.write_snapshots(snapshots, path)
    settings = ["--potential", "poly:2", "--draws", "8", "--steps", "4", "--copies", "2"]
    out = tmp_path / "result.nc"
    assert main([str(path), *settings, "--scheduler", "here", "--out", str(out)]) == 0
    assert "likelihood weak" in capsys.readouterr().out
    result = bayesjko.load_result(out)
    assert result.snapshots.truth is not None
    assert np.isfinite(bayesjko.forecast(result, horizon=0.1, draws=4).trajectories).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"interaction": "rbf:3"}, "interaction"),
        ({"likelihood": "flow"}, "flow"),
        ({"likelihood": "residual", "time_variation": "piecewise"}, "scheme"),
        ({"holdout": 0.3}, "held-out"),
        ({"potential": "mlp:4"}, "network"),
    ],
)
def test_what_needs_all_particles_at_once_is_refused(store, settings, said):
    with pytest.raises(InputError, match=said):
        fit_population(open_population(store), replace(SETTINGS, **settings), in_turn)


def test_rows_out_of_order_are_refused(snapshots, tmp_path):
    table = {"t": [0.0, 1.0, 0.0, 1.0], "x": [1.0, 2.0, 3.0, 4.0]}
    import pandas as pd

    pd.DataFrame(table).to_parquet(tmp_path / "cells.parquet")
    with pytest.raises(SnapshotError, match="sort"):
        open_population(tmp_path / "cells.parquet")


@pytest.mark.parametrize(
    ("scheduler", "said"),
    [
        ("yarn", "There is no scheduler 'yarn'"),
        ("tcp://127.0.0.1:1", "does not answer"),
        ("tcp://127.0.0.1", "does not answer"),
        ("mail://127.0.0.1:8786", "does not answer"),
    ],
)
def test_a_scheduler_that_is_not_there_is_told(store, capsys, scheduler, said):
    assert main([str(store), "--potential", "poly:2", "--scheduler", scheduler]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.count("\n") == 1
    assert not told.out


def test_without_dask_there_is_a_sentence(store, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main([str(store), "--potential", "poly:2", "--scheduler", "processes"]) == 2
    assert "pip install 'bayesjko[dask]'" in capsys.readouterr().err
