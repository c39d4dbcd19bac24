"""Snapshots left out, against maps whose composition is known, and the other scores by hand."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from bayesjko import FitSettings, InputError, Snapshots, fit, simulate, write_snapshots
from bayesjko.evaluate import evaluate
from bayesjko.evaluate.__main__ import main
from bayesjko.evaluate.holdout import extrapolate, holdout_table, leave_out
from bayesjko.inference.distances import bures_wasserstein, energy_score, median_distance, mmd

SHRINKS = 0.8
CLOUDS = [3.0 * np.random.default_rng(0).normal(size=(40, 2))]
for _ in range(4):
    CLOUDS.append(SHRINKS * CLOUDS[-1])
DATA = Snapshots(np.arange(5.0), tuple(CLOUDS), paired=True)
SIZE = [float(np.sqrt(np.mean(np.sum(cloud**2, axis=1)))) for cloud in CLOUDS]
SETTINGS = FitSettings(
    potential="poly:2",
    internal=False,
    likelihood="residual",
    time_variation="piecewise",
    covariance="model",
    draws=8,
    holdout=0.4,
)


@pytest.fixture(scope="module")
def result():
    return fit(DATA, SETTINGS)


@pytest.fixture(scope="module")
def scores(result):
    return leave_out(result, DATA, [1.0, 3.0], draws=4)


def test_what_is_left_out_is_predicted_halfway_along_the_fitted_step(scores):
    """Two steps of 0.8 fitted as one of 0.64, half of which is 0.82."""
    assert scores["left_out"] == [row["time"] for row in scores["intervals"]] == [1.0, 3.0]
    for row, start in zip(scores["intervals"], (0, 2), strict=True):
        assert row["w2"] == pytest.approx((0.82 - 0.8) * SIZE[start], rel=1e-3)
        assert row["persistence_w2"] == pytest.approx((1 - 0.8) * SIZE[start], rel=1e-6)
        assert row["mccann_w2"] == pytest.approx((0.82 - 0.8) * SIZE[start], rel=1e-6)
        assert row["w2_low"] <= row["w2_high"]
        assert row["floor_w2"] > 0.1
    far = (0.64 * 0.82 - 0.8**3) * SIZE[0]
    assert scores["intervals"][1]["cumulative_w2"] == pytest.approx(far, rel=1e-3)
    assert scores["w2_mean"] == pytest.approx(0.01 * (SIZE[0] + SIZE[2]), rel=1e-3)


def test_two_snapshots_in_a_row_are_both_predicted_from_the_one_before(result):
    found = leave_out(result, DATA, [2.0, 1.0], draws=1)["intervals"]
    rate = (1 - 0.8**3) / 3  # the explicit step over the whole gap
    for row, k in zip(found, (1, 2), strict=True):
        assert row["time"] == k
        assert row["w2"] == pytest.approx(abs(1 - k * rate - 0.8**k) * SIZE[0], rel=1e-3)
        assert row["mccann_w2"] == pytest.approx(row["w2"], rel=1e-3)


def test_all_particles_of_what_is_kept_take_part(result, monkeypatch):
    """A fit that held particles out is fitted again to all of them, with its other settings."""
    seen = {}

    def watch(snapshots, settings, **options):
        seen.update(counts=snapshots.counts, times=snapshots.times, settings=settings)
        return fit(snapshots, settings, **options)

    monkeypatch.setattr(sys.modules["bayesjko.evaluate.holdout"], "fit", watch)
    leave_out(result, DATA, [1.0], draws=1)
    assert seen["counts"] == (40,) * 4
    assert list(seen["times"]) == [0.0, 2.0, 3.0, 4.0]
    assert seen["settings"] == replace(SETTINGS, holdout=0.0, scheme="explicit")


def test_the_last_snapshots_are_forecast_from_those_before(result):
    found = extrapolate(result, DATA, 2, draws=1)
    assert [row["time"] for row in found["intervals"]] == [3.0, 4.0]
    for row in found["intervals"]:  # the last interval's energy goes on, and it is the true one
        assert row["w2"] == pytest.approx(0.0, abs=1e-3)
        assert row["persistence_w2"] == pytest.approx(
            (1 - 0.8 ** (row["time"] - 2)) * SIZE[2], rel=1e-6
        )
        assert "mccann_w2" not in row
    assert "–" in holdout_table(found)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([0.5], r"No snapshot at time 0\.5 to leave out; there are some at 0, 1, 2, 3, 4"),
        ([0.0], "Nothing is seen before time 0"),
        ([1.0, 2.0, 3.0, 4.0], "leaves 1, and at least two"),
        ([], "No time is given"),
    ],
)
def test_times_that_cannot_be_left_out_are_told(result, times, said):
    with pytest.raises(InputError, match=said):
        leave_out(result, DATA, times)


@pytest.mark.parametrize("count", [0, 4, -1])
def test_too_many_to_extrapolate_are_told(result, count):
    with pytest.raises(InputError, match="from 1 to 3"):
        extrapolate(result, DATA, count)


def test_the_other_scores_are_those_of_the_same_clouds(result):
    row = evaluate(result, DATA, draws=1)["intervals"][0]
    start, seen = DATA.particles[:2]
    weight = np.full(len(start), 1 / len(start))
    usual = median_distance(seen, seen)
    each = {
        "mmd": mmd(start, seen, bandwidth=(usual / 2, usual, 2 * usual)),
        "energy_score": energy_score(start, seen, weight, weight),
        "bw_uvp": 200 * bures_wasserstein(start, seen) ** 2 / np.sum(np.var(seen, axis=0)),
    }
    for name, value in each.items():
        assert row[f"persistence_{name}"] == pytest.approx(value, rel=1e-9)
        assert row[name] < value
        assert row[f"{name}_low"] <= row[f"{name}_high"]
        assert f"floor_{name}" in row
    assert row["bw_uvp"] == pytest.approx(0.0, abs=1e-3)


def test_unexplained_displacements_are_told_where_the_truth_is_known():
    """Without noise the truth's displacements are those of the particles themselves."""
    data = simulate(
        "double_well",
        beta=0.0,
        particles=60,
        snapshots=3,
        paired=True,
        start="normal",
        substeps=200,
    )
    found = fit(data, potential="poly:4", internal=False, draws=8)
    first, *_ = evaluate(found, data, draws=4)["intervals"]
    moved = np.mean(np.sum((data.particles[1] - data.particles[0]) ** 2, axis=1))
    expected = 100 * moved / np.sum(np.var(data.particles[1], axis=0))
    assert first["persistence_l2_uvp"] == pytest.approx(expected, rel=0.01)
    assert first["l2_uvp"] < 0.01 * expected
    blind = replace(found, posterior=replace(found.posterior, mean=0.0 * found.posterior.mean))
    still = evaluate(blind, data, draws=1)["intervals"][0]
    assert still["l2_uvp"] == pytest.approx(still["persistence_l2_uvp"], rel=1e-9)
    assert "l2_uvp" not in evaluate(found, replace(data, truth=None), draws=1)["intervals"][0]


@pytest.fixture
def files(result, tmp_path):
    result.save(tmp_path / "result.nc")
    write_snapshots(DATA, tmp_path / "data.nc")
    return [str(tmp_path / "result.nc"), str(tmp_path / "data.nc")]


def test_the_command_leaves_out_and_extrapolates(files, scores, capsys):
    assert main([*files, "--leave-out", "1,3", "--draws", "4", "--json"]) == 0
    written = capsys.readouterr()
    assert written.err == ""
    assert json.loads(written.out) == scores
    assert main([*files, "--extrapolate", "1", "--draws", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 1 + 2
    assert "McCann" in lines[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--leave-out", "one"], "Cannot read --leave-out 'one'"),
        (["--leave-out", "7"], "No snapshot at time 7"),
        (["--extrapolate", "9"], "from 1 to 3"),
        (["--leave-out", "1", "--extrapolate", "1"], "not both"),
        (["--weight", "mass"], "mass"),
    ],
)
def test_the_command_says_what_cannot_be(files, options, said, capsys):
    assert main([*files, *options]) == 2
    written = capsys.readouterr()
    assert said in written.err
    assert written.err.count("\n") == 1
    assert written.out == ""


def test_draws_that_escape_have_no_score_and_are_counted(result):
    """One draw in eight is steeper by seven orders of magnitude."""
    wild = result.posterior.coefficients.copy()
    wild[0, 0] *= -1e8
    odd = replace(result, posterior=replace(result.posterior, coefficients=wild))
    row = evaluate(odd, DATA, draws=8)["intervals"][0]
    assert row["escaped"] == 1
    assert row["w1_high"] < 1.0
    assert "escaped" not in evaluate(result, DATA, draws=1)["intervals"][0]
    lost = replace(odd, posterior=replace(odd.posterior, mean=-1e8 * odd.posterior.mean))
    with pytest.raises(InputError, match="escape under the posterior mean"):
        evaluate(lost, DATA, draws=1)
