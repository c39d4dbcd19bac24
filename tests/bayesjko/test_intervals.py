import numpy as np
import pytest
from scipy.stats import halfnorm, norm

from bayesjko.intervals import shortest_interval

GRID = (np.arange(20_000) + 0.5) / 20_000


def test_of_a_normal_it_is_the_central_one():
    low, high = shortest_interval(norm.ppf(GRID, 3.0, 2.0), 0.9)
    assert (low, high) == pytest.approx(norm.ppf([0.05, 0.95], 3.0, 2.0), abs=0.05)


def test_it_begins_at_zero_where_nothing_speaks_against_it():
    low, high = shortest_interval(halfnorm.ppf(GRID), 0.9)
    assert low == 0.0
    assert high == pytest.approx(halfnorm.ppf(0.9), abs=0.01)


def test_it_excludes_a_zero_that_is_far_away_and_may_be_negative_where_draws_are():
    assert shortest_interval(norm.ppf(GRID, 5.0), 0.9)[0] == pytest.approx(3.355, abs=0.05)
    assert shortest_interval(norm.ppf(GRID, 0.1), 0.9)[0] < -1.4


@pytest.mark.parametrize("level", [0.5, 1.0])
def test_it_holds_its_share_of_few_draws(level):
    draws = np.array([4.0, 1.0, 2.5, 2.0])
    low, high = shortest_interval(draws, level)
    assert np.mean((draws >= low) & (draws <= high)) == level
