"""What-if forecasts, against trajectories known in closed form, and an energy with two readings."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from bayesjko import InputError, Result, Snapshots, fit, forecast
from bayesjko.forecast.__main__ import main
from bayesjko.inference.posterior import Posterior
from bayesjko.models.bases import Polynomial
from bayesjko.models.data import Standardisation
from bayesjko.models.energies import LinearEnergy

TIMES = np.array([0.0, 0.5, 1.5])
K, W, BETA = 0.4, 0.3, 2.0
SQUARES = Polynomial(((2, 0), (0, 2)))
DRAWS = np.array([0.8, 1.0, 1.2])


def make(beta=BETA):
    """V = ½K‖x − mean‖², W = ½W‖x‖², draws within a fifth of them, in the user's units."""
    rng = np.random.default_rng(4)
    snapshots = Snapshots(TIMES, tuple(10.0 + 5.0 * rng.normal(size=(30, 2)) for _ in TIMES))
    units = Standardisation.of(snapshots)
    theta = [0.5 * K * units.duration] * 2 + [0.5 * W * units.duration] * 2
    if beta is not None:
        theta.append(beta / units.energy)
    coefficients = DRAWS[:, None, None] * np.array(theta)
    posterior = Posterior(
        coefficients=coefficients[None],
        mean=coefficients.mean(axis=0),
        covariance=None,
        noise=None,
        log_evidence=None,
        method="conjugate",
        uncertainty="model",
    )
    energy = LinearEnergy(SQUARES, SQUARES, internal=beta is not None)
    return Result(energy, units, snapshots, posterior, {"scheme": "explicit"})


RESULT = make()
QUIET = make(None)
CLOUD = RESULT.snapshots.particles[-1]
CENTRE = RESULT.standardisation.mean


def after(k, w, cloud=CLOUD, tau=0.5):
    """One explicit step under each draw, without noise."""
    inner, own = CENTRE - cloud, cloud.mean(axis=0) - cloud
    return cloud + tau * DRAWS[:, None, None] * (k * inner + w * own)


def final(result, **options):
    return forecast(result, horizon=0.5, mode="map", **options).trajectories[:, -1]


@pytest.mark.parametrize(
    ("options", "k", "w"),
    [
        ({}, K, W),
        ({"fixed": {"potential": 0.0}}, 0.0, W),
        ({"fixed": {"interaction": 0.0}}, K, 0.0),
        ({"scale": {"potential": 0.5, "interaction": -2.0}}, 0.5 * K, -2.0 * W),
    ],
)
def test_terms_are_removed_and_scaled(options, k, w):
    np.testing.assert_allclose(final(QUIET, **options), after(k, w), rtol=1e-12)


def test_beta_is_set_and_scaled_in_the_users_units():
    still = final(RESULT, fixed={"beta": 0.0})
    np.testing.assert_allclose(still, after(K, W), rtol=1e-12)
    many = np.broadcast_to(CENTRE, (20_000, 2))
    for options, beta in [
        ({"fixed": {"beta": 3.0}}, [3.0] * 3),
        ({"scale": {"beta": 0.5}}, 0.5 * BETA * DRAWS),
    ]:
        found = final(RESULT, start=many, **options)
        np.testing.assert_allclose(found.var(axis=1).mean(axis=1), np.array(beta), rtol=0.03)
    added = final(QUIET, start=many, fixed={"beta": 3.0})
    np.testing.assert_allclose(added.var(axis=1).mean(axis=1), 3.0, rtol=0.03)


def test_a_push_from_outside_moves_everyone():
    told = []

    def wind(points, time):
        told.append((time, points.shape))
        return np.array([2.0, 0.0]) - 0.1 * (points - CENTRE)

    blown = final(QUIET, push=wind)
    expected = after(K, W) + 0.5 * (np.array([2.0, 0.0]) - 0.1 * (CLOUD - CENTRE))
    np.testing.assert_allclose(blown, expected, rtol=1e-12)
    assert told == [(1.5, (3 * 30, 2))]


def test_a_push_acts_in_every_substep():
    """X′ = −kx + a to first order in the step: the mean goes to (1 − e^{−kt})a/k."""
    none = {"potential": 0.0, "interaction": 0.0}
    found = forecast(
        QUIET,
        horizon=2.0,
        mode="sde",
        substeps=100,
        fixed=none,
        push=lambda x, t: np.array([1.0, 0.0]) - 0.7 * (x - CENTRE) + np.array([0.0, t]),
    )
    start = CLOUD.mean(axis=0) - CENTRE
    decay = np.exp(-0.7 * 2.0)
    first = decay * start[0] + (1 - decay) / 0.7
    second = decay * start[1] + (3.5 - 1.5 * decay) / 0.7 - (1 - decay) / 0.49
    mean = found.trajectories[:, -1].mean(axis=1) - CENTRE
    np.testing.assert_allclose(mean, np.tile([first, second], (3, 1)), rtol=0.02)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fixed": {"gravity": 0.0}}, "no term 'gravity' to change; there are beta, potential"),
        ({"fixed": {"potential": 2.0}}, "it is a function"),
        ({"fixed": {"beta": -1.0}}, "none below 0"),
        ({"fixed": {"beta": np.nan}}, "finite"),
        ({"fixed": {"beta": 1.0}, "scale": {"beta": 1.0}}, "both set and scaled"),
        ({"push": lambda x, t: x[:, :1]}, "one a point"),
        ({"push": lambda x, t: np.nan * x}, "finite velocities"),
    ],
)
def test_what_cannot_be_done_is_told(options, said):
    with pytest.raises(InputError, match=said):
        forecast(RESULT, **options)


def test_a_term_that_is_not_there_is_told():
    alone = replace(QUIET, energy=LinearEnergy(Polynomial(((2, 0), (0, 2), (1, 0), (0, 1)))))
    with pytest.raises(InputError, match="no term 'interaction' to change; there are beta, pot"):
        forecast(alone, fixed={"interaction": 0.0})


def test_the_command_asks_what_if(tmp_path, capsys):
    RESULT.save(tmp_path / "result.nc")
    where = [str(tmp_path / "result.nc"), "--out", str(tmp_path / "out.nc"), "--horizon", "0.5"]
    assert main([*where, "--set", "beta=0", "--scale", "potential=0.5"]) == 0
    with xr.open_dataset(tmp_path / "out.nc", engine="h5netcdf") as found:
        moved = found["trajectories"].values[:, -1]
    np.testing.assert_allclose(moved, after(0.5 * K, W), rtol=1e-12)
    capsys.readouterr()
    for words, said in [(["--set", "beta"], "give a term"), (["--scale", "x=1"], "no term 'x'")]:
        assert main([*where, *words]) == 2
        assert said in capsys.readouterr().err


def test_where_two_explanations_fit_a_shifted_start_is_less_certain():
    """Confinement and attraction act alike on a population centred where it always was."""
    rng = np.random.default_rng(0)
    sizes = [2.0, 1.6, 1.28, 1.02]
    data = Snapshots(0.5 * np.arange(4.0), tuple(s * rng.normal(size=(400, 2)) for s in sizes))
    result = fit(
        data,
        potential="poly:2",
        interaction="poly:2",
        internal=False,
        likelihood="residual",
        draws=200,
    )
    assert result.identifiability.gauge.flagged

    def spread(shift):
        """Of the mean position after half a unit of time."""
        cloud = data.particles[-1] + np.array([shift, 0.0])
        found = forecast(result, start=cloud, horizon=0.5, draws=60).trajectories[:, -1]
        return found[:, :, 0].mean(axis=1).std()

    assert spread(4.0) > 5 * spread(0.0)
