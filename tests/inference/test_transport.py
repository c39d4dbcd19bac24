"""Couplings: optimal, with the marginals they promise, in any units and any number of blocks."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from bayesjko.inference.transport import couple, optimal_plan
from bayesjko.models.data import SnapshotError, Snapshots


def clouds(seed, n, m, d=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.5


def equal(n):
    return np.full(n, 1 / n)


def cost(plan, x, y):
    return plan.mass @ np.sum((x[plan.source] - y[plan.target]) ** 2, axis=1)


def snapshots(counts, *, d=2, weights=(), paired=False, seed=0):
    rng = np.random.default_rng(seed)
    particles = tuple(rng.normal(size=(n, d)) + 0.3 * k for k, n in enumerate(counts))
    times = np.cumsum(0.5 + 0.1 * np.arange(len(counts)))
    return Snapshots(times=times, particles=particles, weights=weights, paired=paired)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("order", [1, 2])
def test_the_plan_of_few_particles_is_the_best_permutation(seed, order):
    x, y = clouds(seed, 6, 6, d=3)
    prices = np.linalg.norm(x[:, None] - y, axis=2) ** order
    best = min(np.mean([prices[i, p[i]] for i in range(6)]) for p in permutations(range(6)))
    plan = optimal_plan(x, y, equal(6), equal(6), order=order)
    assert plan.mass @ prices[plan.source, plan.target] == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_plan_of_unequal_weights_costs_what_a_linear_program_finds(seed):
    n, m = 9, 5
    x, y = clouds(seed, n, m)
    rng = np.random.default_rng(seed)
    a, b = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
    prices = np.sum((x[:, None] - y) ** 2, axis=2)
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    program = linprog(prices.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a, b]))
    assert cost(optimal_plan(x, y, a, b), x, y) == pytest.approx(program.fun, rel=1e-7)


@pytest.mark.parametrize("unit", [1e-150, 1e-6, 1e6, 1e150])
def test_units_do_not_change_the_plan(unit):
    x, y = clouds(0, 200, 170)
    a, b = equal(200), equal(170)
    plan = optimal_plan(unit * x, unit * y, a, b)
    assert cost(plan, x, y) == pytest.approx(cost(optimal_plan(x, y, a, b), x, y), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 60),
    m=st.integers(2, 60),
    spread=st.sampled_from([0.0, 1.0, 6.0]),
    zeros=st.booleans(),
    batch=st.sampled_from([1, 7, 20, 100]),
    seed=st.integers(0, 2**32 - 1),
)
def test_both_marginals_hold_for_any_weights_and_blocks(n, m, spread, zeros, batch, seed):
    rng = np.random.default_rng(seed)
    weights = []
    for count in (n, m):
        weight = np.exp(spread * rng.normal(size=count))
        if zeros:
            weight[2:] *= rng.random(count - 2) < 0.5
        weights.append(weight / weight.sum())
    x, y = clouds(seed, n, m)
    plan = optimal_plan(x, y, *weights, batch=batch, seed=seed)
    assert np.all(plan.mass > 0)
    np.testing.assert_allclose(np.bincount(plan.source, plan.mass, n), weights[0], atol=1e-9)
    np.testing.assert_allclose(np.bincount(plan.target, plan.mass, m), weights[1], atol=1e-9)
    # A vertex of every block's polytope: never more than n + m pairs, and two a cut.
    assert len(plan.mass) <= n + m + 2 * (1 + np.sqrt(n * m) / batch)


def test_blocks_of_equal_clouds_keep_the_plan_a_permutation_and_cost_more():
    data = snapshots([250, 250])
    exact, blocks = (couple(data, batch=batch, seed=1)[0] for batch in (1000, 70))
    for couplings in (exact, blocks):
        np.testing.assert_array_equal(np.sort(couplings.source_index), np.arange(250))
        np.testing.assert_array_equal(np.sort(couplings.target_index), np.arange(250))
        np.testing.assert_allclose(couplings.weight, 1 / 250, rtol=1e-12)
    lengths = [np.mean(np.sum((c.target - c.source) ** 2, axis=1)) for c in (exact, blocks)]
    # Two normals of variance one in two dimensions, paired at random: 4 + 2·0.3² on average.
    assert 1.01 * lengths[0] < lengths[1] < 0.25 * 4.18


def test_halves_of_a_particle_cost_the_same():
    x, y = clouds(3, 40, 30)
    a, b = equal(40), equal(30)
    halved = np.concatenate([a, a[:1]])
    halved[[0, -1]] /= 2
    twice = np.concatenate([x, x[:1]])
    assert cost(optimal_plan(twice, y, halved, b), twice, y) == pytest.approx(
        cost(optimal_plan(x, y, a, b), x, y), rel=1e-12
    )


def test_couplings_say_where_they_come_from():
    data = snapshots([30, 20, 25], d=3)
    couplings = couple(data)
    assert len(couplings) == 2
    for k, c in enumerate(couplings):
        np.testing.assert_array_equal(c.source, data.particles[k][c.source_index])
        np.testing.assert_array_equal(c.target, data.particles[k + 1][c.target_index])
        assert c.duration == pytest.approx(0.6 + 0.1 * k)
        assert c.weight.sum() == pytest.approx(1, abs=1e-12)
    assert [c.effective_count for c in couplings] == pytest.approx([20, 20])


def test_effective_counts_default_to_the_smaller_effective_size_and_can_be_given():
    uneven = np.array([0.5] + [0.5 / 29] * 29)
    data = snapshots([40, 30], weights=(np.ones(40), uneven))
    assert couple(data)[0].effective_count == pytest.approx(1 / np.sum(uneven**2))
    three = snapshots([10, 10, 10])
    assert [c.effective_count for c in couple(three, effective_count=7.0)] == [7, 7]
    assert [c.effective_count for c in couple(three, effective_count=[5.0, 6.0])] == [5, 6]
    with pytest.raises(ValueError, match="3 effective counts for 2 intervals"):
        couple(three, effective_count=[5.0, 6.0, 7.0])
    with pytest.raises(ValueError, match="positive"):
        couple(three, effective_count=0.0)


@pytest.mark.parametrize("solver", ["exact", "entropic"])
def test_the_seed_decides_and_the_number_of_threads_does_not(solver):
    data = snapshots([60, 60, 60])
    one, two, other = (
        couple(data, solver=solver, batch=20, seed=seed, jobs=jobs)
        for seed, jobs in ((5, 1), (5, 2), (6, 1))
    )
    for k in range(2):
        np.testing.assert_array_equal(one[k].target_index, two[k].target_index)
        np.testing.assert_array_equal(one[k].weight, two[k].weight)
    assert not np.array_equal(one[0].source_index, other[0].source_index)


def test_entropic_couplings_have_the_moments_of_the_dense_plan():
    rng = np.random.default_rng(0)
    weight = rng.dirichlet(np.full(80, 5.0))
    data = snapshots([80, 80], weights=(weight, np.ones(80)))
    x, y = data.particles
    prices = np.sum((x[:, None] - y) ** 2, axis=2)
    epsilon = 0.1 * data.weights[0] @ prices @ data.weights[1]
    # Plain matrix scaling, to convergence.
    kernel = np.exp(-prices / epsilon)
    v = np.ones(80)
    for _ in range(2000):
        u = data.weights[0] / (kernel @ v)
        v = data.weights[1] / (kernel.T @ u)
    dense = u[:, None] * kernel * v

    (c,) = couple(data, solver="entropic", epsilon=0.1)
    np.testing.assert_allclose(np.bincount(c.source_index, c.weight, 80), weight, atol=1e-9)
    # Each source draws 16 targets, stratified: 0.02 is five standard errors, and a plan
    # with epsilon wrong by a factor 2 is 0.06 away.
    assert c.weight @ np.sum((c.source - c.target) ** 2, axis=1) == pytest.approx(
        np.sum(dense * prices), rel=0.04
    )
    np.testing.assert_allclose((c.source.T * c.weight) @ c.target, x.T @ dense @ y, atol=0.03)
    np.testing.assert_allclose(c.weight @ c.target, data.weights[1] @ y, atol=0.03)


def test_paired_couplings_are_the_identity_and_refuse_unpaired_snapshots():
    weight = np.array([0.0, 1.0, 2.0, 1.0])
    data = snapshots([4, 4, 4], weights=(weight, np.ones(4), np.ones(4)), paired=True)
    first, second = couple(data, solver="paired")
    np.testing.assert_array_equal(first.source_index, [1, 2, 3])
    np.testing.assert_array_equal(first.target_index, [1, 2, 3])
    np.testing.assert_allclose(first.weight, [0.25, 0.5, 0.25])
    np.testing.assert_array_equal(second.target, data.particles[2])
    with pytest.raises(SnapshotError, match="not paired"):
        couple(snapshots([4, 4]), solver="paired")


@pytest.mark.parametrize("choice", [{"batch": 0}, {"jobs": 0}])
def test_impossible_choices_are_refused(choice):
    with pytest.raises(ValueError, match="at least 1"):
        couple(snapshots([4, 4]), **choice)


def test_sinkhorn_that_does_not_converge_says_what_to_do():
    with pytest.raises(RuntimeError, match="raise epsilon"):
        couple(snapshots([30, 30]), solver="entropic", epsilon=1e-7)
