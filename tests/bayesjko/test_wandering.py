"""Fits whose energy wanders, asked for at any time."""

import numpy as np
import pytest

from bayesjko import InputError, Snapshots, evaluate, fit, forecast, load_result
from bayesjko.evaluate.holdout import leave_out

POINTS = np.array([[1.0, 1.0], [0.0, 0.0]])


def population(*stiffness, n=500, tau=0.5, seed=0):
    """A new sample at every time of a cloud that shrinks to the origin, k another each interval."""
    rng = np.random.default_rng(seed)
    clouds, factor = [], 1.0
    for k in (*stiffness, 0.0):
        clouds.append(factor * (1.0 + 2.0 * rng.normal(size=(n, 2))))
        factor *= np.exp(-k * tau)
    return Snapshots(tau * np.arange(len(clouds)), tuple(clouds))


DATA = population(0.2, 0.5, 0.8, 1.1)
OPTIONS = {"potential": "poly:2", "internal": False, "draws": 200, "time_variation": "random-walk"}


def stiffness(result, time):
    """Draws of k, from the drift at two points."""
    drift = result.drift(POINTS, time)
    return (drift[:, 1] - drift[:, 0]).mean(axis=1)


@pytest.fixture(scope="module", params=["residual", "weak"])
def result(request):
    return fit(DATA, likelihood=request.param, **OPTIONS)


def test_it_follows_the_energy_and_is_known_at_all_times(result):
    """In the middle of each interval, and between the middles on the way."""
    for time, k in [(0.25, 0.2), (0.75, 0.5), (1.0, 0.65), (1.25, 0.8), (1.75, 1.1)]:
        draws = stiffness(result, time)
        assert draws.mean() == pytest.approx(k, abs=0.2)
    apart = stiffness(result, 1.75) - stiffness(result, 0.25)
    assert np.quantile(apart, 0.02) > 0.3


def test_moments_tell_whether_it_fits(result):
    test = result.posterior.goodness_of_fit
    if result.settings["likelihood"] == "residual":
        assert test is None  # couplings have no such test
    else:
        assert test.p_value > 0.01
        assert test.degrees_of_freedom > 1.0


def test_uncertainty_grows_away_from_the_snapshots(result):
    spread = [stiffness(result, time).std() for time in (1.75, 2.5, 4.0, 8.0)]
    assert np.all(np.diff(spread) > 0)
    before = [stiffness(result, time).std() for time in (0.25, -1.0, -4.0)]
    assert np.all(np.diff(before) > 0)
    far = forecast(result, horizon=1.0, draws=50)
    still = fit(DATA, **{**OPTIONS, "time_variation": "piecewise"})
    kept = forecast(still, horizon=1.0, draws=50)
    assert (
        far.trajectories[:, -1].std(axis=0).mean() > 2 * kept.trajectories[:, -1].std(axis=0).mean()
    )


def test_a_file_keeps_it_all(result, tmp_path):
    result.save(tmp_path / "result.nc")
    again = load_result(tmp_path / "result.nc")
    np.testing.assert_array_equal(again.posterior.walk, result.posterior.walk)
    np.testing.assert_array_equal(again.drift(POINTS, 5.1), result.drift(POINTS, 5.1))
    assert any("wanders" in note for note in again.posterior.notes)


def test_scores_are_of_the_mean_path(result):
    test = population(0.2, 0.5, 0.8, 1.1, seed=1)
    scores = evaluate(result, test, draws=10)
    for row in scores["intervals"]:
        assert row["w1"] < 0.5 * row["persistence_w1"] + row["floor_w1"]
    left = leave_out(result, DATA, [1.0], draws=4)["intervals"][0]
    assert left["w2"] < left["persistence_w2"]


def test_an_energy_that_does_not_change_hardly_wanders():
    result = fit(population(0.5, 0.5, 0.5, 0.5), likelihood="residual", **OPTIONS)
    found = [stiffness(result, time).mean() for time in (0.25, 0.75, 1.25, 1.75)]
    np.testing.assert_allclose(found, 0.48, atol=0.06)
    assert np.ptp(found) < 0.05


def test_energies_of_single_intervals_are_known_at_snapshots_only():
    piecewise = fit(DATA, **{**OPTIONS, "time_variation": "piecewise"})
    with pytest.raises(InputError, match=r"No snapshot at time 0\.3"):
        piecewise.drift(POINTS, 0.3)


def test_where_beta_could_be_what_wanders_couplings_are_taken():
    data = population(0.2, 0.5, 0.8, n=200, tau=0.1)
    options = {**OPTIONS, "internal": True, "draws": 20}
    assert fit(data, **options).settings["likelihood"] == "residual"
    assert fit(data, **{**options, "internal": False}).settings["likelihood"] != "residual"
    told = fit(data, likelihood="weak", **options).posterior.notes
    assert any("can do what β does" in note for note in told)
