"""Energies that wander: their limits, an oracle by another road, and what the evidence finds."""

from dataclasses import astuple, replace

import numpy as np
import pytest
from scipy.linalg import block_diag

from bayesjko.inference.conjugate import conditioned_problem, infer
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.random_walk import (
    mixing,
    unmixed,
    walk_scale,
    walked,
    wander,
    wandering,
)
from bayesjko.models.bases import Polynomial
from bayesjko.models.data import middles
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.likelihoods.moments import goodness_of_fit
from bayesjko.models.likelihoods.residual import Statistics

ENERGY = LinearEnergy(Polynomial(((1, 0), (2, 0), (0, 2))))
K = 3
TIMES = np.array([0.0, 1.0, 3.0, 3.5, 4.5])
OPTIONS = InferenceOptions(draws=4, covariance="model", prior_scale=2.0)


def statistics(theta, rng, rows=40):
    """Of a plain regression y = Xθ + ε with unit noise."""
    design = rng.normal(size=(rows, K))
    y = design @ theta + rng.normal(size=rows)
    return Statistics(design.T @ design, design.T @ y, float(y @ y), float(rows))


def problem_of(thetas, seed=0, rows=40):
    rng = np.random.default_rng(seed)
    blocks = tuple(statistics(theta, rng, rows) for theta in thetas)
    gram = block_diag(*(block.gram for block in blocks))
    return LinearProblem(ENERGY, blocks, len(blocks), 1.0, lambda _: gram)


PROBLEM = problem_of(np.random.default_rng(1).normal(size=(4, K)))


def conditioned(problem, scale, options=OPTIONS):
    """θ's mean and covariance, all periods together, of a walk with this q."""
    mixed = mixing(ENERGY, TIMES, scale)
    found = conditioned_problem(walked(problem, mixed), options)
    return mixed @ found.mean.ravel(), mixed @ found.joint_inverse() @ mixed.T


def test_it_is_the_posterior_under_a_block_tridiagonal_precision():
    """Steps between the middles of intervals: 1.5, 1.25 and 0.75 long."""
    q, prior = 0.7, 1 / OPTIONS.prior_scale**2
    steps = np.array([1.5, 1.25, 0.75])
    np.testing.assert_allclose(np.diff(middles(TIMES)), steps)
    chain = np.zeros((4, 4))
    chain[0, 0] = 1.0
    for k, step in enumerate(steps):
        chain[k : k + 2, k : k + 2] += np.array([[1, -1], [-1, 1]]) / (q**2 * step)
    precision = prior * np.kron(chain, np.eye(K)) + block_diag(*(b.gram for b in PROBLEM.blocks))
    moment = np.concatenate([b.moment for b in PROBLEM.blocks])
    mean, covariance = conditioned(PROBLEM, q)
    np.testing.assert_allclose(mean, np.linalg.solve(precision, moment), rtol=1e-9)
    np.testing.assert_allclose(covariance, np.linalg.inv(precision), rtol=1e-8, atol=1e-12)


def test_without_steps_it_is_one_energy_for_all_times():
    together = sum(PROBLEM.blocks[1:], PROBLEM.blocks[0])
    static = conditioned_problem(replace(PROBLEM, blocks=(together,), periods=1), OPTIONS)
    mean, covariance = conditioned(PROBLEM, 1e-7)
    np.testing.assert_allclose(mean.reshape(4, K), np.tile(static.mean, (4, 1)), rtol=1e-6)
    np.testing.assert_allclose(covariance, np.tile(static.inverses[0], (4, 4)), rtol=1e-6)


def test_with_steps_of_any_size_it_is_an_energy_for_each_interval():
    vague = replace(OPTIONS, prior_scale=1e4)
    piecewise = conditioned_problem(PROBLEM, vague)
    mean, covariance = conditioned(PROBLEM, 1e3, vague)
    np.testing.assert_allclose(mean, piecewise.mean.ravel(), rtol=1e-6)
    np.testing.assert_allclose(covariance, piecewise.joint_inverse(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("covariance", ["model", "sandwich"])
@pytest.mark.parametrize("truth", [0.0, 0.3])
def test_the_evidence_finds_how_much_it_wanders(covariance, truth):
    """30 steps of 3 coefficients tell q to about a tenth."""
    rng = np.random.default_rng(3)
    steps = truth * rng.normal(size=(30, K))
    steps[0] = rng.normal(size=K)
    problem = problem_of(np.cumsum(steps, axis=0), rows=200)
    options = InferenceOptions(draws=4, covariance=covariance, prior_scale=1.0)
    found = walk_scale(problem, np.arange(31.0), options)
    if truth:
        assert found == pytest.approx(truth, rel=0.3)
    else:
        assert found < 0.02


def test_wandering_follows_a_change_that_piecewise_energies_blur():
    """The mean error of all periods is smaller than of either limit, and intervals hold."""
    rng = np.random.default_rng(5)
    truth = np.cumsum(np.concatenate([rng.normal(size=(1, K)), 0.3 * rng.normal(size=(11, K))]), 0)
    times, options = np.arange(13.0), InferenceOptions(draws=2000)
    problem = problem_of(truth, rows=12)
    walk = wandering(problem, times, options)
    found = unmixed(infer(walk, options), walk)
    piecewise = infer(problem, options)
    together = sum(problem.blocks[1:], problem.blocks[0])
    one = replace(
        problem, blocks=(together,), periods=1, meat=lambda _: together.gram, reweighted=None
    )
    errors = [
        np.sqrt(np.mean((posterior.mean - truth) ** 2))
        for posterior in (found, piecewise, infer(one, options))
    ]
    assert errors[0] < 0.9 * min(errors[1:])
    low, high = np.quantile(found.draws, [0.05, 0.95], axis=0)
    assert 0.75 < np.mean((low < truth) & (truth < high)) <= 1.0
    np.testing.assert_allclose(found.draws.mean(axis=0), found.mean, atol=0.1)
    assert found.covariance.shape == (12, K, K)
    rate = np.sqrt(found.walk)
    assert np.all((rate > 0.1) & (rate < 0.9))
    assert unmixed(piecewise, problem) is piecewise


def test_beta_does_not_wander():
    energy = replace(ENERGY, internal=True)
    theta = mixing(energy, TIMES, 2.0) @ np.random.default_rng(0).normal(size=4 * 4)
    steps = np.diff(theta.reshape(4, 4), axis=0)
    assert np.all(np.abs(steps[:, 3]) < 1e-3)
    assert np.all(np.abs(steps[:, :3]) > 1e-2)


KNOTS = np.array([0.0, 1.0, 3.0])
RATE = np.array([0.5, 2.0])


def test_a_path_is_a_bridge_between_knots_and_free_beyond():
    draws = np.random.default_rng(0).normal(size=(3, 2))
    many = np.broadcast_to(draws, (20_000, 3, 2))
    times = np.array([-2.0, -0.5, 0.25, 1.0, 2.0, 3.0, 4.0, 6.0])
    path = wander(many, RATE, KNOTS, times, seed=1)
    expected = {2: 0.75 * draws[0] + 0.25 * draws[1], 3: draws[1], 4: 0.5 * (draws[1] + draws[2])}
    expected |= {5: draws[2], 6: draws[2], 7: draws[2], 0: draws[0], 1: draws[0]}
    spans = {0: 2.0, 1: 0.5, 2: 0.25 * 0.75, 3: 0.0, 4: 0.5, 5: 0.0, 6: 1.0, 7: 3.0}
    for index, span in spans.items():
        np.testing.assert_allclose(path[:, index].mean(axis=0), expected[index], atol=0.04)
        np.testing.assert_allclose(path[:, index].var(axis=0), span * RATE, rtol=0.04, atol=1e-20)
    # increments are independent on the way out
    later, first = path[:, 7] - path[:, 6], path[:, 6] - path[:, 5]
    np.testing.assert_allclose(later.var(axis=0), 2.0 * RATE, rtol=0.04)
    assert abs(np.corrcoef(later[:, 0], first[:, 0])[0, 1]) < 0.03
    certain = wander(many[:5], RATE, KNOTS, times, certain=2)
    np.testing.assert_allclose(certain[:2], np.tile([expected[i] for i in range(8)], (2, 1, 1)))
    assert not np.any(certain[2:, 0] == expected[0])


def test_a_path_does_not_jump_with_the_time_asked_for():
    draws = np.random.default_rng(0).normal(size=(5, 3, 2))
    close = [wander(draws, RATE, KNOTS, np.array([t]))[:, 0] for t in (1.6, 1.6001)]
    np.testing.assert_allclose(*close, atol=1e-3)
    ends = [wander(draws, RATE, KNOTS, np.array([t]))[:, 0] for t in (0.0, 3.0)]
    np.testing.assert_array_equal(np.stack(ends, axis=1), draws[:, [0, 2]])


def test_the_test_of_fit_is_that_of_one_energy_where_nothing_wanders():
    """Moment equations of three intervals, as one problem of u and as one of a single θ."""
    rng = np.random.default_rng(4)
    rows, times, options = 9, np.arange(4.0), replace(OPTIONS, covariance="sandwich")
    jacobian = block_diag(*rng.normal(size=(3, rows, K)))
    observed = jacobian @ np.tile(rng.normal(size=K), 3) + rng.normal(size=3 * rows)
    weight, together = np.eye(3 * rows), np.tile(np.eye(K), (3, 1))

    def problem_with(slopes, periods):
        def fit_test(conditioned, mixed=None):
            changed = slopes if mixed is None else slopes @ mixed
            left = observed - changed @ conditioned.mean.ravel()
            inverse, ridge = conditioned.joint_inverse(), np.tile(conditioned.ridge, periods)
            return goodness_of_fit(left, weight, changed, inverse, weight, ridge)

        gram = slopes.T @ slopes
        moments = Statistics(gram, slopes.T @ observed, float(observed @ observed), 3.0 * rows)
        return LinearProblem(ENERGY, (moments,), periods, 1.0, lambda _: gram, fit_test)

    one, each = problem_with(jacobian @ together, 1), problem_with(jacobian, 3)
    still = walked(each, mixing(ENERGY, times, 1e-6))
    expected = infer(one, options).goodness_of_fit
    np.testing.assert_allclose(
        astuple(infer(still, options).goodness_of_fit), astuple(expected), rtol=1e-4
    )
    moving = infer(walked(each, mixing(ENERGY, times, 10.0)), options).goodness_of_fit
    assert moving.degrees_of_freedom < expected.degrees_of_freedom - K
