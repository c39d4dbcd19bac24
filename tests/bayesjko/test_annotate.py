"""Cells annotated in their own order, and the same after a round trip through a file."""

import json

import numpy as np
import pandas as pd
import pytest

from bayesjko import InputError, annotate, fate_probabilities, fit
from bayesjko.energy import drift_spread, potential_spread
from bayesjko.readers import read_snapshots

anndata = pytest.importorskip("anndata", reason="anndata is not installed")

DAYS = np.array(["day 2", "day 0", "day 1"] * 40)
FATES = {"left": [-3.0, 0.0], "right": [3.0, 0.0]}


def cells():
    """Two groups that part along the first coordinate, days in no order."""
    rng = np.random.default_rng(0)
    day = np.array([int(name[-1]) for name in DAYS])
    side = np.repeat([-1.0, 1.0], 60)
    position = 0.3 * rng.normal(size=(120, 3))
    position[:, 0] += side * (1.0 + 0.8 * day)
    obs = pd.DataFrame({"day": DAYS}, index=[f"cell{i}" for i in range(120)])
    return anndata.AnnData(np.zeros((120, 1)), obs=obs, obsm={"X_pca": position})


@pytest.fixture(scope="module")
def fitted():
    return fit(read_snapshots(cells(), features="X_pca:2"), potential="poly:2", draws=40)


@pytest.fixture(scope="module")
def annotated(fitted):
    data = cells()
    annotate(data, fitted, features="X_pca:2", fates=FATES, horizon=1.0, copies=4, draws=8)
    return data


def test_each_cell_gets_what_the_result_says_of_its_place_and_time(fitted, annotated):
    points = annotated.obsm["X_pca"][:, :2]
    for day in (0, 1, 2):
        rows = np.flatnonzero(annotated.obs["day"] == f"day {day}")
        drift = drift_spread(fitted, points[rows], float(day))
        potential = potential_spread(fitted, points[rows], float(day))
        for key, expected in [("force", drift.mean), ("force_sd", drift.sd)]:
            found = annotated.obsm[f"bayesjko_{key}"][rows]
            np.testing.assert_allclose(found, expected, rtol=1e-10)
        for key, expected in [
            ("potential", potential.mean),
            ("potential_sd", potential.sd),
            ("force_norm", np.linalg.norm(drift.mean, axis=1)),
        ]:
            found = annotated.obs[f"bayesjko_{key}"].to_numpy()[rows]
            np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert np.ptp(annotated.obs["bayesjko_potential"]) > 0.1


def test_fates_are_probabilities_and_follow_the_side(annotated):
    left, right = (annotated.obs[f"bayesjko_fate_{name}"].to_numpy() for name in FATES)
    np.testing.assert_allclose(left + right, 1.0)
    side = annotated.obsm["X_pca"][:, 0]
    assert left[side < -2].mean() > 0.9 > 0.1 > left[side > 2].mean()
    assert np.all(annotated.obs["bayesjko_fate_left_low"] <= left + 1e-12)
    assert np.all(annotated.obs["bayesjko_fate_left_high"] >= left - 1e-12)


def test_a_file_keeps_it(annotated, fitted, tmp_path):
    annotated.write_h5ad(tmp_path / "cells.h5ad")
    again = anndata.read_h5ad(tmp_path / "cells.h5ad")
    pd.testing.assert_frame_equal(
        again.obs.filter(like="bayesjko_"), annotated.obs.filter(like="bayesjko_")
    )
    for key in ("bayesjko_force", "bayesjko_force_sd"):
        np.testing.assert_array_equal(again.obsm[key], annotated.obsm[key])
    about = again.uns["bayesjko"]
    assert json.loads(about["settings"])["potential"] == "poly:2"
    assert json.loads(about["provenance"])["data_hash"] == fitted.provenance["data_hash"]
    assert about["beta"]["low"] <= about["beta"]["mean"] <= about["beta"]["high"]
    # the file is still one that can be fitted
    assert read_snapshots(again, features="X_pca:2").digest() == fitted.snapshots.digest()


def test_other_coordinates_are_told(fitted):
    with pytest.raises(InputError, match="pca1, pca2, pca3 and the fit pca1, pca2"):
        annotate(cells(), fitted)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({"left": [0.0, 0.0]}, "at least two"),
        ({"left": [0.0, 0.0], "right": [1.0]}, "target of 'right' must be 2"),
    ],
)
def test_targets_that_are_none_are_told(fitted, targets, said):
    with pytest.raises(InputError, match=said):
        fate_probabilities(fitted, np.zeros((1, 2)), targets)
