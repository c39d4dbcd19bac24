"""Scores against distances computed by hand, for energies whose maps are known."""

import json

import numpy as np
import pytest

from bayesjko.command import strict_json
from bayesjko.evaluate import evaluate, score_table, scoring
from bayesjko.evaluate.__main__ import main
from bayesjko.inference.distances import wasserstein
from bayesjko.inference.posterior import Posterior
from bayesjko.models.bases import Polynomial
from bayesjko.models.data import Snapshots, Standardisation
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.errors import InputError
from bayesjko.readers import write_snapshots
from bayesjko.result import Result

TIMES = np.array([0.0, 0.5, 2.0])
K = 0.4  # V = ½K‖x − centre‖²: an explicit step shrinks by 1 − Kτ
DRAWS = K * np.linspace(0.5, 1.5, 21)
FACTORS = 1 - K * np.diff(TIMES)


def clouds_of(seed, count, centre):
    """Three clouds, each the one before moved by the map itself, in another order."""
    rng = np.random.default_rng(seed)
    clouds = [centre + 5.0 * rng.normal(size=(count, 2))]
    for factor in FACTORS:
        clouds.append(rng.permutation(centre + factor * (clouds[-1] - centre)))
    return clouds


def fitted(spread=True):
    snapshots = Snapshots(TIMES, tuple(clouds_of(0, 40, np.array([10.0, -3.0]))))
    units = Standardisation.of(snapshots)
    k = DRAWS if spread else np.full(21, K)
    coefficients = 0.5 * units.duration * np.broadcast_to(k[:, None, None], (21, 1, 2))
    posterior = Posterior(
        coefficients=coefficients[None],
        mean=coefficients.mean(axis=0),
        covariance=None,
        noise=None,
        log_evidence=None,
        method="conjugate",
        uncertainty="model",
    )
    energy = LinearEnergy(Polynomial(((2, 0), (0, 2))))
    return Result(energy, units, snapshots, posterior, {"scheme": "explicit"})


RESULT = fitted()
CENTRE = RESULT.standardisation.mean
TEST = Snapshots(TIMES, tuple(clouds_of(1, 30, CENTRE)))


@pytest.fixture(scope="module")
def scores():
    return evaluate(RESULT, TEST, draws=21)


def step(cloud, k, tau):
    return CENTRE + (1 - k * tau) * (cloud - CENTRE)


def test_the_truth_scores_nothing_one_step_ahead_and_all_the_way(scores):
    for row in scores["intervals"]:
        for name in ("w1", "w2", "cumulative_w1", "cumulative_w2"):
            assert row[name] == pytest.approx(0.0, abs=1e-6)
    assert [row["time"] for row in scores["intervals"]] == [0.5, 2.0]
    assert scores["w1_mean"] == pytest.approx(0.0, abs=1e-6)


def test_the_interval_is_that_of_the_draws_scores(scores):
    for k, row in enumerate(scores["intervals"]):
        tau = TIMES[k + 1] - TIMES[k]
        each = [
            wasserstein(step(TEST.particles[k], stiffness, tau), TEST.particles[k + 1])
            for stiffness in DRAWS
        ]
        low, high = np.quantile(each, [0.05, 0.95])
        assert row["w1_low"] == pytest.approx(low, rel=1e-9)
        assert row["w1_high"] == pytest.approx(high, rel=1e-9)
        assert 0 < row["w1_low"] < row["w1_high"]


def test_the_references_are_standing_still_and_another_sample(scores):
    for k, row in enumerate(scores["intervals"]):
        now, then = TEST.particles[k], TEST.particles[k + 1]
        sample = RESULT.snapshots.particles[k + 1]
        for order in (1, 2):
            still = wasserstein(now, then, order=order)
            assert row[f"persistence_w{order}"] == pytest.approx(still, rel=1e-12)
            floor = wasserstein(then, sample, order=order)
            assert row[f"floor_w{order}"] == pytest.approx(floor, rel=1e-12)
    means = {order: np.mean([row[f"w{order}"] for row in scores["intervals"]]) for order in (1, 2)}
    assert scores["w1_mean"] == pytest.approx(means[1])
    assert scores["w2_mean"] == pytest.approx(means[2])


def test_a_wrong_energy_scores_its_error():
    """All particles short of their goal by the same factor: W2 is the root mean square gap."""
    wrong = fitted(spread=False)
    wrong.posterior.mean[:] *= 0.5
    scores = evaluate(wrong, TEST, draws=2)
    for k, row in enumerate(scores["intervals"]):
        tau = TIMES[k + 1] - TIMES[k]
        gap = 0.5 * K * tau * np.linalg.norm(TEST.particles[k] - CENTRE, axis=1)
        assert row["w2"] == pytest.approx(np.sqrt(np.mean(gap**2)), rel=1e-9)
        assert row["w1"] == pytest.approx(np.mean(gap), rel=1e-9)
    short = np.prod([1 - 0.5 * K * tau for tau in np.diff(TIMES)]) - np.prod(FACTORS)
    far = np.mean(np.abs(short) * np.linalg.norm(TEST.particles[0] - CENTRE, axis=1))
    assert scores["intervals"][-1]["cumulative_w1"] == pytest.approx(far, rel=1e-9)


def test_the_data_themselves_are_compared_with_their_own_halves():
    """On the fitted particles the other sample would be the same one, and the floor zero."""
    rows = evaluate(RESULT, RESULT.snapshots, draws=1)["intervals"]
    assert all(row["floor_w1"] > 0.1 for row in rows)


def test_weights_count_as_particles_do():
    rng = np.random.default_rng(5)
    weights = [rng.dirichlet(np.full(30, 2.0)) for _ in TIMES]
    weighted = Snapshots(TIMES, TEST.particles, tuple(weights))
    split = Snapshots(
        TIMES,
        tuple(np.concatenate([x, x[:3]]) for x in TEST.particles),
        tuple(np.concatenate([w[:3] / 4, w[3:], 3 * w[:3] / 4]) for w in weights),
    )
    found, again = (evaluate(RESULT, test, draws=3)["intervals"][1] for test in (weighted, split))
    for name in ("w1", "w1_low", "w1_high", "w2", "persistence_w1", "cumulative_w1", "floor_w1"):
        assert again[name] == pytest.approx(found[name], rel=1e-9), name
    plain = evaluate(RESULT, TEST, draws=3)["intervals"][1]
    assert found["persistence_w1"] != pytest.approx(plain["persistence_w1"], rel=1e-3)


def test_other_times_than_the_fits_may_be_scored():
    """From 0.2 to 1.1 past the snapshot at 0.5: a step to it and a step from it."""
    factor = (1 - K * 0.3) * (1 - K * 0.6)
    start = TEST.particles[0]
    test = Snapshots(np.array([0.2, 1.1]), (start, CENTRE + factor * (start - CENTRE)))
    scores = evaluate(fitted(spread=False), test, draws=1)
    assert scores["w1_mean"] == pytest.approx(0.0, abs=1e-6)


def test_a_seed_fixes_the_scores_and_threads_do_not_matter(scores):
    assert evaluate(RESULT, TEST, draws=21, jobs=1) == scores
    few = [evaluate(RESULT, TEST, draws=3, seed=seed) for seed in (0, 0, 1)]
    assert few[0] == few[1] != few[2]


def test_snapshots_of_two_are_scored_and_what_has_no_value_is_none_in_json():
    test = Snapshots(np.array([0.2, 1.1]), tuple(cloud[:2] for cloud in TEST.particles[:2]))
    row = evaluate(RESULT, test, draws=2)["intervals"][0]
    assert np.isnan(row["floor_bw_uvp"])
    assert json.loads(strict_json(row))["floor_bw_uvp"] is None
    assert np.isfinite([row["w1"], row["floor_w1"], row["bw_uvp"]]).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [({"draws": 0}, "at least 1"), ({"substeps": 0}, "at least 1"), ({"seed": -1}, "seed is -1")],
)
def test_numbers_that_cannot_be_are_told(options, said):
    with pytest.raises(InputError, match=said):
        evaluate(RESULT, TEST, **options)


def test_other_features_are_told():
    renamed = Snapshots(TIMES, TEST.particles, features=("x2", "x1"))
    with pytest.raises(InputError, match="x2, x1 and the fit x1, x2"):
        evaluate(RESULT, renamed)


@pytest.fixture
def files(tmp_path):
    RESULT.save(tmp_path / "result.nc")
    write_snapshots(TEST, tmp_path / "test.npz")
    return [str(tmp_path / "result.nc"), str(tmp_path / "test.npz")]


def test_the_command_prints_one_json_object(files, scores, capsys):
    assert main([*files, "--draws", "21", "--json"]) == 0
    written = capsys.readouterr()
    found = json.loads(written.out)
    assert written.err == ""
    assert found["w1_mean"] == scores["w1_mean"]
    assert {"time", "w1", "w1_low", "w1_high", "w2", "persistence_w1", "floor_w1"} <= set(
        found["intervals"][0]
    )


def test_the_command_prints_a_table(files, scores, capsys):
    assert main([*files, "--draws", "21"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == score_table(scores).splitlines()
    assert len(lines) == 1 + 2 + 1
    assert f"{scores['intervals'][1]['persistence_w1']:.4g}" in lines[2]


@pytest.mark.parametrize(
    ("index", "name", "said"),
    [(0, "nowhere.nc", "There is no file"), (1, "nowhere.npz", "does not exist")],
)
def test_a_command_that_fails_says_so_in_a_sentence(files, capsys, index, name, said):
    files[index] = name
    assert main(files) == 2
    written = capsys.readouterr()
    assert said in written.err
    assert written.err.count("\n") == 1
    assert written.out == ""


def test_draws_of_large_clouds_are_told_from_their_mean_on_some_particles(monkeypatch):
    """Of clouds on a line that do not overlap, any particles tell by how much a shift adds."""
    monkeypatch.setattr(scoring, "_COMPARED", 40)
    rng = np.random.default_rng(0)
    mean, seen = rng.uniform(size=(90, 1)), rng.uniform(5.0, 6.0, size=(70, 1))
    start = scoring.Cloud(mean, np.full(90, 1 / 90))
    prediction = scoring.Prediction(
        time=1.0,
        observed=scoring.Cloud(seen, np.full(70, 1 / 70)),
        start=start,
        clouds=np.stack([mean, *(mean - shift for shift in (0.0, 0.25, 0.5))]),
        cumulative=start,
    )
    (row,) = scoring.score_all([prediction])["intervals"]
    exact = seen.mean() - mean.mean()
    assert row["w1"] == pytest.approx(exact, rel=1e-9)
    low, high = np.quantile([0.0, 0.25, 0.5], [0.05, 0.95])
    assert (row["w1_low"], row["w1_high"]) == pytest.approx((exact + low, exact + high), rel=1e-9)
