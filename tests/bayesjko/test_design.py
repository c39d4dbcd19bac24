"""The next snapshot's worth, where the energy has one unknown and all is known by hand."""

import numpy as np
import pytest

from bayesjko import InputError, Result, Snapshots, expected_information
from bayesjko.inference.posterior import Posterior
from bayesjko.models.bases import Polynomial
from bayesjko.models.data import Standardisation
from bayesjko.models.energies import LinearEnergy

TIMES = np.array([0.0, 0.5, 1.0])
K, SD = 0.5, 0.1


@pytest.fixture(scope="module")
def result():
    """V = ½k‖x − mean‖² with k ~ N(K, SD²), and a last cloud off the mean."""
    rng = np.random.default_rng(0)
    clouds = tuple(rng.normal(size=(400, 2)) + shift for shift in (0.0, 0.5, 2.0))
    snapshots = Snapshots(TIMES, clouds)
    units = Standardisation.of(snapshots)
    k = K + SD * np.random.default_rng(1).normal(size=400)
    theta = 0.5 * units.duration * np.repeat(k[:, None, None], 2, axis=2)
    posterior = Posterior(theta[None], theta.mean(axis=0), None, None, None, "conjugate", "model")
    energy = LinearEnergy(Polynomial(((2, 0), (0, 2))))
    return Result(energy, units, snapshots, posterior, {"scheme": "explicit"})


def one_step(result, k, tau):
    centre = result.standardisation.mean
    return (1 - k * tau) * (result.snapshots.particles[-1] - centre)


def test_one_unknown_leaves_one_over_the_root_of_one_plus_its_information(result):
    """Exactly: ½ log(1 + λ) nats, λ = Var(k) m′ᵀS⁻¹m′, and a forecast √(1 + λ) times as sure."""
    found = expected_information(result, [1.1, 1.4], target=1.5, particles=200, draws=400)
    var = np.var(result.posterior.draws[:, 0, 0]) * (2 / result.standardisation.duration) ** 2
    for index, tau in enumerate([0.1, 0.4]):
        up, down = (one_step(result, K + h, tau) for h in (1e-4, -1e-4))
        slope = [np.mean(up - down, axis=0), np.mean(up**2 - down**2, axis=0)]
        slope = np.concatenate(slope) / 2e-4
        cloud = one_step(result, K, tau)
        sampling = np.cov(np.concatenate([cloud, cloud**2], axis=1).T) / 200
        information = var * slope @ np.linalg.solve(sampling, slope)
        assert found.gain[index] == pytest.approx(0.5 * np.log1p(information), rel=0.05)
        np.testing.assert_allclose(
            found.after[index], found.before / np.sqrt(1 + information), rtol=0.02
        )
    assert found.best == 1.4
    assert found.target == 1.5


def test_more_particles_tell_more(result):
    few, many = (expected_information(result, [1.4], particles=n, draws=100) for n in (50, 5000))
    assert many.gain[0] > few.gain[0] + 0.3
    assert np.all(many.after < few.after)
    assert np.all(few.after <= few.before)


@pytest.mark.parametrize(
    ("times", "options", "said"),
    [
        ([0.9], {}, "after the last snapshot's, 1"),
        ([], {}, "after the last"),
        ([1.5], {"target": 0.5}, "target after"),
        ([1.5], {"draws": 2}, "at least 3"),
        ([1.5], {"particles": 1}, "at least 2"),
    ],
)
def test_what_cannot_be_planned_is_told(result, times, options, said):
    with pytest.raises(InputError, match=said):
        expected_information(result, times, **options)
