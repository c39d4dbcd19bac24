"""Networks all of whose weights are inferred."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from bayesjko import FitSettings, InputError, fit, load_result, simulate
from bayesjko.checkpoint import Checkpoint
from bayesjko.inference import training
from bayesjko.simulate import true_drift
from bayesjko.summary import summarise

DATA = simulate("wavy_plateau", beta=0.1, particles=400, snapshots=4, seed=1)
SETTINGS = FitSettings(potential="mlp:16,16", likelihood="residual", draws=400, inferred="all")
SAMPLED = replace(SETTINGS, method="nuts", warmup=100, draws=800)


TRAINING = {"steps": 600, "batch": 400}
pytestmark = pytest.mark.usefixtures("briefly")


@pytest.fixture(scope="module")
def closed(briefly):
    return fit(DATA, SETTINGS)


@pytest.fixture(scope="module")
def sampled(briefly):
    return fit(DATA, SAMPLED)


def test_intervals_of_all_weights_hold_the_truth(closed, tmp_path):
    points = DATA.particles[0][:100]
    truth = np.asarray(true_drift(DATA.truth, points, DATA.particles[0]))
    found = closed.drift(points)
    low, high = np.quantile(found, [0.05, 0.95], axis=0)
    assert np.sqrt(np.mean((found.mean(axis=0) - truth) ** 2) / np.mean(truth**2)) < 0.5
    assert np.mean((low <= truth) & (truth <= high)) > 0.7
    assert closed.energy.size < 102
    assert "all 336 weights are inferred" in summarise(closed)
    closed.save(tmp_path / "result.nc")
    again = load_result(tmp_path / "result.nc")
    np.testing.assert_array_equal(again.drift(points), found)


def test_a_sampler_finds_the_closed_form(closed, sampled):
    points = DATA.particles[0][:40]
    found, exact = sampled.drift(points), closed.drift(points)
    spread = exact.std(axis=0)
    assert np.abs((found.mean(axis=0) - exact.mean(axis=0)) / spread).max() < 0.3
    np.testing.assert_allclose(found.std(axis=0).mean(), spread.mean(), rtol=0.1)
    assert sampled.diagnostics.r_hat < 1.05
    assert sampled.diagnostics.divergences == 0


def test_an_interrupted_run_goes_on_to_the_same_bits(sampled, tmp_path, monkeypatch):
    """The network is trained again, and its draws go on from the last block that was kept."""
    append = Checkpoint.append

    def interrupted(self, block):
        append(self, block)
        if len(list(self.folder.glob("*.npz"))) == 3:
            raise KeyboardInterrupt

    path = tmp_path / "result.nc"
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "append", interrupted)
        part = fit(DATA, SAMPLED, checkpoint=Checkpoint(path))
    assert not part.posterior.complete
    draws = sampled.posterior.coefficients
    np.testing.assert_array_equal(part.posterior.coefficients, draws[:, :100])
    again = fit(DATA, SAMPLED, checkpoint=Checkpoint(path, resume=True))
    assert again.posterior.complete
    np.testing.assert_array_equal(again.posterior.coefficients, draws)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"potential": "poly:2"}, "All weights"),
        ({"method": "ensemble"}, "All weights"),
        ({"potential": "mlp:1024,64"}, "take fewer units"),
    ],
)
def test_what_cannot_be_is_told(changes, said, monkeypatch):
    monkeypatch.setattr(training, "Training", partial(training.Training, steps=1, look=1))
    with pytest.raises(InputError, match=said):
        fit(DATA, SETTINGS, **changes)
