"""Chains in blocks: the same bits in one go or in several, and nothing lost but a block."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayesjko.inference import chains as module
from bayesjko.inference.chains import run_chains
from bayesjko.inference.running import Run
from bayesjko.inference.target import Target
from bayesjko.models.precision import double

TARGET = Target(lambda z: -0.5 * jnp.sum(z**2), lambda z: {"z": z}, 2)


class Walk:
    """A random-walk Metropolis kernel."""

    def __init__(self, warmup=30):
        self.warmup = warmup

    def begin(self, key, position):
        return {"key": key, "z": position, "moved": jnp.zeros((), bool)}

    def step(self, state):
        key, a, b = jax.random.split(state["key"], 3)
        new = state["z"] + 1.5 * jax.random.normal(a, (2,))
        gain = TARGET.log_density(new) - TARGET.log_density(state["z"])
        moved = jnp.log(jax.random.uniform(b)) < gain
        return {"key": key, "z": jnp.where(moved, new, state["z"]), "moved": moved}

    def read(self, state):
        return state["z"], {"acceptance_rate": state["moved"]}


def walk(draws=250, run=None, seed=0, chains=3):
    with double():
        return run_chains(TARGET, Walk(), chains=chains, draws=draws, seed=seed, run=run or Run())


@pytest.fixture(scope="module")
def whole():
    kept = []
    return walk(run=Run(keep=kept.append)), kept


def test_chains_sample_their_target(whole):
    found, kept = whole
    assert found.complete
    assert found.positions.shape == (3, 250, 2)
    assert found.stats["acceptance_rate"].shape == (3, 250)
    assert 0.2 < found.stats["acceptance_rate"].mean() < 0.8
    assert abs(found.positions.mean()) < 0.3
    assert 0.7 < found.positions.std() < 1.3
    # warm-up ends with a block, so that no draw of it is ever taken for one
    assert [block["positions"].shape[1] for block in kept] == [30, 100, 100, 50]


def test_chains_are_independent_and_fixed_by_the_seed(whole):
    found, _ = whole
    np.testing.assert_array_equal(walk().positions, found.positions)
    assert not np.any(walk(seed=1).positions == found.positions)
    assert not np.any(found.positions[0] == found.positions[1])


@pytest.mark.parametrize("done", [1, 2, 3, 4])
def test_a_run_that_goes_on_ends_with_the_same_bits(whole, done):
    found, kept = whole
    more = []
    again = walk(run=Run(done=kept[:done], keep=more.append))
    np.testing.assert_array_equal(again.positions, found.positions)
    np.testing.assert_array_equal(again.stats["acceptance_rate"], found.stats["acceptance_rate"])
    assert len(more) == len(kept) - done


def test_an_interrupted_run_keeps_the_draws_of_its_whole_blocks(whole):
    found, _ = whole
    for blocks, expected in [(3, 200), (2, 100)]:
        part = walk(run=Run(keep=interrupting(blocks)))
        assert not part.complete
        np.testing.assert_array_equal(part.positions, found.positions[:, :expected])


def test_a_run_interrupted_before_its_first_draws_has_nothing_to_give():
    with pytest.raises(KeyboardInterrupt):
        walk(run=Run(keep=interrupting(1)))


def interrupting(after):
    """Keeps so many blocks, and is interrupted at the next."""
    count = itertools.count()

    def keep(block):
        if next(count) >= after:
            raise KeyboardInterrupt

    return keep


def test_progress_tells_how_fast_draws_come(capsys):
    walk(run=Run(progress=True))
    assert "effective draws/s" in capsys.readouterr().err


def test_a_block_says_all_that_the_next_needs(whole):
    """Plain arrays, so that any store can hold it."""
    _, kept = whole
    for block in kept:
        for array in block.values():
            assert isinstance(array, np.ndarray)
            assert not array.dtype.hasobject
    assert module.BLOCK == 100
