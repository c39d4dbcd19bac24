"""Distances against enumeration, one-dimensional formulas, maps known to be optimal, and laws."""

from itertools import permutations

import numpy as np
import pytest
import scipy.stats
from scipy.linalg import sqrtm

from bayesjko.inference import distances
from bayesjko.inference.distances import (
    bures_wasserstein,
    energy_score,
    median_distance,
    mmd,
    wasserstein,
)


def cloud(seed, n, d, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_wasserstein_of_few_particles_is_the_best_permutation(order, seed):
    x, y = cloud(seed, 6, 2), cloud(seed + 10, 6, 2, 1.0)
    prices = np.linalg.norm(x[:, None] - y, axis=2) ** order
    best = min(np.mean([prices[i, p[i]] for i in range(6)]) for p in permutations(range(6)))
    assert wasserstein(x, y, order=order) == pytest.approx(best ** (1 / order), rel=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_wasserstein_in_one_dimension_matches_sorted_particles(order):
    x, y = cloud(0, 300, 1), 2 * cloud(1, 300, 1)
    gaps = np.abs(np.sort(x[:, 0]) - np.sort(y[:, 0]))
    expected = np.mean(gaps**order) ** (1 / order)
    assert wasserstein(x, y, order=order) == pytest.approx(expected, rel=1e-12)


def test_weighted_w1_in_one_dimension_matches_scipy():
    x, y = cloud(0, 40, 1), cloud(1, 70, 1, 0.5)
    rng = np.random.default_rng(2)
    wx, wy = rng.random(40), 3 * rng.random(70)
    expected = scipy.stats.wasserstein_distance(x[:, 0], y[:, 0], wx, wy)
    assert wasserstein(x, y, wx, wy) == pytest.approx(expected, rel=1e-12)


def test_a_positive_linear_map_is_optimal_so_w2_and_its_gaussian_bound_are_known():
    """y = Ax + c with A positive definite moves every particle optimally (Brenier)."""
    x = cloud(0, 150, 3)
    root = cloud(1, 3, 3)
    y = x @ (root @ root.T + 0.1 * np.eye(3)) + [1.0, -2.0, 0.5]
    moved = np.sqrt(np.mean(np.sum((x - y) ** 2, axis=1)))
    shuffled = y[np.random.default_rng(3).permutation(150)]
    assert wasserstein(x, shuffled, order=2) == pytest.approx(moved, rel=1e-10)
    assert bures_wasserstein(x, shuffled) == pytest.approx(moved, rel=1e-10)


def test_bures_wasserstein_matches_the_formula_with_matrix_roots():
    x, y = cloud(0, 90, 4), cloud(1, 70, 4, 1.0) @ cloud(2, 4, 4)
    weight = np.random.default_rng(3).random(90)
    mean = weight @ x / weight.sum()
    first = (x - mean).T * weight @ (x - mean) / weight.sum()
    second = np.cov(y.T, bias=True)
    half = sqrtm(first)
    square = np.sum((mean - y.mean(axis=0)) ** 2)
    square += np.trace(first + second - 2 * sqrtm(half @ second @ half).real)
    assert bures_wasserstein(x, y, weight) == pytest.approx(np.sqrt(square), rel=1e-9)
    assert bures_wasserstein(x, y) <= wasserstein(x, y, order=2)


def test_bures_wasserstein_of_flat_clouds():
    """Fewer particles than features: both covariances singular."""
    x = cloud(0, 3, 10)
    assert bures_wasserstein(x, x + 2.0) == pytest.approx(2 * np.sqrt(10), rel=1e-9)


def energy_distance(x, y, wx=None, wy=None):
    """Székely & Rizzo's: twice by how much the score of another population is worse."""
    return 2 * (energy_score(x, y, wx, wy) - energy_score(y, y, wy, wy))


def test_energy_distance_in_one_dimension_is_scipys_squared():
    x, y = cloud(0, 50, 1), cloud(1, 80, 1, 0.7)
    wx = np.random.default_rng(2).random(50)
    expected = scipy.stats.energy_distance(x[:, 0], y[:, 0], wx) ** 2
    assert energy_distance(x, y, wx) == pytest.approx(expected, rel=1e-10)


def test_the_energy_score_is_the_mean_over_observations():
    x, y = cloud(0, 20, 3), cloud(1, 4, 3, 0.5)
    within = np.mean([[np.linalg.norm(p - q) for q in x] for p in x])
    scores = [np.mean(np.linalg.norm(x - q, axis=1)) - within / 2 for q in y]
    assert energy_score(x, y) == pytest.approx(np.mean(scores), rel=1e-12)


def test_mmd_of_two_particles_is_closed_form():
    x, y = np.zeros((1, 2)), np.array([[3.0, 4.0]])
    expected = np.sqrt(2 - 2 * np.exp(-(5**2) / (2 * 2.5**2)))
    assert mmd(x, y, bandwidth=2.5) == pytest.approx(expected, rel=1e-12)
    squares = [2 - 2 * np.exp(-(5**2) / (2 * h**2)) for h in (1.0, 4.0)]
    assert mmd(x, y, bandwidth=[1.0, 4.0]) == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-12)


def test_mmd_of_normals_approaches_its_closed_form():
    """E k = (h²/(h² + 2))^(d/2) exp(−δ²/(2(h² + 2))) for unit normals a distance δ apart."""
    h, d, n = 1.5, 2, 3000
    x, y = cloud(0, n, d), cloud(1, n, d, 0.6)
    peak = (h**2 / (h**2 + 2)) ** (d / 2)
    expected = np.sqrt(2 * peak * (1 - np.exp(-(0.36 * d) / (2 * (h**2 + 2)))))
    # mmd is a distance and each cloud is about n^-1/2 from its population.
    assert mmd(x, y, bandwidth=h) == pytest.approx(expected, abs=2 / np.sqrt(n))


TABLE = {
    "w1": wasserstein,
    "w2": lambda *clouds: wasserstein(*clouds, order=2),
    "w1 in blocks": lambda *clouds: wasserstein(*clouds, batch=20),
    "energy": energy_distance,
    "bures": bures_wasserstein,
    "mmd": mmd,
}
EXACT = [name for name in TABLE if name != "w1 in blocks"]


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_distances_carry_the_units(name, unit):
    x, y = cloud(0, 50, 2), cloud(1, 60, 2, 0.5)
    expected = TABLE[name](x, y) * (1 if name == "mmd" else unit)
    assert TABLE[name](unit * x, unit * y) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("name", EXACT)
def test_a_particle_of_weight_two_is_two_particles(name):
    x, y = cloud(0, 30, 2), cloud(1, 30, 2, 0.5)
    distance = TABLE[name] if name != "mmd" else lambda *clouds: mmd(*clouds, bandwidth=1.0)
    weight = np.ones(30)
    weight[0] = 2
    once = distance(x, y, weight)
    assert distance(np.concatenate([x, x[:1]]), y) == pytest.approx(once, rel=1e-10)
    assert distance(x, y) != pytest.approx(once, rel=1e-4)


@pytest.mark.parametrize("name", EXACT)
def test_equal_clouds_are_no_distance_apart_and_order_does_not_matter(name):
    x, y = cloud(0, 40, 2), cloud(1, 30, 2, 0.5)
    shuffled = x[np.random.default_rng(0).permutation(40)]
    # mmd and bures are roots of sums that cancel to rounding.
    assert TABLE[name](x, shuffled) < 1e-7
    assert TABLE[name](y, x) == pytest.approx(TABLE[name](x, y), rel=1e-9)


def test_blocks_bound_the_exact_distance_from_above():
    x, y = cloud(0, 300, 2), cloud(1, 280, 2, 0.5)
    exact = wasserstein(x, y)
    assert exact < wasserstein(x, y, batch=100, seed=1) < 1.3 * exact
    assert wasserstein(x, y, batch=100, seed=1) == wasserstein(x, y, batch=100, seed=1)
    assert wasserstein(x, y, batch=100, seed=1) != wasserstein(x, y, batch=100, seed=2)


def test_chunks_do_not_change_the_sums(monkeypatch):
    x, y = cloud(0, 50, 2), cloud(1, 60, 2, 0.5)
    whole = energy_distance(x, y), mmd(x, y)
    monkeypatch.setattr(distances, "_CHUNK_BYTES", 8 * 7 * 60)
    assert (energy_distance(x, y), mmd(x, y)) == pytest.approx(whole, rel=1e-12)


def test_the_median_distance_of_a_lattice():
    """Distances 1, 1, 1, 2, 2, 3 between four points on a line."""
    assert median_distance(np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])) == 1.5


def test_clouds_that_have_no_distance_are_refused():
    x = cloud(0, 5, 2)
    diverged = x.copy()
    diverged[3, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 5 particles are NaN or infinite"):
        wasserstein(x, diverged)
    with pytest.raises(ValueError, match="none negative"):
        energy_distance(x, x, np.array([1.0, 1.0, 1.0, 1.0, -1.0]))
    with pytest.raises(ValueError, match="positive"):
        mmd(x, x, bandwidth=0.0)
