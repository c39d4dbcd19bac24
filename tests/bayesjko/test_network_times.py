"""Potentials of networks of position and time, from snapshots to a forecast."""

from dataclasses import replace

import numpy as np
import pytest

from bayesjko import FitSettings, InputError, Snapshots, evaluate, fit, forecast, load_result
from bayesjko.experiments.changing import Fading
from bayesjko.fit import linear_problem
from bayesjko.fit.__main__ import main
from bayesjko.models.bases import Neural, Scaled, Timed
from bayesjko.models.energies import LinearEnergy
from bayesjko.plots.landscape import draw_landscape
from bayesjko.readers import write_snapshots
from bayesjko.report import write_report
from bayesjko.selection import select
from bayesjko.simulate import simulate
from bayesjko.summary import summarise

# Everything flees the origin, and in the end is drawn into one well; there is no noise.
TIMES = (0.0, 0.025, 0.05, 0.075, 0.1)
CASE = Fading("sphere", "oakley_ohagan", TIMES, 250, 2, 0.0)
DATA = CASE.snapshots(0)
SETTINGS = FitSettings(
    potential="mlp:32", time_variation="neural", internal=False, likelihood="residual", draws=200
)
POINTS = DATA.particles[2][:40]

TRAINING = {"steps": 1000, "batch": 200}
pytestmark = pytest.mark.usefixtures("briefly")


@pytest.fixture(scope="module")
def result(briefly):
    return fit(DATA, SETTINGS)


@pytest.fixture(scope="module")
def static(briefly):
    return fit(DATA, SETTINGS, time_variation="static")


def compared(result, interval, time):
    """Error relative to the drift's size, and coverage of 90% intervals, in an interval."""
    points, when = DATA.particles[interval][:100], sum(CASE.times[interval : interval + 2]) / 2
    truth = CASE.drift(points, when)
    found = result.drift(points, when if time else CASE.times[interval])
    low, high = np.quantile(found, [0.05, 0.95], axis=0)
    error = np.sqrt(np.mean((found.mean(axis=0) - truth) ** 2) / np.mean(truth**2))
    return error, np.mean((low <= truth) & (truth <= high))


def test_it_is_nearer_to_an_energy_that_changes_than_one_that_does_not(result, static):
    for interval in (0, 3):
        error, held = compared(result, interval, time=True)
        still, _ = compared(static, interval, time=False)
        assert error < 0.8 * still
        assert held > 0.5


def blind(energy):
    """The same energy, of a network that is told the time and does not look at it."""
    scaled = energy.potential
    weights, biases = scaled.basis.weights, scaled.basis.biases
    first = np.concatenate([weights[0], np.zeros((len(weights[0]), 1))], axis=1)
    network = Timed(Neural((first, *weights[1:]), biases), np.array(0.0), np.array([0.0, 4.0]))
    return LinearEnergy(Scaled(network, scaled.scale), None, energy.internal)


@pytest.mark.parametrize("likelihood", ["residual", "weak", "flow"])
def test_a_network_that_ignores_time_is_a_static_one(static, likelihood):
    data = static.standardisation.apply(DATA)
    few = {"tests": 4, "copies": 2, "steps": 2}
    ways = replace(SETTINGS, likelihood=likelihood, **few)
    theirs, _ = linear_problem(static.energy, data, replace(ways, time_variation="static"), 1)
    ours, _ = linear_problem(blind(static.energy), data, ways, 1)
    at = static.posterior.mean
    scale = np.sqrt(np.diag(theirs.blocks[0].gram))
    for found, expected in [
        (ours.blocks[0].gram, theirs.blocks[0].gram),
        (ours.meat(at), theirs.meat(at)),
    ]:
        unit = np.outer(scale, scale)
        np.testing.assert_allclose(found / unit, expected / unit, rtol=1e-6, atol=1e-6)


def test_nor_does_its_forecast_know_the_time(static):
    told = replace(static, energy=blind(static.energy))
    for time in (-1.0, 0.0, 0.05, 7.0):
        np.testing.assert_allclose(told.drift(POINTS, time), static.drift(POINTS), rtol=1e-9)
    ours, theirs = (forecast(r, start=0.0, horizon=0.1, draws=3) for r in (told, static))
    np.testing.assert_allclose(ours.trajectories, theirs.trajectories, rtol=1e-9)


def test_it_is_known_at_all_times_and_stays_beyond_the_snapshots(result):
    first, later, between, last, far = (
        result.drift(POINTS, t).mean(axis=0) for t in (0.0, 0.025, 0.04, 0.1, 5.0)
    )
    assert not np.allclose(first, later, rtol=1e-3)
    assert not np.allclose(later, between, rtol=1e-3)
    np.testing.assert_array_equal(last, far)
    np.testing.assert_array_equal(result.drift(POINTS), result.drift(POINTS, 0.1))
    heights = [result.potential(POINTS, t) for t in (0.0, 0.1)]
    assert not np.allclose(*heights, rtol=1e-3)
    assert result.periods == 4
    said = summarise(result)
    assert "potential mlp:32 (32) coefficients, of features that change with time" in said
    assert "network of position and time" in said


def test_a_forecast_moves_by_the_energy_of_the_time(result):
    """One explicit step from snapshot to snapshot, by the drift in the middle between them."""
    found = forecast(result, start=0.025, horizon=0.05, draws=2, scheme="explicit", mode="map")
    step = found.trajectories[:, 1] - found.trajectories[:, 0]
    every = result.drift(found.trajectories[0, 0], 0.0375)
    near = [np.abs(0.025 * each - step[0]).max() for each in every]
    assert min(near) < 1e-9
    again = result.drift(found.trajectories[0, 1], 0.0625)[int(np.argmin(near))]
    np.testing.assert_allclose(
        found.trajectories[0, 2] - found.trajectories[0, 1], 0.025 * again, atol=1e-9
    )


def test_a_file_keeps_it_all(result, tmp_path):
    result.save(tmp_path / "result.nc")
    again = load_result(tmp_path / "result.nc")
    for time in (0.0, 0.05, 0.3):
        np.testing.assert_array_equal(again.drift(POINTS, time), result.drift(POINTS, time))
        np.testing.assert_array_equal(again.potential(POINTS, time), result.potential(POINTS, time))
    ours, theirs = (forecast(each, horizon=0.03, draws=3, seed=0) for each in (result, again))
    np.testing.assert_array_equal(ours.trajectories, theirs.trajectories)
    assert again.settings["time_variation"] == "neural"


def test_it_is_scored_drawn_and_reported(result, tmp_path):
    scores = evaluate(result, CASE.snapshots(1), draws=4)
    for row in scores["intervals"][:2]:
        assert row["w1"] < row["persistence_w1"]
    assert len([a for a in draw_landscape(result).axes if a.get_title()]) >= 4
    write_report(result, tmp_path / "report.html")
    assert "changes smoothly in time" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "ensemble", "members": 2},
        {"likelihood": "flow", "tests": 4, "copies": 2, "steps": 2, "internal": True},
        {"interaction": "fourier:2"},
    ],
    ids=["ensemble", "flow", "interaction"],
)
def test_ways_to_infer_it_are_those_of_a_static_one(changes):
    found = fit(CASE.snapshots(2), SETTINGS, **{"potential": "mlp:4", **changes})
    early, late = (found.drift(POINTS, t) for t in (0.0, 0.1))
    assert np.all(np.isfinite(early))
    assert not np.allclose(early.mean(axis=0), late.mean(axis=0), rtol=1e-3)


def test_followed_particles_will_do():
    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=(50, 2))]
    for k in range(3):
        clouds.append(clouds[-1] * (0.9 if k else 0.5) + 0.01 * rng.normal(size=(50, 2)))
    data = Snapshots(np.arange(4.0), tuple(clouds), paired=True)
    found = fit(data, SETTINGS, potential="mlp:8")
    pulls = [-np.sum(found.drift(clouds[0], t).mean(axis=0) * clouds[0]) for t in (0.5, 2.5)]
    assert pulls[0] > 1.3 * pulls[1] > 0.0


def test_what_cannot_be_is_told():
    two = Snapshots(DATA.times[:2], DATA.particles[:2])
    few = Snapshots(DATA.times, tuple(cloud[:9] for cloud in DATA.particles))
    for data, changes, said in [
        (DATA, {"potential": "poly:2"}, "--potential mlp:64,64"),
        (DATA, {"potential": "none", "interaction": "mlp:4"}, "--potential mlp:64,64"),
        (DATA, {"inferred": "all"}, "--inferred last-layer"),
        (two, {}, "three snapshots"),
        (few, {}, "at least 10 particles"),
        (DATA, {"covariance": "bootstrap", "likelihood": "weak"}, "residual"),
    ]:
        with pytest.raises(InputError, match=said) as caught:
            fit(data, SETTINGS, **changes)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="leave --select out"):
        select(DATA, SETTINGS, potentials=["poly:2"])


def test_the_command_line(tmp_path, capsys):
    write_snapshots(simulate("quadratic", particles=40, snapshots=3, tau=0.1), tmp_path / "x.npz")
    words = [str(tmp_path / "x.npz"), "--time-variation", "neural", "--likelihood", "residual"]
    out = ["--draws", "20", "--out", str(tmp_path / "r.nc")]
    assert main([*words, "--potential", "mlp:4", *out]) == 0
    assert "of features that change with time" in capsys.readouterr().out
    assert load_result(tmp_path / "r.nc").energy.timed
    assert main([*words, "--potential", "rbf:5"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--potential mlp:64,64" in said
