"""Fits as a user makes them: known truths, laws, the command and its mistakes."""

import json
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from bayesjko import FitSettings, InputError, Snapshots, fit, load_result, simulate
from bayesjko.fit.__main__ import main
from bayesjko.readers import write_snapshots
from bayesjko.simulate import true_drift
from bayesjko.summary import summarise

TRUTH = simulate("styblinski_tang", beta=0.0, particles=250, substeps=1, paired=True)
UNPAIRED = simulate("styblinski_tang", beta=0.2, particles=60, snapshots=3, seed=1)
RESIDUAL = FitSettings(likelihood="residual", internal=False)


@pytest.mark.parametrize("variation", ["static", "piecewise"])
def test_a_noise_free_flow_is_found_exactly(variation):
    """One Euler step of a quartic potential a snapshot: the model is the truth."""
    result = fit(TRUTH, RESIDUAL, potential="poly:4", holdout=0.4, time_variation=variation)
    assert result.scores["w1_mean"] < 1e-4
    assert all(row["persistence_w1"] > 0.05 for row in result.scores["intervals"])
    assert result.posterior.mean.shape == (1 if variation == "static" else 5, 14)
    assert result.snapshots.counts == (150,) * 6


def test_paired_snapshots_are_explained_by_their_pairs_unless_told_otherwise():
    result = fit(TRUTH, potential="poly:4", scheme="explicit", holdout=0.4)
    assert result.settings["likelihood"] == "residual"
    assert result.scores["w1_mean"] < 1e-3
    assert "Movement: seen of every particle." in summarise(result)


def shrinking(*stiffness, tau=0.5, implicit=False):
    """Paired particles of V = ½k‖x‖², k another in each interval."""
    rng = np.random.default_rng(0)
    clouds = [3.0 * rng.normal(size=(50, 2))]
    for k in stiffness:
        clouds.append(clouds[-1] / (1 + tau * k) if implicit else clouds[-1] * (1 - tau * k))
    return Snapshots(tau * np.arange(len(clouds)), tuple(clouds), paired=True)


def stiffness_of(result, time):
    """k of each coordinate, from the mean drift at two points a unit apart."""
    points = np.array([[0.0, 0.0], [1.0, 1.0]])
    drift = result.drift(points, time).mean(axis=0)
    return drift[0] - drift[1]


def test_piecewise_energies_change_where_static_ones_average():
    data = shrinking(0.2, 0.6, 0.6)
    settings = replace(RESIDUAL, potential="poly:2", covariance="model")
    static, piecewise = (
        fit(data, settings, time_variation=variation) for variation in ("static", "piecewise")
    )
    for time, k in [(0.0, 0.2), (0.5, 0.6), (1.0, 0.6), (1.5, 0.6)]:
        np.testing.assert_allclose(stiffness_of(piecewise, time), k, atol=0.01)
        # least squares weigh the wider cloud more, so nearer to the first k
        assert np.all((stiffness_of(static, time) > 0.25) & (stiffness_of(static, time) < 0.55))


def test_the_scheme_is_the_equation_that_is_fitted():
    data = shrinking(0.6, 0.6, implicit=True)
    for scheme, k in [("implicit", 0.6), ("explicit", 0.6 / 1.3), ("midpoint", 0.6 / 1.15)]:
        result = fit(data, RESIDUAL, potential="poly:2", covariance="model", scheme=scheme)
        np.testing.assert_allclose(stiffness_of(result, 0.0), k, rtol=1e-3)


def test_an_unpaired_population_with_noise_is_found_roughly():
    data = simulate("styblinski_tang", beta=0.1, particles=400, snapshots=4, seed=2)
    result = fit(data, RESIDUAL, potential="poly:4", internal=True)
    points = data.particles[1][:100]
    truth = true_drift(data.truth, points)
    error = result.drift(points, 0.01).mean(axis=0) - truth
    assert np.sqrt(np.mean(error**2) / np.mean(truth**2)) < 0.5
    assert result.beta.shape == (1000,)


def test_other_units_give_the_same_answer_in_them():
    """Lengths times a, times times b, and another origin: drifts scale by a/b, β by a²/b."""
    a, b = 200.0, 0.01
    moved = Snapshots(b * UNPAIRED.times - 3.0, tuple(a * (x + 5.0) for x in UNPAIRED.particles))
    settings = replace(
        RESIDUAL, potential="poly:3", interaction="fourier:4", internal=True, density="kernel"
    )
    here, there = fit(UNPAIRED, settings), fit(moved, settings)
    points = UNPAIRED.particles[0][:7]
    for ours, theirs in [
        (here.drift(points), there.drift(a * (points + 5.0)) * b / a),
        (here.potential(points), there.potential(a * (points + 5.0)) * b / a**2),
        (here.beta, there.beta * b / a**2),
    ]:
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4 * np.abs(ours).max())


def test_the_order_of_particles_does_not_matter():
    rng = np.random.default_rng(0)
    shuffled = replace(UNPAIRED, particles=tuple(rng.permutation(x) for x in UNPAIRED.particles))
    settings = replace(RESIDUAL, potential="poly:3", interaction="poly:4")
    here, there = (fit(data, settings).posterior for data in (UNPAIRED, shuffled))
    np.testing.assert_allclose(there.mean, here.mean, rtol=1e-5, atol=1e-7)
    assert there.log_evidence == pytest.approx(here.log_evidence, rel=1e-6)


SMALL = replace(RESIDUAL, potential="rbf:8", interaction="poly:4", internal=True, draws=40)


def test_a_fit_is_the_same_to_the_bit_whatever_the_users_precision_and_threads():
    before = jax.config.jax_enable_x64
    results = []
    try:
        for setting, jobs in [(False, 1), (True, 2)]:
            jax.config.update("jax_enable_x64", setting)
            results.append(fit(UNPAIRED, SMALL, jobs=jobs))
            assert jax.config.jax_enable_x64 is setting
            assert jax.numpy.ones(1).dtype == (np.float64 if setting else np.float32)
    finally:
        jax.config.update("jax_enable_x64", before)
    first, second = results
    np.testing.assert_array_equal(first.posterior.coefficients, second.posterior.coefficients)
    assert first.posterior.coefficients.dtype == np.float64
    assert first.posterior.log_evidence == second.posterior.log_evidence
    other = fit(UNPAIRED, SMALL, seed=1)
    assert not np.any(first.posterior.draws == other.posterior.draws)


@pytest.mark.parametrize(
    ("paired", "variation", "scheme"),
    [(False, "static", "midpoint"), (True, "static", "explicit"), (False, "piecewise", "explicit")],
)
def test_the_scheme_follows_from_the_data_unless_told(paired, variation, scheme):
    data = replace(UNPAIRED, paired=paired)
    told = {"potential": "poly:2", "draws": 8, "time_variation": variation}
    assert fit(data, RESIDUAL, **told).scheme == scheme
    assert fit(data, RESIDUAL, scheme="implicit", **told).scheme == "implicit"


def test_a_result_says_where_it_comes_from():
    result = fit(UNPAIRED, RESIDUAL, potential="poly:2", draws=8, seed=5)
    assert result.provenance["data_hash"] == UNPAIRED.digest()
    assert result.provenance["seed"] == 5
    assert result.provenance["versions"]["jax"] == jax.__version__
    used = replace(RESIDUAL, potential="poly:2", draws=8, seed=5, scheme="midpoint")
    assert FitSettings(**result.settings) == used
    assert json.loads(json.dumps(result.settings)) == result.settings


@pytest.mark.parametrize(
    "terms",
    [
        {"potential": "none", "interaction": "poly:2"},
        {"potential": "none", "internal": True},
        {"potential": "fourier:6"},
        {"potential": "poly:2", "noise": "estimate"},
        {"potential": "poly:2", "noise": 0.5, "prior_scale": 2.0, "covariance": "model"},
        {"potential": "poly:2", "coupling": "entropic"},
        {"potential": "poly:2", "internal": True, "time_variation": "piecewise"},
    ],
)
def test_every_combination_gives_a_finite_posterior(terms):
    result = fit(UNPAIRED, RESIDUAL, draws=8, **terms)
    assert np.all(np.isfinite(result.posterior.draws))
    assert np.isfinite(result.posterior.log_evidence)
    assert np.all(np.isfinite(result.drift(UNPAIRED.particles[0][:2])))
    assert (result.beta is None) == ("internal" not in terms)


MISTAKES = [
    ({"potential": "spline:4"}, "Unknown basis 'spline:4'"),
    ({"potential": "poly:x"}, "Cannot use 'poly:x'"),
    ({"potential": "none"}, "no term"),
    ({"holdout": 1.5}, "held-out fraction is 1.5"),
    ({"holdout": -0.1}, "held-out fraction is -0.1"),
    ({"holdout": 0.001}, "fewer than two particles"),
    ({"draws": 0}, "at least 1"),
    ({"seed": -1}, "seed is -1"),
    ({"seed": 2**32}, "seed is 4294967296"),
    ({"noise": -0.5}, "noise is -0.5"),
    ({"noise": 0.0}, "noise is 0"),
    ({"prior_scale": 0.0}, "prior scale is 0"),
    ({"prior_scale": float("nan")}, "prior scale is nan"),
]


@pytest.mark.parametrize(("setting", "said"), MISTAKES)
def test_settings_that_cannot_be_used_are_told(setting, said):
    with pytest.raises(InputError, match=said):
        fit(UNPAIRED, RESIDUAL, **setting)


def test_a_setting_that_is_none_is_told():
    with pytest.raises(InputError, match="no setting 'colour'"):
        fit(UNPAIRED, colour="red")


@pytest.fixture
def data(tmp_path):
    write_snapshots(UNPAIRED, tmp_path / "snaps.nc")
    return tmp_path / "snaps.nc"


def refused(arguments, folder, capsys):
    """The one line a refused command leaves, and nothing else anywhere."""
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert main([*arguments, "--likelihood", "residual", "--no-internal"]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.count("\n") == 1
    assert "Traceback" not in written.err
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    return written.err


@pytest.mark.parametrize(("setting", "said"), MISTAKES)
def test_the_command_refuses_them_in_one_sentence(setting, said, data, tmp_path, capsys):
    (name, value), out = setting.copy().popitem(), tmp_path / "result.nc"
    out.write_text("the former one")
    option = [f"--{name.replace('_', '-')}", str(value)]
    assert said in refused([str(data), *option, "--out", str(out)], tmp_path, capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "either a file of snapshots or --demo"),
        (["snaps.nc", "--demo", "double_well"], "not both"),
        (["--demo", "pendulum"], "no demo 'pendulum'"),
        (["nowhere.nc"], "does not exist"),
        (["snaps.nc", "--colour", "red"], "--colour"),
        (["snaps.nc", "--scheme", "leapfrog"], "leapfrog"),
        (["snaps.nc", "--draws", "many"], "many"),
        (["snaps.nc", "--out", "nowhere/result.nc"], "no directory"),
    ],
)
def test_the_command_refuses_what_it_does_not_know(
    arguments, said, data, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert said in refused(arguments, tmp_path, capsys)


def test_the_command_prints_one_json_object_and_writes_what_python_gives(data, tmp_path, capsys):
    out = tmp_path / "result.nc"
    options = ["--likelihood", "residual", "--potential", "poly:3", "--internal"]
    options += ["--holdout", "0.3", "--draws", "20"]
    assert main([str(data), *options, "--out", str(out), "--json"]) == 0
    written = capsys.readouterr()
    assert written.err == ""
    found = json.loads(written.out)
    changes = {"potential": "poly:3", "internal": True, "holdout": 0.3, "draws": 20}
    expected = fit(UNPAIRED, RESIDUAL, **changes)
    assert found["holdout"] == expected.scores
    assert found["log_evidence"] == expected.posterior.log_evidence
    assert found["beta"] == expected.beta.mean()
    saved = load_result(out)
    np.testing.assert_array_equal(saved.posterior.coefficients, expected.posterior.coefficients)
    assert saved.scores == expected.scores
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["result.nc", "snaps.nc"]


def test_the_command_prints_a_summary(data, tmp_path, capsys):
    out = tmp_path / "result.nc"
    options = ["--likelihood", "residual", "--potential", "poly:3", "--internal"]
    options += ["--holdout", "0.3", "--out", str(out)]
    assert main([str(data), *options]) == 0
    said = capsys.readouterr().out
    for part in (
        "Data: 3 snapshots at times 0, 0.01, 0.02 of 42, 42, 42 particles",
        "potential poly:3 (9)",
        "Log evidence",
        "90% interval",
        "Truth: β = 0.2",
        "noise floor",
        f"Result: {out}",
    ):
        assert part in said
    assert max(map(len, said.splitlines())) < 200
    assert main([str(data), *options, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_the_module_runs_without_a_warning(data):
    ran = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", "bayesjko.fit", str(data)]
        + ["--likelihood", "residual", "--potential", "poly:2", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.parametrize("covariance", ["model", "sandwich"])
def test_particles_that_never_move_feel_no_force(covariance):
    cloud = np.random.default_rng(2).normal(size=(40, 2))
    still = Snapshots(np.arange(3.0), (cloud, cloud, cloud), paired=True)
    result = fit(still, potential="poly:2", internal=False, covariance=covariance, draws=8, jobs=1)
    assert np.max(np.abs(result.drift(cloud))) < 1e-9
