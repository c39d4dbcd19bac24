"""Interactions of networks, from snapshots to a forecast."""

import numpy as np
import pytest

from bayesjko import FitSettings, InputError, fit, forecast, load_result, simulate
from bayesjko.energy import interaction_spread
from bayesjko.simulate import true_drift
from bayesjko.summary import summarise

# Particles that attract one another, and nothing else.
SETTINGS = FitSettings(
    potential="none", interaction="mlp:16", internal=False, likelihood="residual", draws=400
)


def attracted(seed, particles=200):
    return simulate(
        "flat",
        "gaussian",
        beta=0.0,
        interaction_scale=4.0,
        start="normal",
        particles=particles,
        snapshots=4,
        tau=0.2,
        seed=seed,
    )


TRAINING = {"steps": 500, "batch": 400}
pytestmark = pytest.mark.usefixtures("briefly")


@pytest.fixture(scope="module")
def results(briefly):
    return [fit(attracted(seed), SETTINGS) for seed in (0, 1)]


def test_a_network_finds_an_interaction_with_honest_intervals(results):
    held = []
    for result in results:
        cloud = result.snapshots.particles[-1]
        points = cloud[:150]
        truth = np.asarray(true_drift(result.snapshots.truth, points, cloud))
        found = result.drift(points)
        low, high = np.quantile(found, [0.05, 0.95], axis=0)
        held.append(np.mean((low <= truth) & (truth <= high)))
        # the particles are 0.9 of this from where they would be without forces
        assert np.mean((found.mean(axis=0) - truth) ** 2) < 0.25 * np.mean(truth**2)
    assert np.mean(held) > 0.7
    said = summarise(results[0])
    assert "interaction mlp:16 (16)" in said
    assert "hidden layers" in said
    assert "ensemble" not in said  # is none of the interaction's


def test_an_interaction_is_even(results):
    z = np.random.default_rng(0).normal(size=(20, 2))
    here, there = (interaction_spread(results[0], each) for each in (z, -z))
    np.testing.assert_allclose(here.mean, there.mean, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(here.sd, there.sd, rtol=1e-9, atol=1e-12)
    far = interaction_spread(results[0], np.array([[1.5, 0.0]]))
    assert far.mean[0] > 2.0 * far.sd[0]  # attraction: W rises from no displacement on


def test_a_result_of_it_suffices_to_forecast(results, tmp_path):
    result = results[0]
    result.save(tmp_path / "result.nc")
    again = load_result(tmp_path / "result.nc")
    points = result.snapshots.particles[0][:5]
    np.testing.assert_array_equal(again.drift(points), result.drift(points))
    ours, theirs = (forecast(each, horizon=0.05, draws=2, seed=0) for each in (result, again))
    np.testing.assert_array_equal(ours.trajectories, theirs.trajectories)
    ends = ours.trajectories[:, -1]
    assert np.std(ends) < np.std(result.snapshots.particles[-1])  # they go on to attract


def test_it_stands_beside_a_network_for_the_potential_in_equations_of_moments():
    terms = {"potential": "mlp:4", "interaction": "mlp:3", "internal": True}
    few = {"tests": 10, "copies": 2, "steps": 2}
    found = fit(attracted(2, particles=60), SETTINGS, likelihood="weak", **terms, **few)
    assert found.energy.sizes == {"potential": 4, "interaction": 3, "internal": 1}
    assert found.identifiability.gauge is not None
    assert np.all(np.isfinite(found.posterior.coefficients))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"interaction": "mlp:0"}, "mlp:64,64"),
        ({"inferred": "all"}, "last layer alone"),
        ({"potential": "mlp:8", "inferred": "all"}, "last layer alone"),
        ({"potential": "mlp:8", "method": "ensemble"}, "no ensemble"),
    ],
)
def test_what_cannot_be_is_told(changes, said):
    with pytest.raises(InputError, match=said) as caught:
        fit(attracted(0), SETTINGS, **changes)
    assert "\n" not in str(caught.value)
