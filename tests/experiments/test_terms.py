"""Truths of single terms, and exponents of growth, where they are known in closed form."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayesjko.experiments.scaling import growth_table
from bayesjko.experiments.tables import mean_table
from bayesjko.experiments.terms import _even_push, terms_table
from bayesjko.simulate import true_drift

RNG = np.random.default_rng(5)
CLOUD, POINTS = RNG.normal(size=(30, 2)) + 1.0, RNG.normal(size=(7, 2))


def truth(interaction):
    return {"potential": "none", "interaction": interaction, "interaction_scale": 3.0}


def test_an_even_interaction_is_all_even():
    found = _even_push(truth("quadratic"), POINTS, CLOUD)
    np.testing.assert_allclose(found, -3.0 * (POINTS - CLOUD.mean(axis=0)), rtol=1e-12)


def test_what_is_odd_pushes_all_alike():
    whole = true_drift(truth("flowers"), POINTS, CLOUD)
    np.testing.assert_allclose(  # the slope of Σ xᵢ, the odd part of flowers
        whole - _even_push(truth("flowers"), POINTS, CLOUD), -3.0, rtol=1e-9
    )


def test_exponents_of_a_power_law_are_found():
    cells = pd.DataFrame(
        [
            {"setting": "paired", "method": "m", "particles": n, "dimension": d,
             "error": d / np.sqrt(n), "seconds": 0.1 * n * d**2.5 * factor}
            for n in (100, 400, 900) for d in (2, 5) for factor in (0.99, 1.01)
        ]
    )  # fmt: skip
    table = growth_table(cells).set_index(["quantity", "grows_with"])
    expected = {"error": (-0.5, 1.0), "seconds": (1.0, 2.5)}
    for quantity, exponents in expected.items():
        for name, exponent in zip(("particles", "dimension"), exponents, strict=True):
            row = table.loc[(quantity, name)]
            assert row["exponent"] == pytest.approx(exponent, abs=1e-9)
            assert row["low"] <= row["exponent"] <= row["high"]
    assert table.loc[("seconds", "particles"), "high"] > 1.001
    alone = growth_table(cells[cells["dimension"] == 2])
    assert set(alone["grows_with"]) == {"particles"}


def test_means_leave_failures_out_and_say_how_sure_they_are():
    rows = [{"a": 1.0, "seconds": 1.0}, {"a": 3.0, "seconds": 5.0}, {"failure": "no"}]
    cells = pd.DataFrame([{"case": "c", "method": "m", **row} for row in rows])
    (found,) = mean_table(cells, ("a", "absent")).to_dict("records")
    assert (found["replicates"], found["failed"]) == (2, 1)
    assert (found["a"], found["a_se"], found["seconds"]) == (2.0, pytest.approx(1.0), 3.0)
    assert np.isnan(found["absent"])


def test_a_table_of_terms_has_only_the_terms_there_are():
    one = {"case": "c", "method": "m", "error": 0.1, "cover_90": 0.9, "spread": 0.1, "w1": 0.2,
           "unidentified": 0.0, "seconds": 1.0}  # fmt: skip
    table = terms_table(pd.DataFrame([one, {**one, "unidentified": 1.0}]))
    assert table["unidentified"].tolist() == [0.5]
    assert {"error_se", "w1_se"} <= set(table)
    assert not [name for name in table if name.startswith(("beta", "interaction"))]
