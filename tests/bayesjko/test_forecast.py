"""Forecasts under energies whose trajectories are known in closed form, in the user's units."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayesjko.forecast import forecast
from bayesjko.forecast.__main__ import main
from bayesjko.inference.posterior import Posterior
from bayesjko.models.bases import Polynomial
from bayesjko.models.data import Snapshots, Standardisation
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.errors import InputError
from bayesjko.result import Result

TIMES = np.array([0.0, 0.5, 2.0])
STIFFNESS = np.array([[0.4, 0.2], [0.6, 0.1], [0.5, 0.3]])  # k of each draw, in each period


def make(stiffness=STIFFNESS, beta=None, **settings):
    """V = ½k‖x − mean‖², so that one explicit step shrinks the cloud by 1 − kτ."""
    rng = np.random.default_rng(4)
    clouds = tuple(10.0 + 5.0 * rng.normal(size=(n, 2)) for n in (30, 20, 25))
    weights = tuple(rng.dirichlet(np.full(n, 3.0)) for n in (30, 20, 25))
    snapshots = Snapshots(TIMES, clouds, weights, features=("a", "b"))
    units = Standardisation.of(snapshots)
    coefficients = 0.5 * np.repeat(stiffness[:, :, None], 2, axis=2) * units.duration
    if beta is not None:
        extra = np.broadcast_to(beta / units.energy, (*stiffness.shape, 1))
        coefficients = np.concatenate([coefficients, extra], axis=2)
    energy = LinearEnergy(Polynomial(((2, 0), (0, 2))), internal=beta is not None)
    posterior = Posterior(
        coefficients=coefficients[None],
        mean=coefficients.mean(axis=0),
        covariance=None,
        noise=None,
        log_evidence=None,
        method="conjugate",
        uncertainty="model",
    )
    return Result(energy, units, snapshots, posterior, settings)


RESULT = make()
CENTRE = RESULT.standardisation.mean


def shrunk(cloud, factor):
    """The cloud drawn towards the centre by a factor for each draw."""
    return CENTRE + np.reshape(factor, (-1, 1, 1)) * (cloud - CENTRE)


def test_it_starts_at_the_last_snapshot_and_goes_one_mean_interval():
    found = forecast(RESULT)
    np.testing.assert_allclose(found.times, [2.0, 3.0])
    assert found.trajectories.shape == (3, 2, 25, 2)
    start = np.broadcast_to(RESULT.snapshots.particles[-1], (3, 25, 2))
    np.testing.assert_allclose(found.trajectories[:, 0], start, rtol=1e-13)
    # beyond the data the last period stays in force
    expected = shrunk(start, 1 - STIFFNESS[:, 1] * 1.0)
    np.testing.assert_allclose(found.trajectories[:, 1], expected, rtol=1e-12)
    np.testing.assert_array_equal(found.weights, RESULT.snapshots.weights[-1])


@pytest.mark.parametrize(
    ("scheme", "factor"),
    [
        ("explicit", lambda s: 1 - s),
        ("midpoint", lambda s: (1 - s / 2) / (1 + s / 2)),
        ("implicit", lambda s: 1 / (1 + s)),
    ],
)
def test_each_interval_on_the_way_is_one_step_under_its_own_period(scheme, factor):
    found = forecast(RESULT, start=0.0, horizon=4.0, scheme=scheme)
    np.testing.assert_allclose(found.times, [0.0, 0.5, 2.0, 3.5, 4.0])
    cloud, total = RESULT.snapshots.particles[0], np.ones(3)
    for index, (period, tau) in enumerate([(0, 0.5), (1, 1.5), (1, 1.5), (1, 0.5)]):
        total = total * factor(STIFFNESS[:, period] * tau)
        np.testing.assert_allclose(
            found.trajectories[:, index + 1], shrunk(cloud, total), rtol=1e-8
        )


def test_the_fits_own_scheme_is_the_default():
    own = forecast(make(scheme="implicit"))
    np.testing.assert_array_equal(
        own.trajectories, forecast(RESULT, scheme="implicit").trajectories
    )
    assert own.settings["scheme"] == "implicit"
    assert own.settings["mode"] == "map"


def test_a_cloud_of_ones_own_may_start_any_time():
    cloud = np.array([[1.0, 2.0], [3.0, -4.0]])
    found = forecast(RESULT, start=cloud, start_time=0.25, horizon=0.5)
    np.testing.assert_allclose(found.times, [0.25, 0.5, 0.75])
    factor = (1 - STIFFNESS[:, 0] * 0.25) * (1 - STIFFNESS[:, 1] * 0.25)
    np.testing.assert_allclose(found.trajectories[:, -1], shrunk(cloud, factor), rtol=1e-12)
    np.testing.assert_array_equal(found.weights, [0.5, 0.5])


def test_substeps_divide_each_interval():
    found = forecast(RESULT, start=0.5, horizon=1.5, mode="sde", substeps=4)
    factor = (1 - STIFFNESS[:, 1] * 1.5 / 6) ** 6  # four to a mean interval of 1
    expected = shrunk(RESULT.snapshots.particles[1], factor)
    np.testing.assert_allclose(found.trajectories[:, -1], expected, rtol=1e-12)
    fitted_otherwise = make(likelihood="weak")
    assert forecast(fitted_otherwise).settings["mode"] == "sde"


def test_diffusion_has_the_variance_of_ornstein_and_uhlenbeck():
    """Var X_t = β(1 − e^{−2kt})/k from one point, in the user's units."""
    k, beta, t = 0.8, 3.0, 1.2
    result = make(np.full((1, 1), k), beta)
    start = np.broadcast_to([20.0, 10.0], (30_000, 2))
    for mode, exact in [("sde", beta * (1 - np.exp(-2 * k * t)) / k), ("map", 2 * beta * t)]:
        found = forecast(result, start=start, horizon=t, mode=mode, substeps=200)
        if mode == "map":  # one step of the last interval's length at most, here one
            assert len(found.times) == 2
        spread = np.cov(found.trajectories[0, -1].T)
        np.testing.assert_allclose(spread, exact * np.eye(2), atol=0.03 * exact)


def test_a_seed_fixes_draws_and_noise():
    result = make(beta=1.0)
    first, again, other = (forecast(result, draws=2, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.trajectories, again.trajectories)
    assert not np.any(first.trajectories[:, 1] == other.trajectories[:, 1])
    assert first.trajectories.shape[0] == 2


def test_a_few_draws_that_escape_give_way_to_others():
    stiffness = np.full((60, 2), 0.1)
    stiffness[:2] = -2e6
    found = forecast(make(stiffness), start=0.5, horizon=3.0, draws=57)
    assert found.trajectories.shape[0] == 57
    assert np.all(np.isfinite(found.trajectories))
    assert 1 <= found.settings["escaped"] <= 2
    assert json.loads(found.to_dataset().attrs["settings"])["escaped"] == found.settings["escaped"]


def test_particles_that_escape_are_told_with_the_time():
    """Uphill, each step multiplies the distance by a million and one."""
    result = make(np.full((2, 2), -2e6))
    with pytest.raises(InputError, match=r"in 2 of 2 draws, the first of them before time 2"):
        forecast(result, start=0.5, horizon=3.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": 0.7}, r"No snapshot at time 0\.7; there are snapshots at 0, 0\.5, 2"),
        ({"start": np.ones((4, 3))}, r"shape \(4, 3\); give finite values.*\(particles, 2\)"),
        ({"start": np.full((4, 2), np.nan)}, "finite"),
        ({"horizon": 0.0}, "positive"),
        ({"horizon": -1.0}, "positive"),
        ({"horizon": np.inf}, "positive"),
        ({"horizon": np.nan}, "positive"),
        ({"horizon": 1e300}, "The horizon is 1e\\+300 and the last interval"),
        ({"start": np.ones((4, 2)), "start_time": np.nan}, "start's time is nan"),
        ({"start_time": 1.0}, "of a cloud of your own"),
        ({"draws": 0}, "at least 1"),
        ({"substeps": 0}, "at least 1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**70}, "seed is 1180591620717411303424"),
    ],
)
def test_what_cannot_be_forecast_is_told(options, said):
    with pytest.raises(InputError, match=said):
        forecast(RESULT, **options)


@pytest.fixture
def saved(tmp_path):
    RESULT.save(tmp_path / "result.nc")
    return tmp_path / "result.nc"


def test_the_command_writes_what_python_gives(saved, tmp_path, capsys):
    out = tmp_path / "forecast.nc"
    assert (
        main([str(saved), "--out", str(out), "--start", "0.5", "--horizon", "2", "--draws", "2"])
        == 0
    )
    assert "2 draws of 20 particles at 3 times, 0.5 to 2.5" in capsys.readouterr().out
    expected = forecast(RESULT, start=0.5, horizon=2.0, draws=2)
    with xr.open_dataset(out, engine="h5netcdf") as found:
        assert found["trajectories"].dims == ("draw", "time", "particle", "feature")
        np.testing.assert_array_equal(found["trajectories"], expected.trajectories)
        np.testing.assert_array_equal(found["weight"], expected.weights)
        np.testing.assert_array_equal(found["time"], expected.times)
        assert list(found["feature"].values) == ["a", "b"]
        assert json.loads(found.attrs["settings"])["horizon"] == 2.0


def test_the_command_starts_from_a_table(saved, tmp_path):
    table = tmp_path / "cloud.csv"
    pd.DataFrame({"b": [2.0, -4.0], "a": [1.0, 3.0]}).to_csv(table, index=False)
    out = tmp_path / "forecast.nc"
    assert main([str(saved), "--out", str(out), "--start", str(table), "--start-time", "2"]) == 0
    with xr.open_dataset(out, engine="h5netcdf") as found:
        np.testing.assert_allclose(found["trajectories"][0, 0], [[1.0, 2.0], [3.0, -4.0]])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"result": "nowhere.nc"}, "There is no file"),
        ({"--start": "0.7"}, "No snapshot at time 0.7"),
        ({"--start": "nowhere.csv"}, "nowhere.csv"),
        ({"--horizon": "-1"}, "positive"),
        ({"--scheme": "leapfrog"}, "leapfrog"),
        ({"--out": "nowhere/forecast.nc"}, "no directory"),
    ],
)
def test_a_command_that_fails_says_so_in_a_sentence_and_writes_nothing(
    saved, tmp_path, monkeypatch, capsys, change, said
):
    monkeypatch.chdir(tmp_path)
    options = {"--out": "forecast.nc"} | change
    result = options.pop("result", str(saved))
    assert main([result, *(word for pair in options.items() for word in pair)]) == 2
    written = capsys.readouterr()
    assert said in written.err
    assert written.err.count("\n") == 1
    assert written.out == ""
    assert [file.name for file in tmp_path.iterdir()] == ["result.nc"]


def test_substeps_are_as_many_as_needed_and_reported():
    """A stiffer well needs more, and then they are exact to what they say."""
    soft, stiff = (forecast(make(k * STIFFNESS), mode="sde", draws=1) for k in (0.1, 4.0))
    assert soft.settings["substeps"] == 10 < stiff.settings["substeps"]
    for found in (soft, stiff):
        assert 0 < found.settings["step_error"] <= 0.01
    exact = shrunk(
        RESULT.snapshots.particles[-1], np.exp(-4.0 * STIFFNESS[:, 1])
    )  # over one mean interval
    nearest = min(np.abs(stiff.trajectories[0, 1] - each).max() for each in exact)
    assert nearest < 0.03 * np.abs(exact - CENTRE).max() + 0.05
    assert forecast(RESULT).settings["step_error"] is None
