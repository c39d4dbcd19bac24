"""The four sums against plain loops, and the laws they keep."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesjko.models.data import Couplings, Snapshots
from bayesjko.models.energies import build_linear_energy
from bayesjko.models.likelihoods import residual
from bayesjko.models.likelihoods.residual import SCHEMES, evaluation_points, statistics
from bayesjko.models.precision import double

RNG = np.random.default_rng(11)
PAIRS = 150
SNAPSHOTS = Snapshots(np.array([0.0, 1.0]), tuple(RNG.normal(size=(2, 80, 2))))
ENERGY = build_linear_energy(
    SNAPSHOTS, potential="poly:2", interaction="fourier:3", internal=True, seed=2
)


def couplings(pairs=PAIRS, seed=0, *, duration=0.3, count=40.0):
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(pairs, 2))
    return Couplings(
        source=source,
        target=source + 0.4 * rng.normal(size=(pairs, 2)),
        weight=rng.dirichlet(np.ones(pairs)),
        duration=duration,
        effective_count=count,
        source_index=np.arange(pairs),
        target_index=np.arange(pairs),
        score=rng.normal(size=(pairs, 2)),
    )


def design(energy, couplings, scheme):
    """D of each pair (m, d, K), by its definition."""
    points = evaluation_points(couplings, scheme)
    with double():
        own = np.stack([energy.potential.gradient(jnp.asarray(z)) for z in points])
        offsets = jnp.asarray((points[:, None] - points).reshape(-1, 2))
        pairs = np.asarray(jax.vmap(energy.interaction.gradient)(offsets))
    pairs = pairs.reshape(len(points), len(points), 2, -1)
    felt = np.einsum("q,pqdk->pdk", couplings.weight, pairs)
    return -np.concatenate([own, felt, couplings.score[:, :, None]], axis=2)


def close(found, expected, rtol=1e-11):
    size = np.sqrt(np.diag(expected.gram))
    np.testing.assert_allclose(
        found.gram / np.outer(size, size),
        expected.gram / np.outer(size, size),
        rtol=rtol,
        atol=rtol,
    )
    np.testing.assert_allclose(found.moment, expected.moment, rtol=rtol, atol=rtol * size.max())
    assert found.square == pytest.approx(expected.square, rel=rtol)
    assert found.count == pytest.approx(expected.count, rel=1e-15)


@pytest.mark.processor
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_sums_are_those_of_a_loop_over_pairs_of_unequal_intervals(scheme):
    gram, moment, square, count = np.zeros((9, 9)), np.zeros(9), 0.0, 0.0
    found = None
    for pairs, duration, n in [(25, 0.3, 25.0), (31, 1.7, 12.5)]:
        interval = couplings(pairs, duration=duration, count=n)
        one = statistics(ENERGY, interval, scheme)
        found = one if found is None else found + one
        ends = interval.source, interval.target, interval.weight
        for x, y, w, matrix in zip(*ends, design(ENERGY, interval, scheme), strict=True):
            gram += n * w * duration * matrix.T @ matrix
            moment += n * w * matrix.T @ (y - x)
            square += n * w * np.sum((y - x) ** 2) / duration
        count += 2 * n
    close(found, residual.Statistics(gram, moment, square, count))


@pytest.mark.processor
@pytest.mark.parametrize("scheme", SCHEMES)
def test_their_quadratic_is_the_sum_of_squared_residuals(scheme):
    interval = couplings(30)
    theta = np.random.default_rng(3).normal(size=ENERGY.size)
    force = design(ENERGY, interval, scheme) @ theta
    e = interval.target - interval.source - interval.duration * force
    weight = interval.effective_count * interval.weight / interval.duration
    assert statistics(ENERGY, interval, scheme).sum_of_squares(theta) == pytest.approx(
        weight @ np.sum(e**2, axis=1), rel=1e-11
    )


@pytest.mark.processor
def test_particles_moved_by_the_force_itself_leave_no_residual():
    interval = couplings(30)
    theta = np.random.default_rng(3).normal(size=ENERGY.size)
    moved = interval.source + interval.duration * design(ENERGY, interval, "explicit") @ theta
    found = statistics(ENERGY, replace(interval, target=moved))
    assert abs(found.sum_of_squares(theta)) < 1e-12 * found.square
    np.testing.assert_allclose(found.gram @ theta, found.moment, rtol=1e-10)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_chunks_do_not_matter(scheme, monkeypatch):
    interval = couplings()
    whole = statistics(ENERGY, interval, scheme)
    monkeypatch.setattr(residual, "_DESIGN_BYTES", 1)
    assert PAIRS > 2 * 64  # the smallest chunk: there are three, the last one short
    close(statistics(ENERGY, interval, scheme), whole)


@pytest.mark.processor
def test_order_of_the_pairs_does_not_matter():
    interval = couplings()
    order = np.random.default_rng(0).permutation(PAIRS)
    close(statistics(ENERGY, rows(interval, order)), statistics(ENERGY, interval))


@pytest.mark.processor
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_pair_split_in_two_counts_the_same(scheme):
    interval = couplings()
    split = rows(interval, np.r_[0:PAIRS, 0:5])
    weight = split.weight.copy()
    weight[:5] *= 0.25
    weight[-5:] *= 0.75
    close(
        statistics(ENERGY, replace(split, weight=weight), scheme),
        statistics(ENERGY, interval, scheme),
    )


def test_without_an_internal_term_scores_are_not_looked_at():
    energy = build_linear_energy(SNAPSHOTS, potential="poly:2")
    interval = couplings()
    bare = statistics(energy, replace(interval, score=None))
    np.testing.assert_array_equal(statistics(energy, interval).gram, bare.gram)


def test_a_tempered_likelihood_counts_the_data_as_often():
    interval = couplings()
    half = statistics(ENERGY, replace(interval, effective_count=20.0))
    close(statistics(ENERGY, interval) * 0.5, half)


def test_the_users_precision_stays_and_does_not_matter():
    before = jax.config.jax_enable_x64
    sums = []
    try:
        for setting in (False, True):
            jax.config.update("jax_enable_x64", setting)
            sums.append(statistics(ENERGY, couplings()))
            assert jax.config.jax_enable_x64 is setting
    finally:
        jax.config.update("jax_enable_x64", before)
    np.testing.assert_array_equal(sums[0].gram, sums[1].gram)
    np.testing.assert_array_equal(sums[0].moment, sums[1].moment)
    assert sums[0].gram.dtype == np.float64


def rows(interval, order):
    return replace(
        interval,
        **{
            name: getattr(interval, name)[order]
            for name in ("source", "target", "weight", "score", "source_index", "target_index")
        },
    )


@pytest.mark.processor
def test_on_an_accelerator_designs_are_single_and_sums_double(monkeypatch):
    energy, coupling = ENERGY, couplings()
    exact = statistics(energy, coupling)
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    found = statistics(energy, coupling)
    assert found.gram.dtype == np.float64
    assert np.abs(found.gram - exact.gram).max() > 0.0
    np.testing.assert_allclose(found.gram, exact.gram, rtol=1e-5, atol=1e-5 * exact.gram.max())
    np.testing.assert_allclose(found.moment, exact.moment, rtol=1e-4, atol=1e-5)
