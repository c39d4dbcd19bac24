"""A normal posterior given that some of its coefficients are positive."""

import numpy as np
import pytest
from scipy.integrate import quad

from bayesjko.inference.conditioning import condition
from bayesjko.inference.positivity import keep_positive, most_likely
from bayesjko.models.likelihoods.residual import Statistics

MEAN = np.array([1.0, 2.0, -0.5])
ROOT = np.array([[1.0, 0.0, 0.0], [0.8, 0.7, 0.0], [-0.6, 0.5, 0.9]])
COVARIANCE = ROOT @ ROOT.T
DRAWS = MEAN + np.random.default_rng(0).normal(size=(4, 8_000, 3)) @ ROOT.T


def moments(mean, sd, power):
    """Of N(mean, sd²) times β^power above zero, in r = √β."""

    def density(r):
        return r ** (2.0 * power + 1.0) * np.exp(-0.5 * ((r**2 - mean) / sd) ** 2)

    top = np.sqrt(max(mean, 0.0) + 10.0 * sd)
    total, first, second = (quad(lambda r, p=p: r**p * density(r), 0, top)[0] for p in (0, 2, 4))
    return first / total, second / total - (first / total) ** 2


@pytest.mark.parametrize("power", [-0.75, -0.5, 0.0])
@pytest.mark.parametrize("middle", [-2.5, -0.5, 0.0, 0.7, 3.0])
def test_one_positive_coefficient_has_its_density_and_the_others_follow(middle, power):
    start = np.array([1.0, 2.0, middle])
    given = DRAWS + start - MEAN
    mean, covariance, draws = keep_positive(
        start, COVARIANCE, given, np.array([2]), seed=0, power=power
    )
    centre, variance = moments(middle, np.sqrt(COVARIANCE[2, 2]), power)
    assert mean[2] == pytest.approx(centre)
    assert covariance[2, 2] == pytest.approx(variance)
    slope = COVARIANCE[:2, 2] / COVARIANCE[2, 2]
    np.testing.assert_allclose(mean[:2], start[:2] + slope * (centre - middle))
    assert draws.shape == DRAWS.shape
    flat = draws.reshape(-1, 3)
    assert flat[:, 2].min() >= 0.0
    np.testing.assert_allclose(flat.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(flat.T), covariance, atol=0.03)


@pytest.mark.parametrize("power", [-0.5, 0.0])
def test_several_positive_coefficients_agree_with_weighing(power):
    mean, covariance, draws = keep_positive(
        MEAN, COVARIANCE, DRAWS[:, :3_000], np.array([1, 2]), seed=0, power=power
    )
    flat = MEAN + np.random.default_rng(1).normal(size=(400_000, 3)) @ ROOT.T
    kept = flat[np.all(flat[:, 1:] > 0.0, axis=1)]
    weight = np.prod(kept[:, 1:], axis=1) ** power
    np.testing.assert_allclose(mean, np.average(kept, axis=0, weights=weight), atol=0.04)
    np.testing.assert_allclose(covariance, np.cov(kept.T, aweights=weight), atol=0.04)
    assert draws[..., 1:].min() >= 0.0


def test_a_coefficient_that_is_clearly_positive_is_left_as_it_is():
    mean, covariance, draws = keep_positive(
        MEAN + [0.0, 0.0, 50.0], COVARIANCE, DRAWS, np.array([2]), seed=0
    )
    np.testing.assert_allclose(mean, MEAN + [0.0, 0.0, 50.0])
    np.testing.assert_allclose(covariance, COVARIANCE)
    np.testing.assert_allclose(draws[..., 2].std(), np.sqrt(COVARIANCE[2, 2]), rtol=0.02)


def test_flat_in_its_root_it_is_hardly_moved_there():
    mean, covariance, draws = keep_positive(
        MEAN + [0.0, 0.0, 50.0], COVARIANCE, DRAWS, np.array([2]), seed=0, power=-0.5
    )
    # by half its variance over itself
    assert 49.5 - mean[2] == pytest.approx(0.5 * COVARIANCE[2, 2] / 49.5, rel=0.01)
    np.testing.assert_allclose(covariance, COVARIANCE, rtol=1e-3)
    np.testing.assert_allclose(draws[..., 2].std(), np.sqrt(COVARIANCE[2, 2]), rtol=0.02)


@pytest.mark.parametrize(("power", "expected"), [(0.0, 0.02), (-0.5, 0.01), (-0.75, 0.005)])
def test_far_below_zero_it_is_as_small_as_the_normals_tail_is_thin(power, expected):
    """e^(−50β) β^power: a gamma distribution of shape 1 + power, at a rate of 50."""
    mean, _, draws = keep_positive(
        np.array([-50.0]), np.eye(1), np.full((4, 9000, 1), -50.0), np.array([0]), 0, power=power
    )
    assert mean[0] == pytest.approx(expected, rel=0.01)
    assert draws.mean() == pytest.approx(expected, rel=0.05)


def test_without_uncertainty_nothing_moves():
    draws = np.broadcast_to(MEAN, (4, 5, 3))
    mean, covariance, same = keep_positive(MEAN, np.zeros((3, 3)), draws, np.array([2]), seed=0)
    assert mean is MEAN
    assert same is draws
    assert not covariance.any()


@pytest.mark.parametrize(
    "pull", [[3.0, 1.0, 2.0, -4.0], [1.0, -3.0, 2.0, -0.5], [1.0, 2.0, 0.5, 3.0]]
)
def test_the_most_likely_beta_is_not_negative_and_no_possible_place_is_likelier(pull):
    root = np.random.default_rng(1).normal(size=(6, 4))
    gram, moment = root.T @ root, np.array(pull)
    found = condition((Statistics(gram, moment, 10.0, 6.0),), np.array([0.1, 0.1]), 1.0)
    best = most_likely(found, -1)
    assert np.all(best.mean[:, -1] >= 0.0)
    if np.all(found.mean[:, -1] >= 0.0):
        assert best is found
    slope = np.linalg.inv(found.joint_inverse()) @ (best.mean - found.mean).ravel()
    slope = slope.reshape(best.mean.shape)  # of the objective: zero, or outwards at the bound
    np.testing.assert_allclose(slope[:, 0], 0.0, atol=1e-9)
    np.testing.assert_allclose(slope[:, 1] * best.mean[:, 1], 0.0, atol=1e-9)
    assert np.all(slope[:, 1] > -1e-9)
