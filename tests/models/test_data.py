"""Snapshots, their parts and their units."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesjko.models.data import Snapshots, Standardisation
from bayesjko.models.errors import SnapshotError

RNG = np.random.default_rng(0)
TIMES = np.array([0.0, 0.5, 2.0])
CLOUDS = tuple(RNG.normal(loc=[1.0, -2.0], scale=[3.0, 1.0], size=(n, 2)) for n in (6, 4, 5))
WEIGHTS = tuple(RNG.random(n) for n in (6, 4, 5))


def snapshots(**changes):
    return Snapshots(**({"times": TIMES, "particles": CLOUDS} | changes))


def test_what_is_not_given():
    plain = snapshots()
    assert plain.features == ("x1", "x2")
    assert plain.dimension == 2
    assert plain.counts == (6, 4, 5)
    assert plain.durations.tolist() == [0.5, 1.5]
    assert plain.weights[1].tolist() == [0.25] * 4
    np.testing.assert_allclose(plain.effective_sizes, [6, 4, 5], rtol=1e-15)
    assert not plain.paired
    assert plain.truth is None


def test_weights_sum_to_one_and_stay_what_they_are():
    weighted = snapshots(weights=tuple(7 * w for w in WEIGHTS))
    for weight, given_ in zip(weighted.weights, WEIGHTS, strict=True):
        np.testing.assert_allclose(weight, given_ / given_.sum(), rtol=1e-15)
    again = snapshots(weights=weighted.weights)
    assert again.digest() == weighted.digest()
    assert weighted.select([0, 1, 2]).digest() == weighted.digest()
    sizes = [w.sum() ** 2 / (w**2).sum() for w in WEIGHTS]
    np.testing.assert_allclose(weighted.effective_sizes, sizes, rtol=1e-13)


def test_everything_is_kept_in_double_precision():
    single = snapshots(particles=tuple(cloud.astype(np.float32) for cloud in CLOUDS))
    assert {cloud.dtype for cloud in single.particles} == {np.dtype(np.float64)}
    assert single.particles[0][0, 0] == np.float32(CLOUDS[0][0, 0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"times": TIMES[:2]}, "2 times for 3 snapshots; give one time each"),
        ({"times": TIMES[:1], "particles": CLOUDS[:1]}, "Found 1 snapshot"),
        ({"times": TIMES[:0], "particles": ()}, "Found 0 snapshot"),
        ({"times": np.array([0, np.nan, 1])}, "time is missing or infinite"),
        ({"times": np.array([0, 1, np.inf])}, "time is missing or infinite"),
        ({"times": np.array([0, 2, 1.0])}, r"times \[0.0, 2.0, 1.0\] do not increase"),
        ({"times": np.array([1, 1, 1.0])}, "do not increase"),
        ({"particles": (np.zeros((3, 0)), *CLOUDS[1:])}, r"time 0 has shape \(3, 0\)"),
        (
            {"particles": (*CLOUDS[:2], CLOUDS[2][:, :1])},
            "time 2 has 1 features and .* time 0 has 2",
        ),
        ({"particles": (CLOUDS[0][:1], *CLOUDS[1:])}, r"time 0 has 1 particle\(s\)"),
        (
            {"particles": (CLOUDS[0], np.where(CLOUDS[1] > 0, np.nan, CLOUDS[1]), CLOUDS[2])},
            r"\d values are NaN or infinite, the first in the snapshot at time 0.5, row \d",
        ),
        ({"weights": WEIGHTS[:2]}, "2 sets of weights for 3 snapshots"),
        (
            {"weights": (*WEIGHTS[:2], WEIGHTS[0])},
            r"time 2 has 5 particles and weights of shape \(6,",
        ),
        ({"weights": (-WEIGHTS[0], *WEIGHTS[1:])}, "time 0 must be finite, not negative"),
        (
            {"weights": (WEIGHTS[0], np.array([1.0, 0, 0, 0]), WEIGHTS[2])},
            "positive for at least two",
        ),
        ({"weights": (np.full(6, 1e308), *WEIGHTS[1:])}, "time 0 must be finite"),
        ({"weights": (np.r_[np.nan, WEIGHTS[0][1:]], *WEIGHTS[1:])}, "time 0 must be finite"),
        ({"features": ("a",)}, "1 feature names for particles of dimension 2"),
        (
            {"particles": tuple(cloud * [1, 0] for cloud in CLOUDS)},
            "Feature 'x2' has the same value",
        ),
        ({"paired": True}, r"same number of particles .* counts are \[6, 4, 5\]"),
    ],
    ids=lambda value: None,
)
def test_what_cannot_be_used_is_one_sentence(changes, words):
    with pytest.raises(SnapshotError, match=words) as caught:
        snapshots(**changes)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message


def test_a_feature_may_rest_in_one_snapshot_but_not_in_all():
    resting = np.c_[np.arange(4.0), np.ones(4)]
    assert snapshots(particles=(CLOUDS[0], resting, CLOUDS[2])).counts == (6, 4, 5)


def test_select_in_time_order():
    chosen = snapshots(weights=WEIGHTS).select([2, 0])
    assert chosen.times.tolist() == [0.0, 2.0]
    assert np.array_equal(chosen.particles[1], CLOUDS[2])
    assert chosen.weights[1].shape == (5,)


@given(holdout=st.floats(0.05, 0.95), seed=st.integers(0, 1000), paired=st.booleans())
def test_split_loses_and_repeats_no_particle(holdout, seed, paired):
    counts = (40, 40) if paired else (40, 55)
    clouds = tuple(np.arange(2.0 * n).reshape(n, 2) for n in counts)
    whole = Snapshots(np.arange(2.0), clouds, paired=paired, truth={"beta": 1})
    train, test = whole.split(holdout, seed)
    for k, cloud in enumerate(clouds):
        both = np.concatenate([train.particles[k], test.particles[k]])
        assert sorted(both[:, 0]) == cloud[:, 0].tolist()
        assert len(test.particles[k]) == round(holdout * len(cloud))
        assert np.all(np.diff(train.particles[k][:, 0]) > 0)
        assert train.weights[k].sum() == pytest.approx(1, abs=1e-14)
    if paired:
        assert np.array_equal(*train.particles)
    assert train.truth == whole.truth
    again = whole.split(holdout, seed)
    assert again[1].digest() == test.digest()


def test_split_depends_on_its_seed():
    assert snapshots().split(0.5, 0)[1].digest() != snapshots().split(0.5, 1)[1].digest()


@pytest.mark.parametrize(
    ("holdout", "words"),
    [
        (0.0, "fraction is 0.0; give a number between"),
        (1.0, "between 0 and 1"),
        (float("nan"), "between 0 and 1"),
        (0.2, "Holding out 20% of the smallest snapshot"),
        (0.9, "fewer than two particles"),
    ],
)
def test_splits_that_cannot_be(holdout, words):
    with pytest.raises(SnapshotError, match=words):
        snapshots().split(holdout, 0)


def test_digest_sees_every_part():
    reference = snapshots()
    moved = (CLOUDS[0] + [[1e-15, 0]], *CLOUDS[1:])
    others = [
        snapshots(times=TIMES + [0, 0, 1e-15]),
        snapshots(particles=moved),
        snapshots(weights=WEIGHTS),
        snapshots(features=("a", "b")),
        reference.select([0, 1]),
        Snapshots(TIMES[:2], (CLOUDS[1], CLOUDS[1] + 1), paired=True),
        Snapshots(TIMES[:2], (CLOUDS[1], CLOUDS[1] + 1)),
    ]
    digests = {other.digest() for other in (reference, *others)}
    assert len(digests) == 1 + len(others)
    assert snapshots(notes=("read",), truth={"a": 1}).digest() == reference.digest()


def test_standard_units():
    weighted = snapshots(weights=WEIGHTS)
    units = Standardisation.of(weighted)
    standard = units.apply(weighted)
    mean = np.mean(
        [w @ x for w, x in zip(standard.weights, standard.particles, strict=True)], axis=0
    )
    square = np.mean(
        [(w @ x**2).mean() for w, x in zip(standard.weights, standard.particles, strict=True)]
    )
    np.testing.assert_allclose(mean, 0, atol=1e-14)
    assert square == pytest.approx(1, rel=1e-13)
    assert standard.durations.mean() == pytest.approx(1, rel=1e-15)
    assert units.duration == 1.0
    np.testing.assert_allclose(units.restore(units.points(CLOUDS[0])), CLOUDS[0], rtol=1e-13)


def test_units_of_force_and_energy():
    units = Standardisation(np.zeros(2), length=3.0, duration=0.5)
    # dx/dt = length/duration · dx̃/dt̃, and V = ½|x|² moves as dx/dt = −x.
    assert units.velocity == 6.0
    assert units.energy == 18.0
    point = np.array([6.0, -3.0])
    slope = units.points(point) * units.length / units.velocity  # ∇V in standard units
    np.testing.assert_allclose(slope * units.velocity, point)
    np.testing.assert_allclose(
        units.energy * 0.5 * units.duration * (units.points(point) ** 2).sum(),
        0.5 * (point**2).sum(),
    )


def test_every_snapshot_counts_the_same_in_the_units():
    few = Snapshots(np.arange(2.0), (np.array([[0.0], [2.0]]), np.full((100, 1), 5.0)))
    assert Standardisation.of(few).mean[0] == pytest.approx(3.0, rel=1e-14)
