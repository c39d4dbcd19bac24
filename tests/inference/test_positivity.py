"""A normal posterior given that some of its coefficients are positive."""

import numpy as np
import pytest
from scipy.stats import norm, truncnorm

from bayesjko.inference.positivity import keep_positive

MEAN = np.array([1.0, 2.0, -0.5])
ROOT = np.array([[1.0, 0.0, 0.0], [0.8, 0.7, 0.0], [-0.6, 0.5, 0.9]])
COVARIANCE = ROOT @ ROOT.T
DRAWS = MEAN + np.random.default_rng(0).normal(size=(4, 50_000, 3)) @ ROOT.T


def test_one_positive_coefficient_is_a_truncated_normal_and_the_others_follow_by_regression():
    mean, covariance, draws = keep_positive(MEAN, COVARIANCE, DRAWS, np.array([2]), seed=0)
    sd = np.sqrt(COVARIANCE[2, 2])
    marginal = truncnorm(-MEAN[2] / sd, np.inf, MEAN[2], sd)
    assert mean[2] == pytest.approx(marginal.mean())
    assert covariance[2, 2] == pytest.approx(marginal.var())
    slope = COVARIANCE[:2, 2] / COVARIANCE[2, 2]
    np.testing.assert_allclose(mean[:2], MEAN[:2] + slope * (marginal.mean() - MEAN[2]))
    assert draws.shape == DRAWS.shape
    kept = DRAWS.reshape(-1, 3)[DRAWS.reshape(-1, 3)[:, 2] > 0.0]
    flat = draws.reshape(-1, 3)
    assert flat[:, 2].min() >= 0.0
    np.testing.assert_allclose(flat.mean(axis=0), kept.mean(axis=0), atol=0.03)
    np.testing.assert_allclose(np.cov(flat.T), np.cov(kept.T), atol=0.03)
    np.testing.assert_allclose(covariance, np.cov(kept.T), atol=0.03)


def test_several_positive_coefficients_agree_with_rejection():
    mean, covariance, draws = keep_positive(MEAN, COVARIANCE, DRAWS, np.array([1, 2]), seed=0)
    flat = DRAWS.reshape(-1, 3)
    kept = flat[np.all(flat[:, 1:] > 0.0, axis=1)]
    np.testing.assert_allclose(mean, kept.mean(axis=0), atol=0.03)
    np.testing.assert_allclose(covariance, np.cov(kept.T), atol=0.03)
    assert draws[..., 1:].min() >= 0.0


def test_a_coefficient_that_is_clearly_positive_is_left_as_it_is():
    mean, covariance, draws = keep_positive(
        MEAN + [0.0, 0.0, 50.0], COVARIANCE, DRAWS, np.array([2]), seed=0
    )
    np.testing.assert_allclose(mean, MEAN + [0.0, 0.0, 50.0])
    np.testing.assert_allclose(covariance, COVARIANCE)
    np.testing.assert_allclose(draws[..., 2].std(), np.sqrt(COVARIANCE[2, 2]), rtol=0.02)


def test_far_below_zero_it_is_as_small_as_the_normals_tail_is_thin():
    mean, _, draws = keep_positive(
        np.array([-50.0]), np.eye(1), np.full((4, 9000, 1), -50.0), np.array([0]), 0
    )
    mills = norm.pdf(50.0) / norm.sf(50.0) if norm.sf(50.0) else 50.0 + 1.0 / 50.0
    assert mean[0] == pytest.approx(mills - 50.0, rel=0.01)
    assert draws.mean() == pytest.approx(0.02, rel=0.05)


def test_without_uncertainty_nothing_moves():
    draws = np.broadcast_to(MEAN, (4, 5, 3))
    mean, covariance, same = keep_positive(MEAN, np.zeros((3, 3)), draws, np.array([2]), seed=0)
    assert mean is MEAN
    assert same is draws
    assert not covariance.any()
