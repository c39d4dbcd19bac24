"""The demonstrations exist, know their truth and show what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from bayesjko.demos import DEMOS, demo
from bayesjko.models.data import SnapshotError
from bayesjko.simulate import true_drift


@pytest.fixture(scope="module")
def populations():
    return {name: demo(name) for name in DEMOS}


@pytest.mark.parametrize("name", DEMOS)
def test_each_is_a_population_with_a_truth(name, populations):
    found = populations[name]
    assert found.counts == (1000,) * 6
    assert found.dimension == 2
    assert not found.paired
    drift = true_drift(found.truth, found.particles[0], found.particles[0])
    assert np.all(np.isfinite(drift))


def test_the_seed_is_the_callers(populations):
    assert demo("wavy_plateau").digest() == populations["wavy_plateau"].digest()
    assert demo("wavy_plateau", seed=1).digest() != populations["wavy_plateau"].digest()


def test_the_wells_are_the_tilted_ones(populations):
    found = populations["double_well"]
    assert found.truth["potential"] == "tilted_double_well"
    assert found.truth["beta"] == 0.3
    np.testing.assert_allclose(found.times, [0, 0.05, 0.1, 0.15, 0.2, 0.3])
    assert found.particles[0].std() == pytest.approx(1.0, abs=0.08)
    assert found.particles[-1][:, 0].mean() < -0.05  # the tilt


def test_attraction_shows_beside_the_same_potential_alone(populations):
    spread = {name: populations[name].particles[-1].std() for name in DEMOS}
    assert spread["attraction"] < 0.93 * spread["double_well"]


def test_unknown_demo_lists_the_known():
    with pytest.raises(SnapshotError, match="no demo 'x'; choose one of double_well, .*attraction"):
        demo("x")
