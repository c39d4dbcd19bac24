"""Simulated populations against moments and steps known in closed form."""

from __future__ import annotations

import json
import sys

import jax
import numpy as np
import pytest

from bayesjko.models.errors import InputError, SnapshotError
from bayesjko.readers import read_snapshots
from bayesjko.simulate import simulate, true_drift, true_potential
from bayesjko.simulate.__main__ import main

module = sys.modules[simulate.__module__]  # whatever the package calls by its name

RATES = {"quadratic": 1.0, "sphere": -20.0}  # V = λ|x|²/2
SETTINGS = {
    "quadratic": {"beta": 0.5, "times": (0.0, 0.2, 0.5), "start": "normal"},
    "sphere": {"beta": 20.0, "times": (0.0, 0.02, 0.05), "start": "uniform"},
}


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("name", RATES)
def test_ornstein_uhlenbeck_moments(name, paired):
    rate, settings, n = RATES[name], SETTINGS[name], 20_000
    found = simulate(name, particles=n, substeps=200, paired=paired, seed=3, **settings)
    first = 1.0 if settings["start"] == "normal" else 16.0 / 3.0
    for t, x in zip(found.times, found.particles, strict=True):
        decay = np.exp(-2.0 * rate * t)
        variance = decay * first + settings["beta"] / rate * (1.0 - decay)
        assert np.abs(x.mean(axis=0)).max() < 4.5 * np.sqrt(variance / n)
        # Four standard errors of a variance from n·d normal values, and Euler's own error.
        assert x.var() == pytest.approx(variance, rel=4.0 * np.sqrt(2.0 / (2 * n)) + 0.005)
    start, end = found.particles[0], found.particles[-1]
    correlation = np.sum(start * end) / np.sqrt(np.sum(start**2) * np.sum(end**2))
    if paired:
        slope = np.sum(start * end) / np.sum(start**2)
        assert slope == pytest.approx(np.exp(-rate * found.times[-1]), rel=0.03)
        assert correlation > 0.5
    else:
        assert abs(correlation) < 4.5 / np.sqrt(2 * n)


@pytest.mark.parametrize("interaction", ["none", "gaussian"])
def test_one_substep_without_noise_is_the_benchmarks_map(interaction):
    found = simulate(
        "styblinski_tang", interaction, 0.0,
        particles=50, snapshots=4, tau=0.01, substeps=1, paired=True, dimension=3, seed=1,
    )  # fmt: skip
    for x, y in zip(found.particles, found.particles[1:], strict=False):
        force = -(2.0 * x**3 - 16.0 * x + 2.5)
        if interaction == "gaussian":
            apart = x[:, None] - x[None]
            close = np.exp(-0.5 * np.sum(apart**2, axis=-1, keepdims=True))
            force = force - np.mean(apart * close, axis=1)
        np.testing.assert_allclose(y, x + 0.01 * force, rtol=0, atol=1e-12)


def test_quadratic_interaction_contracts_about_a_mean_that_stays():
    found = simulate(
        "none", "quadratic", 0.0,
        particles=40, times=(0.0, 0.5), substeps=10, paired=True, interaction_scale=2.0,
    )  # fmt: skip
    start, end = found.particles
    centre = start.mean(axis=0)
    np.testing.assert_allclose(end.mean(axis=0), centre, atol=1e-12)
    np.testing.assert_allclose(end - centre, (1 - 2.0 * 0.05) ** 10 * (start - centre), atol=1e-12)


@pytest.mark.parametrize("interaction", ["gaussian", "holder_table", "double_exp"])
def test_even_interactions_keep_the_mean(interaction):
    found = simulate(
        "none", interaction, 0.0, particles=60, snapshots=3, substeps=5, paired=True, seed=5
    )
    start, end = found.particles[0], found.particles[-1]
    assert np.abs(end - start).max() > 1e-3
    np.testing.assert_allclose(end.mean(axis=0), start.mean(axis=0), atol=1e-10)


def test_interactions_in_chunks_are_the_same(monkeypatch):
    x = np.random.default_rng(0).normal(size=(37, 2))
    truth = {"potential": "relu", "interaction": "flowers", "interaction_scale": 0.7}
    monkeypatch.setattr(module, "CHUNK", 5 * x.size)
    rows = [true_drift(truth, point[None], x)[0] for point in x]
    np.testing.assert_allclose(true_drift(truth, x, x), rows, rtol=1e-13)


@pytest.mark.parametrize("paired", [False, True])
def test_noise_makes_the_difference_between_seeds_only(paired):
    settings = {"particles": 30, "snapshots": 3, "substeps": 2, "paired": paired}
    a, b = simulate(seed=4, **settings), simulate(seed=4, **settings)
    c = simulate(seed=5, **settings)
    assert a.digest() == b.digest() != c.digest()
    assert a.truth == b.truth
    assert a.paired is paired
    for x, y in zip(a.particles, c.particles, strict=True):
        assert not np.any(x == y)


def test_fresh_populations_share_nothing():
    """Nor do their noises: with nothing else to move them, displacements are uncorrelated."""
    found = simulate("none", "none", 1.0, particles=4000, snapshots=3, tau=1.0, start="normal")
    a, b, c = found.particles
    for x, y in ((a, b), (a, c), (b, c)):
        assert abs(np.corrcoef(x.ravel(), y.ravel())[0, 1]) < 4.5 / np.sqrt(x.size)


def test_unequal_intervals_get_steps_no_longer_than_the_shortest():
    found = simulate("quadratic", particles=10, times=(1.0, 1.1, 1.2, 1.45), substeps=4)
    assert found.truth["substeps"] == [4, 4, 10]
    np.testing.assert_allclose(found.truth["dt"], [0.025] * 3)
    np.testing.assert_array_equal(found.times, [1.0, 1.1, 1.2, 1.45])


def test_one_compilation_serves_every_interval_and_population():
    before = module._advance._cache_size()
    for seed in (0, 1):
        simulate("ishigami", particles=21, times=(0.0, 0.01, 0.03, 0.1), substeps=3, seed=seed)
    assert module._advance._cache_size() == before + 1


def test_truth_survives_json_and_rebuilds_the_drift():
    found = simulate("tilted_double_well", "gaussian", 0.3, particles=25, snapshots=2, dimension=3)
    truth = json.loads(json.dumps(found.truth))
    assert truth == found.truth
    assert {"potential", "interaction", "beta", "substeps", "dt", "seed", "start"} <= set(truth)
    x, cloud = np.random.default_rng(0).normal(size=(6, 3)), found.particles[0]
    a, b, c = x.T
    value = (a**2 - 1) ** 2 + 0.5 * a + b**2 + 0.3 * a * b + c**2
    np.testing.assert_allclose(true_potential(truth, x), value, rtol=1e-13)
    slope = np.stack([4 * a * (a**2 - 1) + 0.5 + 0.3 * b, 2 * b + 0.3 * a, 2 * c], axis=1)
    apart = x[:, None] - cloud[None]
    pull = np.mean(apart * np.exp(-0.5 * np.sum(apart**2, axis=-1, keepdims=True)), axis=1)
    np.testing.assert_allclose(true_drift(truth, x, cloud), -slope - pull, rtol=1e-12, atol=1e-13)
    with pytest.raises(SnapshotError, match="give the cloud"):
        true_drift(truth, x)


def test_no_potential_is_no_drift():
    truth = simulate("none", "none", 1.0, particles=5, snapshots=2).truth
    x = np.ones((4, 2))
    np.testing.assert_array_equal(true_potential(truth, x), np.zeros(4))
    np.testing.assert_array_equal(true_drift(truth, x), np.zeros((4, 2)))


def test_float64_without_touching_the_users_setting():
    setting = jax.config.jax_enable_x64
    found = simulate(particles=10, snapshots=2)
    assert jax.config.jax_enable_x64 == setting
    x = found.particles[1]
    assert np.any(x != x.astype(np.float32))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"potential": "saddle"}, "no potential 'saddle'; choose one of styblinski_tang, .*none"),
        ({"interaction": "saddle"}, "no interaction 'saddle'"),
        ({"potential": "watershed", "dimension": 1}, "needs a dimension of at least 2"),
        ({"beta": -0.1}, "beta is -0.1"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"interaction_scale": float("inf")}, "interaction_scale"),
        ({"particles": 1}, "particles is 1;.* at least 2"),
        ({"dimension": 0}, "dimension is 0"),
        ({"substeps": 0}, "substeps is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "seed is 4294967296; .* to 2³² − 1"),
        ({"snapshots": 1}, "at least two"),
        ({"tau": float("inf")}, "finite and increasing"),
        ({"tau": 0.0}, "increasing"),
        ({"times": (0.0, 2.0, 1.0)}, "increasing"),
        ({"start": "corner"}, "no start 'corner'; choose uniform or normal"),
        ({"potential": "zigzag_ridge", "tau": 1.0}, "escape to infinity by time [1-5] under"),
    ],
)
def test_what_cannot_be_simulated_ends_in_a_sentence(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        simulate(**{"particles": 20, "substeps": 5, **settings})


COMMAND = ["--particles", "12", "--snapshots", "3", "--substeps", "2", "--seed", "9"]


@pytest.mark.parametrize("pairing", ["--paired", "--unpaired"])
def test_the_command_writes_what_the_function_gives(tmp_path, capsys, pairing):
    path = tmp_path / "snaps.nc"
    options = ["--potential", "wavy_plateau", "--interaction", "none", "--beta", "0.1"]
    assert main([*options, "--tau", "0.02", *COMMAND, pairing, "--out", str(path)]) == 0
    written = read_snapshots(path)
    made = simulate(
        "wavy_plateau", particles=12, snapshots=3, tau=0.02, substeps=2, seed=9,
        paired=pairing == "--paired",
    )  # fmt: skip
    assert written.digest() == made.digest()
    assert written.truth == made.truth
    assert str(path) in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [path]


def test_unpaired_is_the_commands_default_and_times_are_taken(tmp_path, capsys):
    path = tmp_path / "snaps.npz"
    assert main([*COMMAND, "--times", "0", "0.1", "0.4", "--out", str(path)]) == 0
    written = read_snapshots(path)
    np.testing.assert_array_equal(written.times, [0.0, 0.1, 0.4])
    made = simulate(particles=12, times=(0.0, 0.1, 0.4), substeps=2, seed=9)
    for x, y in zip(written.particles, made.particles, strict=True):
        np.testing.assert_array_equal(x, y)
    assert "not the truth" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--potential", "saddle", "--out", "a.nc"], "choose one of styblinski_tang"),
        (["--out", "a.mat"], "ending must be one of .nc"),
        (["--out", "nowhere/a.nc"], "no directory"),
        (["--paired", "--unpaired", "--out", "a.nc"], "paired"),
        (["--particles", "many", "--out", "a.nc"], "particles"),
        ([], "out"),
    ],
)
def test_the_commands_mistakes_are_one_sentence_and_code_2(
    tmp_path, monkeypatch, capsys, options, sentence
):
    monkeypatch.chdir(tmp_path)
    assert main([*COMMAND, *options]) == 2
    told = capsys.readouterr()
    assert sentence in told.err
    assert told.err.count("\n") == 1
    assert "Traceback" not in told.err
    assert told.out == ""
    assert not list(tmp_path.iterdir())
