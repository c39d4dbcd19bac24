"""Another number of particles compiles nothing anew."""

from contextlib import contextmanager

import jax
import jax.monitoring
import numpy as np
import pytest

import bayesjko
from bayesjko.models.blocks import averaged, block_rows, blocks, mapped, weighted_blocks

ROWS = block_rows()

COMPILED = "/jax/core/compile/backend_compile_duration"


@contextmanager
def compilations():
    """How many programs have been compiled, or read from where they are kept, in the block."""
    found = []

    def listen(event, duration, **_):
        if event == COMPILED:
            found.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("count", [1, ROWS, ROWS + 1])
def test_blocks_hold_every_row_once(count):
    points = np.random.default_rng(0).normal(size=(count, 2))
    parts = list(weighted_blocks(points, np.ones(count)))
    assert {part.shape for part, _ in parts} == {(ROWS, 2)}
    assert sum(weight.sum() for _, weight in parts) == count
    kept = np.concatenate([part[weight > 0] for part, weight in parts])
    np.testing.assert_array_equal(kept, points)
    np.testing.assert_array_equal(np.concatenate(list(blocks(points)))[:count], points)


@pytest.mark.parametrize(("copies", "count"), [(2, 5), (6, 700), (8, 256), (16, 129)])
def test_a_mean_over_copies_is_of_each_points_own(copies, count):
    points = np.random.default_rng(0).normal(size=(copies, count, 2))

    def work(rows):
        return mapped(lambda part: np.sin(part @ np.ones((2, 3))), rows, 3)

    each = np.sin(points.sum(axis=2)).mean(axis=0)
    np.testing.assert_allclose(averaged(work, points), np.tile(each[:, None], 3), rtol=1e-12)


@pytest.mark.parametrize("likelihood", ["residual", "weak", "flow"])
def test_a_second_fit_of_another_size_compiles_nothing(likelihood):
    options = {"potential": "poly:2", "likelihood": likelihood, "draws": 8, "jobs": 1}
    if likelihood != "residual":
        options |= {"tests": 4, "steps": 4, "copies": 2, "prior_scale": 3.0}

    def fit(particles):
        snapshots = bayesjko.simulate(
            "quadratic", beta=0.3, particles=particles, snapshots=3, tau=0.1, start="normal"
        )
        with compilations() as found:
            bayesjko.fit(snapshots, **options)
        return found

    jax.clear_caches()  # of what other tests compiled
    assert fit(610)
    assert not fit(670)
