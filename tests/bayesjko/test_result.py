"""The result file: to the bit, open to ArviZ of both generations, and refused when damaged."""

import contextlib
import importlib.metadata
import warnings
from dataclasses import fields, replace

import numpy as np
import pytest
import xarray as xr

from bayesjko.inference.posterior import Posterior
from bayesjko.models.data import Snapshots, Standardisation
from bayesjko.models.energies import build_linear_energy
from bayesjko.models.errors import InputError
from bayesjko.result import Result, load_result

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # either generation announces the other
    import arviz as az

FIRST_GENERATION = int(importlib.metadata.version("arviz").split(".")[0]) == 0
GROUPS = {"posterior", "sample_stats", "observed_data", "constant_data"}


BOTH = {"potential": "poly:2", "interaction": "fourier:3"}


def make(*, internal=True, noise=True, periods=2, terms=BOTH):
    """A result with everything in it that a result may have, numbers at random."""
    rng = np.random.default_rng(8)
    snapshots = Snapshots(
        np.array([0.1, 0.3, 0.7]),
        tuple(50.0 + 3.0 * rng.normal(size=(n, 2)) for n in (12, 15, 11)),
        weights=tuple(rng.random(n) for n in (12, 15, 11)),
        features=("Größe", "x 2"),
        notes=("How it was read.",),
        truth={"potential": "sphere", "beta": 0.1},
    )
    standardisation = Standardisation.of(snapshots)
    standard = standardisation.apply(snapshots)
    energy = build_linear_energy(standard, **terms, internal=internal)
    shape = (4, 25, periods, energy.size)
    root = rng.normal(size=(periods, energy.size, energy.size))
    posterior = Posterior(
        coefficients=rng.normal(size=shape),
        mean=rng.normal(size=shape[2:]),
        covariance=root @ np.swapaxes(root, 1, 2),
        noise=rng.random(shape[:2]) if noise else None,
        log_evidence=-12.345678901234567 if noise else None,
        method="conjugate",
        uncertainty="sandwich",
        prior_precision=rng.random(energy.size),
        information=root if noise else None,
        notes=("A note.", "Another."),
        sample_stats={"lp": rng.normal(size=shape[:2])} if noise else {},
    )
    return Result(
        energy,
        standardisation,
        snapshots,
        posterior,
        settings={"potential": "poly:2", "scheme": "midpoint", "prior_scale": None},
        provenance={"data_hash": snapshots.digest(), "versions": {"jax": "1"}},
        scores={"w1_mean": 0.1, "intervals": []},
    )


@pytest.fixture(scope="module")
def result():
    return make()


@pytest.fixture
def path(result, tmp_path):
    result.save(tmp_path / "result.nc")
    return tmp_path / "result.nc"


def assert_same(found, expected):
    """Equal to the last bit, whatever they are made of."""
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    elif hasattr(expected, "__dataclass_fields__"):
        for field in fields(expected):
            assert_same(getattr(found, field.name), getattr(expected, field.name))
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            assert_same(*pair)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    else:
        assert found == expected


@pytest.mark.parametrize(
    "options", [{}, {"internal": False, "noise": False, "periods": 1}, {"noise": False}]
)
def test_what_is_saved_is_loaded_to_the_bit(options, tmp_path):
    result = make(**options)
    result = replace(result, told=result.identifiability)
    result.save(tmp_path / "result.nc")
    again = load_result(tmp_path / "result.nc")
    assert_same(again, result)
    again.save(tmp_path / "again.nc")
    assert_same(load_result(tmp_path / "again.nc"), result)


def test_a_loaded_result_answers_the_same(result, path):
    again = load_result(path)
    points = result.snapshots.particles[0][:5]
    np.testing.assert_array_equal(again.drift(points), result.drift(points))
    np.testing.assert_array_equal(again.potential(points, 0.1), result.potential(points, 0.1))
    np.testing.assert_array_equal(again.betas, result.betas)


def test_the_groups_have_arviz_names_and_the_users_units(result, path):
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        assert set(tree.children) == GROUPS
        posterior = tree["posterior"].to_dataset().load()
        observed = tree["observed_data"].to_dataset().load()
    assert set(posterior) == {
        "potential_coefficients",
        "interaction_coefficients",
        "beta",
        "noise",
    }
    assert posterior["beta"].dims == ("chain", "draw", "period")
    np.testing.assert_array_equal(posterior["period"], [0.1, 0.3])
    length, duration = result.standardisation.length, result.standardisation.duration
    last = result.posterior.coefficients[..., -1]
    np.testing.assert_allclose(posterior["beta"], last * length**2 / duration, rtol=1e-14)
    np.testing.assert_allclose(
        posterior["noise"], result.posterior.noise * length**2 / duration, rtol=1e-14
    )
    assert posterior["potential_coefficients"].shape == (4, 25, 2, 5)
    np.testing.assert_array_equal(
        observed["x"][observed["snapshot"] == 1], result.snapshots.particles[1]
    )
    assert list(observed["feature"].values) == ["Größe", "x 2"]


def test_arviz_opens_it(result, path):
    """Summary, R̂ and effective sizes, in either generation's words."""
    data = az.from_netcdf(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        summary = az.summary(data)
        rhat, ess = az.rhat(data), az.ess(data)
    groups = data.groups() if FIRST_GENERATION else data.children
    assert set(groups) >= GROUPS
    assert len(summary) == 2 * result.energy.size + 1
    draws = result.betas.reshape(4, 25, 2)
    between, within = 25 * draws.mean(axis=1).var(axis=0, ddof=1), draws.var(axis=1, ddof=1)
    classical = np.sqrt(24 / 25 + between / within.mean(axis=0) / 25)
    rhat, ess = (
        values if isinstance(values, xr.Dataset) else values.to_dataset() for values in (rhat, ess)
    )
    # theirs is the worse of two rank-normalised ones: near the classical, not equal
    np.testing.assert_allclose(rhat["beta"], classical, atol=0.1)
    assert np.all((ess["beta"] > 30) & (ess["beta"] < 300))
    assert np.all((ess["noise"] > 30) & (ess["noise"] < 300))


def test_the_potential_is_zero_at_the_datas_mean_and_its_slope_is_the_drift():
    """In the user's units: the drift is −∇V, by finite differences of the draws of V."""
    result = make(internal=False, terms={"potential": "poly:2+rbf:3"})
    origin = result.standardisation.mean
    np.testing.assert_allclose(result.potential(origin[None]), 0.0, atol=1e-12)
    x, step = np.array([51.0, 48.0]), 1e-4
    ahead, behind = (result.potential(x + sign * step * np.eye(2), 0.1) for sign in (1, -1))
    np.testing.assert_allclose(
        result.drift(x[None], 0.1)[:, 0], -(ahead - behind) / (2 * step), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(
        result.barrier(x, origin), result.potential(np.stack([x, origin])) @ [-1, 1]
    )


def test_the_drift_is_of_the_period_and_the_cloud_asked_for(result):
    points = result.snapshots.particles[0][:3]
    drifts = [result.drift(points, time) for time in (0.1, 0.3, 0.7, None)]
    assert np.all(drifts[0] != drifts[1])
    assert np.all(drifts[1] != drifts[2])  # the same period, another cloud
    np.testing.assert_array_equal(drifts[2], drifts[3])
    with pytest.raises(InputError, match=r"No snapshot at time 0\.2.*0\.1, 0\.3, 0\.7"):
        result.drift(points, 0.2)


def test_no_file_is_told(tmp_path):
    with pytest.raises(InputError, match="There is no file"):
        load_result(tmp_path / "nowhere.nc")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_told(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match="not a whole result file"):
        load_result(path)


@pytest.mark.parametrize("kind", ["text", "pickle", "npz", "netcdf", "folder", "other version"])
def test_a_file_of_something_else_is_told(tmp_path, result, kind):
    path = tmp_path / "result.nc"
    if kind == "text":
        path.write_text("x,t\n1,2\n")
    elif kind == "pickle":
        path.write_bytes(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.")
    elif kind == "npz":
        with path.open("wb") as file:
            np.savez(file, x=np.ones(3))
    elif kind == "netcdf":
        xr.Dataset({"x": ("n", np.ones(3))}).to_netcdf(path, engine="h5netcdf")
    elif kind == "folder":
        path.mkdir()
    else:
        tree = result.to_datatree()
        tree.attrs["format"] = 99
        tree.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match="not a whole result file") as caught:
        load_result(path)
    assert "\n" not in str(caught.value)


def test_damaged_bytes_end_in_a_result_or_are_told(path):
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    damaged = path.with_name("damaged.nc")
    for _ in range(25):
        content = bytearray(whole)
        for place in rng.integers(len(whole), size=3):
            content[place] ^= int(rng.integers(1, 256))
        damaged.write_bytes(content)
        with contextlib.suppress(InputError):
            load_result(damaged)


def test_nothing_half_written_is_left(result, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("the disk is full")

    (tmp_path / "result.nc").write_text("the former one")
    monkeypatch.setattr(xr.DataTree, "to_netcdf", fail)
    with pytest.raises(RuntimeError, match="full"):
        result.save(tmp_path / "result.nc")
    assert [file.name for file in tmp_path.iterdir()] == ["result.nc"]
    assert (tmp_path / "result.nc").read_text() == "the former one"
    with pytest.raises(InputError, match="no directory"):
        result.save(tmp_path / "nowhere" / "result.nc")
