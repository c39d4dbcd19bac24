"""The closed form by other roads: dual evidence, finite differences, distributions of draws."""

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.linalg import block_diag

from bayesjko.inference import conditioning
from bayesjko.inference.conditioning import condition, draw_conditioned, maximise_evidence
from bayesjko.inference.posterior import CHAINS
from bayesjko.models.errors import InputError
from bayesjko.models.likelihoods.residual import Statistics

SIZE = 5
NOISES = [0.3, "estimate", "inverse-gamma"]


def regression(seed=0, rows=40, noise=0.5):
    """A linear regression y = Xθ + ε, its features of unequal size."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, SIZE)) * np.array([1.0, 3.0, 0.2, 1.0, 10.0])
    return x, x @ rng.normal(size=SIZE) + noise * rng.normal(size=rows)


def sums(x, y):
    return Statistics(x.T @ x, x.T @ y, float(y @ y), float(len(y)))


RIDGE = np.array([0.5, 0.1, 2.0, 1.0, 4.0])
X, Y = regression()
TWO = [regression(1, 30), regression(2, 25)]


def test_the_mean_is_the_ridge_solution_and_the_covariance_its_inverse():
    found = condition([sums(X, Y)], RIDGE, 0.3)
    q = X.T @ X + np.diag(RIDGE)
    np.testing.assert_allclose(found.mean, [np.linalg.solve(q, X.T @ Y)], rtol=1e-11)
    np.testing.assert_allclose(found.joint_inverse() @ q, np.eye(SIZE), atol=1e-11)
    np.testing.assert_allclose(found.precision, RIDGE / 0.3, rtol=1e-14)
    assert found.noise == 0.3


def test_periods_are_conditioned_each_on_its_own():
    both = condition([sums(x, y) for x, y in TWO], RIDGE, 0.3)
    alone = [condition([sums(x, y)], RIDGE, 0.3) for x, y in TWO]
    np.testing.assert_array_equal(both.mean, np.concatenate([one.mean for one in alone]))
    np.testing.assert_array_equal(
        both.joint_inverse(), block_diag(*(one.joint_inverse() for one in alone))
    )
    assert both.log_evidence == pytest.approx(sum(one.log_evidence for one in alone), rel=1e-12)


def test_a_block_may_hold_several_periods():
    both = condition([sums(x, y) for x, y in TWO], RIDGE, "inverse-gamma")
    parts = [sums(x, y) for x, y in TWO]
    joint = Statistics(
        np.asarray(block_diag(*(s.gram for s in parts))),
        np.concatenate([s.moment for s in parts]),
        sum(s.square for s in parts),
        sum(s.count for s in parts),
    )
    found = condition([joint], RIDGE, "inverse-gamma")
    np.testing.assert_allclose(found.mean, both.mean, rtol=1e-11)
    np.testing.assert_allclose(found.joint_inverse(), both.joint_inverse(), rtol=1e-10, atol=1e-14)
    assert found.log_evidence == pytest.approx(both.log_evidence, rel=1e-12)


def marginal(x, ridge):
    """Covariance of y in units of s²: the N×N road."""
    return np.eye(len(x)) + (x / ridge) @ x.T


def test_the_evidence_at_a_given_noise_is_the_dual_normal_density():
    found = condition([sums(X, Y)], RIDGE, 0.3)
    expected = stats.multivariate_normal(np.zeros(len(Y)), 0.3 * marginal(X, RIDGE)).logpdf(Y)
    assert found.log_evidence == pytest.approx(expected, rel=1e-10)


def test_the_noise_estimated_is_the_most_probable_one():
    found = condition([sums(X, Y)], RIDGE, "estimate")

    def evidence(noise):
        covariance = noise * marginal(X, RIDGE)
        return stats.multivariate_normal(np.zeros(len(Y)), covariance).logpdf(Y)

    best = optimize.minimize_scalar(
        lambda log: -evidence(np.exp(log)), (-3.0, 3.0), options={"xtol": 1e-10}
    )
    assert found.noise == pytest.approx(np.exp(best.x), rel=1e-6)
    assert found.log_evidence == pytest.approx(-best.fun, rel=1e-9)


@pytest.mark.parametrize(("shape", "rate"), [(None, None), (1.7, 0.2)])
def test_the_evidence_with_unknown_noise_is_the_dual_student_density(shape, rate, monkeypatch):
    if shape is not None:
        monkeypatch.setattr(conditioning, "NOISE_SHAPE", shape)
        monkeypatch.setattr(conditioning, "_RELATIVE_RATE", rate)
    shape, rate = conditioning.NOISE_SHAPE, conditioning._RELATIVE_RATE * float(Y @ Y)
    found = condition([sums(X, Y)], RIDGE, "inverse-gamma")
    student = stats.multivariate_t(
        np.zeros(len(Y)), rate / shape * marginal(X, RIDGE), df=2.0 * shape
    )
    assert found.log_evidence == pytest.approx(student.logpdf(Y), rel=1e-9)


def test_the_noise_reported_is_its_posterior_mean():
    found = condition([sums(X, Y)], RIDGE, "inverse-gamma")
    mean = found.mean[0]
    residual = np.sum((Y - X @ mean) ** 2) + mean @ (RIDGE * mean)
    posterior = stats.invgamma(found.shape, scale=0.5 * residual)
    assert found.shape == pytest.approx(0.5 * len(Y), rel=1e-3)
    assert found.noise == pytest.approx(posterior.mean(), rel=1e-9)


def objectives(monkeypatch):
    """What the optimiser is given from here on."""
    seen = []

    def spy(objective, start, **options):
        seen.append(objective)
        return optimize.minimize(objective, start, **options)

    monkeypatch.setattr(conditioning, "minimize", spy)
    return seen


@pytest.mark.parametrize("noise", NOISES)
def test_the_evidence_climbs_along_its_own_slope(noise, monkeypatch):
    """The gradient given to the optimiser against finite differences."""
    seen = objectives(monkeypatch)
    for data in ([sums(X, Y)], [sums(x, y) for x, y in TWO]):
        maximise_evidence(data, SIZE, [slice(0, 3), slice(3, 4)], noise, weak=[4])
        for logs in ([0.3, -1.2], [4.0, 2.0], [-3.0, 5.0]):
            slope = seen[-1](np.array(logs))[1]
            numeric = optimize.approx_fprime(logs, lambda at: seen[-1](at)[0], 1e-5)
            np.testing.assert_allclose(slope, numeric, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("noise", ["estimate", "inverse-gamma"])
def test_the_slope_is_right_where_hardly_any_residual_is_left(noise, monkeypatch):
    """Noise-free data: the prior of the noise holds the evidence finite, and bends its slope."""
    seen = objectives(monkeypatch)
    x, y = regression(noise=0.0)
    maximise_evidence([sums(x, y)], SIZE, [slice(0, SIZE)], noise)
    for log in (-17.0, -19.0, -21.0):
        ahead, behind = (seen[-1](np.array([log + step]))[0] for step in (0.1, -0.1))
        slope = seen[-1](np.array([log]))[1][0]
        assert slope == pytest.approx((ahead - behind) / 0.2, rel=0.02, abs=0.05)


@pytest.mark.parametrize("noise", NOISES)
def test_the_scales_found_are_the_most_probable_ones(noise):
    groups = [slice(0, 3), slice(3, SIZE)]
    blocks = [sums(x, y) for x, y in TWO]
    found = maximise_evidence(blocks, SIZE, groups, noise)
    assert len(np.unique(found.ridge[:3])) == len(np.unique(found.ridge[3:])) == 1
    for group in groups:
        for factor in (0.02, 0.5, 0.9, 1.1, 2.0, 50.0):
            ridge = found.ridge.copy()
            ridge[group] *= factor
            assert condition(blocks, ridge, noise).log_evidence < found.log_evidence


def test_a_coefficient_left_weak_is_hardly_shrunk():
    found = maximise_evidence([sums(X, Y)], SIZE, [slice(0, SIZE - 1)], 0.3, weak=[SIZE - 1])
    assert found.ridge[-1] == pytest.approx(1e-6 * (X[:, -1] @ X[:, -1]))


def test_nothing_to_scale_needs_no_search():
    x, y = X[:, :1], Y
    found = maximise_evidence([sums(x, y)], 1, [], "inverse-gamma", weak=[0])
    assert found.mean[0, 0] == pytest.approx(x[:, 0] @ y / (x[:, 0] @ x[:, 0]), rel=1e-5)


def test_a_prior_too_weak_for_collinear_features_is_told():
    x = np.concatenate([X, X[:, :1]], axis=1)
    with pytest.raises(InputError, match="collinear"):
        condition([sums(x, Y)], np.full(SIZE + 1, 1e-300), 0.3)


def test_collinear_features_do_not_stop_the_search():
    x = np.concatenate([X, X[:, :1]], axis=1)
    found = maximise_evidence([sums(x, Y)], SIZE + 1, [slice(0, SIZE + 1)], "inverse-gamma")
    assert found.mean[0, 0] == pytest.approx(found.mean[0, -1], rel=1e-6)


@pytest.mark.parametrize("noise", NOISES)
def test_draws_have_the_posteriors_moments(noise):
    blocks = [sums(x, y) for x, y in TWO]
    found = condition(blocks, RIDGE, noise)
    draws, squares = draw_conditioned(found, None, 40_000, seed=0)
    assert draws.shape == (CHAINS, 10_000, 2, SIZE)
    assert squares.shape == (CHAINS, 10_000)
    offsets = (draws - found.mean).reshape(-1, 2 * SIZE)
    covariance = found.noise * found.joint_inverse()
    check_moments(offsets, covariance)
    assert squares.mean() == pytest.approx(found.noise, rel=0.01)


def check_moments(offsets, covariance):
    """Mean zero and this covariance, within five Monte-Carlo errors."""
    root = np.linalg.cholesky(covariance)
    white = np.linalg.solve(root, offsets.T).T
    error = 1.0 / np.sqrt(len(white))
    np.testing.assert_allclose(white.mean(axis=0), 0.0, atol=5 * error)
    np.testing.assert_allclose(np.cov(white.T), np.eye(len(root)), atol=5 * np.sqrt(3) * error)


def test_draws_with_a_covariance_of_their_own_are_normal_with_it():
    found = condition([sums(x, y) for x, y in TWO], RIDGE, "inverse-gamma")
    root = np.random.default_rng(4).normal(size=(2 * SIZE, 2 * SIZE))
    draws, _ = draw_conditioned(found, root @ root.T, 40_000, seed=0)
    offsets = (draws - found.mean).reshape(-1, 2 * SIZE)
    check_moments(offsets, root @ root.T)
    scaled = offsets[:, 3] / np.linalg.norm(root[3])
    assert stats.kstest(scaled, stats.norm.cdf).pvalue > 1e-3


def test_draws_with_unknown_noise_are_student():
    """Few observations, so that the normal distribution is far away."""
    x, y = regression(3, rows=6)
    found = condition([sums(x, y)], RIDGE, "inverse-gamma")
    draws, squares = draw_conditioned(found, None, 20_000, seed=1)
    rate = found.noise * (found.shape - 1.0)
    spread = np.sqrt(rate / found.shape * np.diag(found.joint_inverse()))
    scaled = (draws - found.mean).reshape(-1, SIZE)[:, 2] / spread[2]
    assert stats.kstest(scaled, stats.t(2.0 * found.shape).cdf).pvalue > 1e-3
    assert stats.kstest(scaled, stats.norm.cdf).pvalue < 1e-6
    assert stats.kstest(squares.ravel(), stats.invgamma(found.shape, scale=rate).cdf).pvalue > 1e-3


def test_a_seed_fixes_the_draws_and_chains_are_filled():
    found = condition([sums(X, Y)], RIDGE, "inverse-gamma")
    first, again, other = (draw_conditioned(found, None, 10, seed)[0] for seed in (0, 0, 1))
    assert first.shape == (CHAINS, 3, 1, SIZE)
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == other)
