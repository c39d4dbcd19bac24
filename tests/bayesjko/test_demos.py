"""The demonstrations exist, show what they are for, and know their truth if they are simulated."""

from __future__ import annotations

import numpy as np
import pytest

from bayesjko.countries import countries
from bayesjko.countries.make_table import make_table
from bayesjko.demos import DEMOS, demo
from bayesjko.models.data import SnapshotError
from bayesjko.simulate import true_drift

SIMULATED = [name for name in DEMOS if name != "countries"]


@pytest.fixture(scope="module")
def populations():
    return {name: demo(name) for name in SIMULATED}


@pytest.mark.parametrize("name", SIMULATED)
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
    spread = {name: populations[name].particles[-1].std() for name in SIMULATED}
    assert spread["attraction"] < 0.93 * spread["double_well"]


def test_countries_are_there_but_not_named():
    known, found = countries(), demo("countries")
    assert not found.paired
    assert found.truth is None
    assert found.digest() != known.snapshots.digest()
    assert demo("countries", seed=1).digest() != found.digest()
    for named, nameless in zip(known.snapshots.particles, found.particles, strict=True):
        assert not np.array_equal(named, nameless)
        np.testing.assert_array_equal(np.sort(named, axis=0), np.sort(nameless, axis=0))


def test_countries_are_those_of_the_package_they_come_from():
    known = countries()
    assert known.snapshots.counts == (142,) * 12
    norway = known.names.index("Norway")
    first, last = (2.0 ** known.snapshots.particles[k][norway, 0] for k in (0, -1))
    assert (round(first, -1), round(last, -1)) == (10100, 49360)  # dollars in 1952 and in 2007
    assert known.snapshots.particles[-1][norway, 1] == pytest.approx(8.0196)
    made = make_table()
    for k, (year, rows) in enumerate(made.groupby("year")):
        assert known.snapshots.times[k] == year
        assert tuple(rows["country"]) == known.names
        np.testing.assert_allclose(
            known.snapshots.particles[k], rows[list(known.snapshots.features)], atol=5.1e-5
        )


def test_unknown_demo_lists_the_known():
    with pytest.raises(SnapshotError, match="no demo 'x'; choose one of double_well, .*attraction"):
        demo("x")
