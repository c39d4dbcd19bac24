"""Potentials of networks, from snapshots to a forecast."""

import numpy as np
import pytest

from bayesjko import FitSettings, InputError, fit, forecast, load_result, simulate
from bayesjko.simulate import true_drift
from bayesjko.summary import summarise

DATA = simulate("wavy_plateau", beta=0.1, particles=400, snapshots=4, seed=1)
SETTINGS = FitSettings(potential="mlp:32,32", likelihood="residual", draws=400)


TRAINING = {"steps": 1000, "batch": 400}
pytestmark = pytest.mark.usefixtures("briefly")


@pytest.fixture(scope="module")
def result(briefly):
    return fit(DATA, SETTINGS)


def compared(result, time=0.0):
    """Error relative to the drift's size, and coverage of 90% intervals, at particles."""
    points = DATA.particles[0][:150]
    truth = np.asarray(true_drift(DATA.truth, points, DATA.particles[0]))
    found = result.drift(points, time)
    low, high = np.quantile(found, [0.05, 0.95], axis=0)
    size = np.sqrt(np.mean(truth**2))
    error = np.sqrt(np.mean((found.mean(axis=0) - truth) ** 2)) / size
    return error, np.mean((low <= truth) & (truth <= high))


def test_a_network_finds_a_potential_of_waves_with_honest_intervals(result):
    error, held = compared(result)
    assert error < 0.35
    assert held > 0.7
    assert any("hidden layers" in line for line in summarise(result).splitlines())


def test_a_result_of_a_network_suffices_to_forecast(result, tmp_path):
    result.save(tmp_path / "result.nc")
    again = load_result(tmp_path / "result.nc")
    points = DATA.particles[0][:5]
    np.testing.assert_array_equal(again.drift(points), result.drift(points))
    np.testing.assert_array_equal(again.potential(points), result.potential(points))
    ours, theirs = (forecast(each, horizon=0.02, draws=5, seed=0) for each in (result, again))
    np.testing.assert_array_equal(ours.trajectories, theirs.trajectories)
    assert again.settings["potential"] == "mlp:32,32"


def test_the_same_seed_trains_the_same_network(result):
    again = fit(DATA, SETTINGS)
    np.testing.assert_array_equal(again.posterior.coefficients, result.posterior.coefficients)
    other = fit(DATA, SETTINGS, seed=1)
    assert not np.array_equal(other.posterior.mean, result.posterior.mean)


def test_an_ensemble_is_the_mixture_of_its_members(result):
    ensemble = fit(DATA, SETTINGS, method="ensemble", members=2)
    assert ensemble.posterior.method == "ensemble"
    draws = ensemble.posterior.coefficients
    assert draws.shape == (4, 100, 1, 65)
    # the first member is the fit without an ensemble, and has no coefficients for the other's
    np.testing.assert_allclose(
        2.0 * ensemble.posterior.mean[:, :32], result.posterior.mean[:, :32], rtol=1e-9
    )
    assert not draws[:, :50, :, 32:64].any()
    assert not draws[:, 50:, :, :32].any()
    assert draws[:, 50:, :, 32:64].all()
    points = DATA.particles[0][:20]
    found = ensemble.drift(points).reshape(4, 100, 20, 2)
    own = result.drift(points)
    np.testing.assert_allclose(
        found[:, :50].mean(axis=(0, 1)), own.mean(axis=0), atol=4.0 * own.std(axis=0).max() / 10
    )
    assert found.std(axis=(0, 1)).mean() > 0.7 * own.std(axis=0).mean()
    assert "ensemble" in summarise(ensemble)


def test_the_last_layer_is_sampled_as_any_linear_energy_is():
    found = fit(DATA, SETTINGS, potential="mlp:8", method="nuts", prior="hierarchical", draws=1000)
    assert found.posterior.method == "nuts"
    assert found.diagnostics.r_hat < 1.05
    assert found.diagnostics.divergences == 0
    assert found.posterior.draws.shape[1:] == (1, 9)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"potential": "mlp:0"}, "mlp:64,64"),
        ({"potential": "poly:2", "method": "ensemble"}, "networks"),
        ({"method": "ensemble", "members": 0}, "networks"),
        ({"method": "ensemble", "time_variation": "random-walk"}, "wander"),
    ],
)
def test_what_cannot_be_is_told(changes, said):
    with pytest.raises(InputError, match=said):
        fit(DATA, SETTINGS, **changes)
