"""Substeps by step doubling, where the error of a step is known."""

import numpy as np
import pytest

from bayesjko.forecast.stepping import choose_substeps

START = np.random.default_rng(0).normal(size=(50, 2)) + 3.0


def decaying(rate):
    """Euler's method for x′ = −rate·x over a unit of time."""
    return lambda steps: np.stack([START, START * (1 - rate / steps) ** steps])


@pytest.mark.parametrize("rate", [0.1, 2.0, 20.0])
def test_the_error_that_is_left_is_what_it_says(rate):
    steps, error = choose_substeps(decaying(rate))
    exact = START * np.exp(-rate)
    found = decaying(rate)(steps)
    moved = np.sqrt(np.mean((found - START) ** 2))
    left = np.sqrt(np.mean((found[1] - exact) ** 2) / 2) / moved
    assert error <= 0.01
    assert left == pytest.approx(error, rel=0.35, abs=1e-6)
    if steps > 10:  # fewer would not have done
        coarse, half = decaying(rate)(steps // 4), decaying(rate)(steps // 2)
        assert np.sqrt(np.mean((half - coarse) ** 2)) > 0.01 * moved


def test_steps_are_halved_no_further_where_it_does_not_help():
    steps, error = choose_substeps(lambda steps: np.stack([START, START * steps]))
    assert steps == 640
    assert error > 0.1
    assert choose_substeps(lambda steps: np.full((2, 50, 2), np.inf)) == (640, np.inf)


def test_a_population_at_rest_needs_no_steps():
    assert choose_substeps(lambda steps: np.stack([START, START])) == (10, 0.0)
