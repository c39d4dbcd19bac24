"""A walk in one pass over its intervals, against the same by dense matrices of all of them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import block_diag

from bayesjko.inference.conditioning import condition
from bayesjko.inference.conjugate import infer
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.random_walk import mixing, step_variances, unmixed, walked, wandering
from bayesjko.inference.smoothing import smoothed, surprise, walk_precision
from bayesjko.inference.tridiagonal import BlockTridiagonal
from bayesjko.models.bases import Polynomial
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.likelihoods.residual import Statistics

ENERGY = LinearEnergy(Polynomial(((1, 0), (2, 0), (0, 2))), internal=True)
K = ENERGY.size
TIMES = np.array([0.0, 1.0, 3.0, 3.5, 4.5, 5.0])
T = len(TIMES) - 1
SCALE = np.array([1e-2, 1.0, 1e2, 1.0])  # of features
RIDGE = np.array([0.3, 0.7, 2.0, 0.1]) * SCALE**2


def positive(rng, size):
    root = rng.normal(size=(size, 2 * size))
    return root @ root.T


def statistics(rng, theta=None, rows=40):
    design = rng.normal(size=(rows, K)) * (SCALE if theta is None else 1.0)
    y = design @ (rng.normal(size=K) / SCALE if theta is None else theta) + rng.normal(size=rows)
    return Statistics(design.T @ design, design.T @ y, float(y @ y), float(rows))


def influence(rng, blocks):
    """Of snapshots, each of which ends one interval and starts the next."""
    total = np.zeros((T * K, T * K))
    for k in range(T + 1):
        own = np.zeros((30, T, K))
        for j in (k - 1, k):
            if 0 <= j < T:
                own[:, j] = rng.normal(size=(30, K)) * np.sqrt(np.diag(blocks[j].gram) / 40)
        total += own.reshape(30, -1).T @ own.reshape(30, -1)
    return total


@pytest.fixture
def blocks():
    rng = np.random.default_rng(0)
    return tuple(statistics(rng) for _ in range(T))


@pytest.fixture
def meat(blocks):
    return influence(np.random.default_rng(1), blocks)


def dense(matrix):
    count, size = matrix.diagonal.shape[:2]
    full = np.zeros((count, size, count, size))
    for k in range(count):
        full[k, :, k] = matrix.diagonal[k]
        if k:
            full[k, :, k - 1] = matrix.below[k - 1]
            full[k - 1, :, k] = matrix.below[k - 1].T
    return full.reshape(count * size, -1)


def test_the_matrix_is_the_dense_one():
    rng = np.random.default_rng(2)
    full = positive(rng, T * K)
    full *= np.kron(np.abs(np.subtract.outer(range(T), range(T))) < 2, np.ones((K, K)))
    full += 40.0 * np.eye(T * K)  # without the far blocks it need not be definite
    matrix = BlockTridiagonal.cut(full, K)
    right = rng.normal(size=(T, K, 3))
    np.testing.assert_array_equal(dense(matrix), full)
    np.testing.assert_allclose(
        matrix.solve(right).reshape(T * K, 3),
        np.linalg.solve(full, right.reshape(T * K, 3)),
        rtol=1e-9,
    )
    assert matrix.log_determinant == pytest.approx(np.linalg.slogdet(full)[1], rel=1e-12)
    root = matrix.coloured(np.eye(T * K).reshape(T, K, -1)).reshape(T * K, -1)
    np.testing.assert_allclose(root @ root.T, full, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(dense(matrix.times(2.0) + matrix), 2.0 * full + full)


@pytest.mark.parametrize("noise", [0.7, "estimate", "inverse-gamma"])
@pytest.mark.parametrize("scale", [0.01, 0.7, 30.0])
def test_one_pass_finds_what_dense_matrices_find(blocks, meat, scale, noise):
    """In the independent coordinates of the walk, whose prior is that of separate periods."""
    variances = step_variances(ENERGY, TIMES, scale, 5.0)
    found = smoothed(blocks, RIDGE, variances, noise)
    mixed = mixing(ENERGY, TIMES, scale, 5.0)
    problem = LinearProblem(ENERGY, blocks, T, noise, lambda _: meat)
    expected = condition(walked(problem, mixed).blocks, RIDGE, noise)
    mean = mixed @ expected.mean.ravel()
    unit = np.sqrt(np.concatenate([np.diag(block.gram) for block in blocks]))  # of errors
    np.testing.assert_allclose(unit * found.mean.ravel(), unit * mean, rtol=1e-8, atol=1e-8)
    assert found.log_evidence == pytest.approx(expected.log_evidence, rel=1e-9)
    assert found.noise == pytest.approx(expected.noise, rel=1e-9)
    eye = np.eye(T * K).reshape(T, K, -1)
    root = unit[:, None] * found.errors(BlockTridiagonal.cut(meat, K), eye).reshape(T * K, -1)
    gram, prior = block_diag(*(block.gram for block in blocks)), dense(found.prior)
    bread = np.linalg.inv((gram + prior) / np.outer(unit, unit))
    middle = (meat + found.noise * prior) / np.outer(unit, unit)
    np.testing.assert_allclose(root @ root.T, bread @ middle @ bread, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("scale", [0.01, 0.7, 30.0])
def test_the_estimating_function_is_as_probable_as_by_dense_matrices(blocks, meat, scale):
    variances = step_variances(ENERGY, TIMES, scale)
    gram = block_diag(*(block.gram for block in blocks))
    moment = np.concatenate([block.moment for block in blocks])
    mixed = mixing(ENERGY, TIMES, scale)
    prior = mixed @ np.diag(np.tile(1.0 / RIDGE, T)) @ mixed.T
    np.testing.assert_allclose(
        dense(walk_precision(RIDGE, variances)) @ prior, np.eye(T * K), atol=1e-5
    )
    covariance = meat + 1e-10 * np.diag(np.diag(meat)) + gram @ prior @ gram
    unit = 1.0 / np.sqrt(np.diag(covariance))
    scaled = unit[:, None] * covariance * unit
    expected = 0.5 * np.linalg.slogdet(scaled)[1] - np.sum(np.log(unit))
    expected += 0.5 * (unit * moment) @ np.linalg.solve(scaled, unit * moment)
    found = surprise(blocks, BlockTridiagonal.cut(meat, K), RIDGE, variances)
    assert found == pytest.approx(expected, rel=1e-7)


def test_its_limits_are_one_energy_and_separate_energies(blocks):
    still = smoothed(blocks, RIDGE, step_variances(ENERGY, TIMES, 1e-4), 1.0)
    one = condition([sum(blocks[1:], blocks[0])], RIDGE, 1.0)
    unit = np.sqrt(np.diag(sum(blocks[1:], blocks[0]).gram))
    np.testing.assert_allclose(unit * (still.mean - one.mean), 0.0, atol=1e-4)
    free = np.full((T, K), 1e12)
    apart = smoothed(blocks, RIDGE, free, 1.0)
    each = condition(blocks, RIDGE / 1e12, 1.0)
    unit = np.sqrt(np.stack([np.diag(block.gram) for block in blocks]))
    np.testing.assert_allclose(unit * (apart.mean - each.mean), 0.0, atol=1e-8)


def test_a_posterior_by_passes_is_the_one_by_dense_matrices():
    """Whatever is said of θ: of problems that differ in nothing but a trifle far from the band."""
    rng, options = np.random.default_rng(3), InferenceOptions(draws=4000)
    thetas = np.cumsum(rng.normal(size=(T, K)) * np.r_[1.0, np.full(T - 1, 0.5)][:, None], axis=0)
    blocks = tuple(statistics(rng, theta) for theta in thetas)
    meat = influence(rng, blocks)
    problem = LinearProblem(ENERGY, blocks, T, "inverse-gamma", lambda _: meat)
    trifle = meat.copy()
    trifle[0, -1] = trifle[-1, 0] = 1e-300
    found, expected = (
        unmixed(infer(each, options), each)
        for each in (
            wandering(problem, TIMES, options),
            wandering(replace(problem, meat=lambda _: trifle), TIMES, options),
        )
    )
    unit = np.stack([np.sqrt(np.diag(block.gram)) for block in blocks])
    np.testing.assert_allclose(unit * (found.mean - expected.mean), 0.0, atol=0.15)
    ratio = found.draws.std(axis=0) / expected.draws.std(axis=0)
    np.testing.assert_allclose(ratio, 1.0, atol=0.15)
    assert found.log_evidence == pytest.approx(expected.log_evidence, abs=1.5)
    assert found.walk[0] == pytest.approx(expected.walk[0], rel=0.5)
