"""The table of the energy: against the draws it stands on and against known formulas."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayesjko import energy as module
from bayesjko.energy import drift_spread, energy_at, interaction_spread
from bayesjko.energy.__main__ import main
from bayesjko.fit import fit
from bayesjko.models.errors import InputError
from bayesjko.simulate import simulate

CENTRE = np.array([3.0, -1.0])
POINTS = np.array([[-1.0, 0.5], [0.3, 0.0], [1.2, -0.7]])


@pytest.fixture(scope="module")
def result():
    data = simulate(
        "tilted_double_well",
        "gaussian",
        beta=0.3,
        particles=150,
        snapshots=3,
        tau=0.1,
        start="normal",
        seed=1,
    )
    return fit(
        data,
        potential="poly:3",
        interaction="poly:2",
        internal=True,
        likelihood="residual",
        draws=120,
        jobs=1,
    )


@pytest.fixture(scope="module")
def alone(result):
    """The same fit without its potential: interaction and internal energy."""
    return fit(
        result.snapshots,
        potential="none",
        interaction="poly:2",
        internal=True,
        likelihood="residual",
        draws=40,
        jobs=1,
    )


@pytest.fixture(scope="module")
def saved(result, tmp_path_factory):
    path = tmp_path_factory.mktemp("energy") / "result.nc"
    result.save(path)
    return path


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "points.csv"
    frame = pd.DataFrame({"note": list("abc"), "x2": POINTS[:, 1], "x1": POINTS[:, 0]})
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("time", [None, 0.0])
def test_columns_are_the_draws_means_deviations_and_quantiles(result, time):
    found = energy_at(result, POINTS, time, level=0.8)
    drift, potential = result.drift(POINTS, time), result.potential(POINTS, time)
    expected = {"x1": POINTS[:, 0], "x2": POINTS[:, 1]}
    expected |= {"potential": potential.mean(axis=0), "potential_sd": potential.std(axis=0)}
    for c in range(2):
        of_feature = drift[:, :, c]
        expected |= {
            f"drift_x{c + 1}": of_feature.mean(axis=0),
            f"drift_x{c + 1}_sd": of_feature.std(axis=0),
            f"drift_x{c + 1}_low": np.quantile(of_feature, 0.1, axis=0),
            f"drift_x{c + 1}_high": np.quantile(of_feature, 0.9, axis=0),
        }
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12, err_msg=name)


def test_the_population_of_the_snapshot_is_what_drives(result):
    first, last = (energy_at(result, POINTS, t)["drift_x1"] for t in (0.0, 0.2))
    assert np.all(np.abs(first - last) > 1e-6)
    np.testing.assert_array_equal(last, energy_at(result, POINTS)["drift_x1"])
    with pytest.raises(InputError, match=r"No snapshot at time 0\.15"):
        energy_at(result, POINTS, 0.15)


def test_a_quadratic_potential_is_found_in_the_users_units():
    # No noise, one Euler step: x − 2 (x − c) is linear, so the fit is exact but for its prior.
    data = simulate("quadratic", beta=0.0, substeps=1, paired=True, particles=200, tau=0.05, seed=3)
    moved = tuple(CENTRE + 2.0 * cloud for cloud in data.particles)
    data = replace(data, particles=moved, times=10.0 * data.times, truth=None)
    exact = fit(data, potential="poly:2", scheme="explicit", covariance="model", draws=50, jobs=1)
    found = energy_at(exact, POINTS)
    # drift of 2x in time 10t: −(x − c)/10, and V = |x − c|²/20
    mean = np.mean([cloud.mean(axis=0) for cloud in moved], axis=0)
    square = np.sum((POINTS - CENTRE) ** 2, axis=1) - np.sum((mean - CENTRE) ** 2)
    np.testing.assert_allclose(found["potential"], square / 20.0, rtol=1e-3, atol=1e-3)
    for c in range(2):
        actual = -(POINTS[:, c] - CENTRE[c]) / 10.0
        np.testing.assert_allclose(found[f"drift_x{c + 1}"], actual, rtol=1e-3)


def test_intervals_hold_the_truth_of_fresh_populations():
    # No diffusion: of a normal population it could not be told from a quadratic potential. The
    # midpoint, where the sampling noise of a coupling does not bias a quadratic.
    data = simulate(
        "quadratic", beta=0.0, particles=1000, snapshots=4, tau=0.1, start="normal", seed=3
    )
    result = fit(
        data,
        potential="poly:2",
        likelihood="residual",
        internal=False,
        scheme="midpoint",
        draws=400,
        jobs=1,
    )
    found = energy_at(result, POINTS, level=0.99)
    for c in range(2):
        low, high = found[f"drift_x{c + 1}_low"], found[f"drift_x{c + 1}_high"]
        assert np.all((low < -POINTS[:, c]) & (-POINTS[:, c] < high))
        assert np.all(high - low < 1.2)  # an interval that holds everything shows nothing
    origin = result.standardisation.mean
    actual = 0.5 * (np.sum(POINTS**2, axis=1) - np.sum(origin**2))
    assert np.all(np.abs(found["potential"] - actual) < 3.5 * found["potential_sd"])
    assert np.all(found["potential_sd"] < 0.3)


def test_the_potential_is_nothing_at_the_datas_mean_and_certainly_so(result):
    found = energy_at(result, np.stack([result.standardisation.mean, POINTS[0]]))
    assert abs(found["potential"][0]) < 1e-12
    assert found["potential_sd"][0] < 1e-12
    assert found["potential_sd"][1] > 1e-3


def test_points_are_treated_in_blocks_of_any_size(result, monkeypatch):
    points = np.random.default_rng(0).normal(size=(37, 2))
    whole = energy_at(result, points)
    monkeypatch.setattr(module, "_HELD", 120 * 2 * 10)  # ten points of both features at a time
    asked = []
    drift = type(result).drift
    monkeypatch.setattr(
        type(result),
        "drift",
        lambda self, x, time=None: asked.append(len(x)) or drift(self, x, time),
    )
    for name, values in energy_at(result, points).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-10, atol=1e-12, err_msg=name)
    assert asked == [10, 10, 10, 7]


def test_an_energy_without_potential_has_a_drift_only(alone):
    found = energy_at(alone, POINTS)
    assert [name for name in found if name.startswith("potential")] == []
    np.testing.assert_allclose(found["drift_x2"], alone.drift(POINTS).mean(axis=0)[:, 1])


def test_the_interaction_averaged_over_the_population_drives_it(alone):
    cloud, weight = alone.snapshots.particles[-1], alone.snapshots.weights[-1]
    step = 1e-4

    def felt(x):
        return weight @ interaction_spread(alone, x - cloud).mean

    for c, shift in enumerate(step * np.eye(2)):
        slope = [(felt(x + shift) - felt(x - shift)) / (2 * step) for x in POINTS]
        np.testing.assert_allclose(slope, -energy_at(alone, POINTS)[f"drift_x{c + 1}"], rtol=1e-6)
    here = interaction_spread(alone, np.zeros((1, 2)))
    np.testing.assert_allclose([here.mean, here.sd], 0.0, atol=1e-12)
    other_way = interaction_spread(alone, -POINTS)
    np.testing.assert_allclose(interaction_spread(alone, POINTS).low, other_way.low, rtol=1e-9)


def test_an_interaction_that_is_not_there_is_told():
    data = simulate("quadratic", particles=20, snapshots=2)
    with pytest.raises(InputError, match="no interaction"):
        interaction_spread(fit(data, potential="poly:1", draws=4, jobs=1), POINTS)


def test_wider_levels_are_wider(result):
    narrow, wide = (drift_spread(result, POINTS, level=level) for level in (0.5, 0.95))
    assert np.all(wide.low < narrow.low)
    assert np.all(wide.high > narrow.high)
    np.testing.assert_array_equal(wide.sd, narrow.sd)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, -0.1, np.nan])
def test_a_level_is_a_share(result, level):
    with pytest.raises(InputError, match="between 0 and 1"):
        energy_at(result, POINTS, level=level)


@pytest.mark.parametrize("points", [np.zeros((0, 2)), np.zeros((3, 1)), np.full((1, 2), np.nan)])
def test_points_that_cannot_be_used_are_told(result, points):
    with pytest.raises(InputError, match="points"):
        energy_at(result, points)


@pytest.mark.parametrize("features", [("drift_x", "x"), ("potential", "x"), ("x", "x_sd")])
def test_features_called_like_columns_are_told(result, features):
    named = replace(result, snapshots=replace(result.snapshots, features=features))
    with pytest.raises(InputError, match="rename"):
        energy_at(named, POINTS)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".nc"])
def test_command_writes_the_table(result, saved, table, tmp_path, capsys, ending):
    out = tmp_path / f"energy{ending}"
    arguments = [str(saved), "--at", str(table), "--out", str(out), "--snapshot", "0.1"]
    assert main([*arguments, "--level", "0.5"]) == 0
    readers = {
        ".csv": pd.read_csv,
        ".tsv": lambda path: pd.read_csv(path, sep="\t"),
        ".parquet": pd.read_parquet,
        ".nc": lambda path: xr.load_dataset(path).to_dataframe(),
    }
    written = readers[ending](out)
    expected = energy_at(result, POINTS, 0.1, level=0.5)
    assert list(written.columns) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(written[name], values, rtol=1e-10, err_msg=name)
    told = capsys.readouterr().out
    assert "V = 0 at the data's mean" in told
    assert "50% intervals" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([out.name, table.name])


def test_netcdf_says_what_it_holds(result, saved, table, tmp_path):
    out = tmp_path / "energy.nc"
    assert main([str(saved), "--at", str(table), "--out", str(out)]) == 0
    found = xr.load_dataset(out)
    assert found.attrs["level"] == 0.9
    assert found.attrs["snapshot_time"] == pytest.approx(0.2)
    assert "V = 0 at the data's mean" in found.attrs["potential_constant"]
    np.testing.assert_allclose(found.attrs["data_mean"], result.standardisation.mean)
    assert found.attrs["data"] == result.provenance["data_hash"]


def test_command_says_what_is_not_there(alone, tmp_path, capsys):
    alone.save(tmp_path / "result.nc")
    pd.DataFrame({"x1": [50.0], "x2": [0.0]}).to_csv(tmp_path / "at.csv", index=False)
    files = [str(tmp_path / name) for name in ("result.nc", "at.csv", "out.csv")]
    assert main([files[0], "--at", files[1], "--out", files[2]]) == 0
    told = capsys.readouterr().out
    assert "no potential" in told
    assert "extrapolated" in told
    assert "potential" not in pd.read_csv(files[2]).columns


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (["--level", "0"], "between 0 and 1"),
        (["--level", "1"], "between 0 and 1"),
        (["--level", "95"], "between 0 and 1"),
        (["--snapshot", "7"], "No snapshot at time 7"),
        (["--out", "energy.xlsx"], "ending"),
        (["--out", "nowhere/energy.csv"], "no directory"),
        (["--at", "missing.csv"], "no file"),
    ],
)
def test_mistakes_end_in_one_sentence(
    saved, table, tmp_path, capsys, monkeypatch, change, sentence
):
    monkeypatch.chdir(tmp_path)
    options = {"--at": str(table), "--out": "energy.csv"} | dict([change])
    assert main([str(saved), *(part for pair in options.items() for part in pair)]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert [path.name for path in tmp_path.iterdir()] == [table.name]


def test_netcdf_refuses_names_it_cannot_hold(result, tmp_path, capsys):
    features = ("CD4/CD8", "x2")
    replace(result, snapshots=replace(result.snapshots, features=features)).save(tmp_path / "r.nc")
    pd.DataFrame(POINTS, columns=list(features)).to_csv(tmp_path / "at.csv", index=False)
    arguments = [str(tmp_path / "r.nc"), "--at", str(tmp_path / "at.csv"), "--out"]
    assert main([*arguments, str(tmp_path / "energy.nc")]) == 2
    assert "CD4/CD8" in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "energy.csv")]) == 0
