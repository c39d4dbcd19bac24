"""Steps and copies of paths, on paths whose errors are known."""

import numpy as np
import pytest

from bayesjko.inference.resolution import Resolution, refined
from bayesjko.models.likelihoods.flow import Paths

N, D = 200, 1
WEIGHT = np.full(N, 1.0 / N)
INVERSE = np.array([[float(N)]])


def paths(interval, copies, steps):
    return Paths.over(N, -np.ones(D), np.ones(D), copies=copies, steps=steps, seed=interval)


def ends_with(error, noise=0.0):
    """Ends that are wrong by error/steps² and off by their last shock and its square."""

    def ends(interval, made):
        copies, steps = made.noise.shape[:2]
        total = made.noise.sum(axis=1) / np.sqrt(steps)
        return error / steps**2 + noise * (total + total**2)

    return ends


def find(ends, before=None, **told):
    return refined(
        ends,
        np.asarray,
        paths,
        [WEIGHT],
        [INVERSE],
        before,
        **{"steps": None, "copies": None} | told,
    )


@pytest.mark.parametrize(("error", "steps"), [(0.0, 4), (0.02, 4), (0.1, 8), (1e6, 64)])
def test_steps_are_doubled_until_it_makes_no_difference(error, steps):
    found = find(ends_with(error))
    assert found.steps == (steps,)
    assert found.step_error == pytest.approx(np.sqrt(N) * error * 0.75 / steps**2, abs=1e-9)
    assert ("too long" in found.describe()) == (error > 1.0)


def test_twice_the_steps_follow_the_same_noise():
    fine = paths(0, 4, 8)
    coarse = fine.coarser()
    assert coarse.noise.shape == (4, 4, N, D)
    np.testing.assert_allclose(
        np.sum(coarse.noise, axis=1) / np.sqrt(4), np.sum(fine.noise, axis=1) / np.sqrt(8)
    )
    np.testing.assert_allclose(np.std(coarse.noise), 1.0, rtol=0.05)


def test_copies_are_doubled_until_they_add_little_and_mirrored_noise_adds_none():
    few, many = find(ends_with(0.0, 0.05)), find(ends_with(0.0, 0.4))
    assert (few.copies, many.copies) == (8, 16)
    # the square's variance of 2, halved by neither mirror, over pairs, in units of the equation's
    assert few.noise_share == pytest.approx(0.05**2 * 2.0 / 4, rel=0.25)
    assert many.noise_share == pytest.approx(0.4**2 * 2.0 / 8, rel=0.25)


def test_what_is_told_is_taken_and_what_was_is_never_coarsened():
    assert find(ends_with(1e6, 0.4), steps=3, copies=2).steps == (3,)
    told = find(ends_with(1e6, 0.4), steps=3, copies=2)
    assert np.isnan(told.noise_share)
    assert "nan" not in told.describe()
    before = Resolution((16,), 16)
    after = find(ends_with(0.0), before)
    assert after.as_fine_as(before)
    assert not find(ends_with(0.0)).as_fine_as(before)
