"""Fits side by side: leaving an interval out by reweighting is leaving it out."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bayesjko import FitSettings, InputError, compare, fit, simulate
from bayesjko.compare import comparison_table
from bayesjko.compare.__main__ import main

DATA = simulate("styblinski_tang", beta=0.2, particles=150, snapshots=9, paired=True, seed=1)
SETTINGS = FitSettings(
    likelihood="residual", internal=False, covariance="model", noise="estimate", draws=4000
)


@pytest.fixture(scope="module")
def fits():
    return {name: fit(DATA, SETTINGS, potential=name) for name in ("poly:2", "poly:4")}


def test_the_richer_energy_that_is_true_predicts_better(fits):
    best, other = compare(fits)
    assert (best.name, other.name) == ("poly:4", "poly:2")
    assert best.behind == 0.0
    assert other.behind > 2.0 * other.behind_se > 0.0
    assert best.unstable < 4
    table = comparison_table([best, other])
    assert table.splitlines()[1].startswith("poly:4")
    assert f"{best.log_evidence:.2f}" in table


def test_an_interval_left_out_is_predicted_by_the_others(fits):
    """Against the closed form without it, at the prior of the whole fit."""
    result = fits["poly:2"]
    pointwise = result.posterior.log_likelihood
    assert pointwise.shape == (4, 1000, 8)
    # log p(y_k | y_-k) by the harmonic identity over exact draws
    flat = pointwise.reshape(-1, 8)
    expected = -(np.logaddexp.reduce(-flat, axis=0) - np.log(len(flat)))
    found = next(row for row in compare(fits) if row.name == "poly:2")
    assert abs(found.elpd - expected.sum()) < 0.5
    # and the whole is what the likelihood says of all intervals
    assert np.ptp(flat.sum(axis=1)) > 1.0


def test_draws_counted_per_particle_are_left_out_at_their_own_rate(fits):
    calibrated = fit(DATA, SETTINGS, potential="poly:4", covariance="sandwich")
    assert calibrated.posterior.tempering != 1.0
    assert 0.3 < calibrated.posterior.tempering < 3.0
    rows = compare({"sandwich": calibrated, "model": fits["poly:4"]})
    assert abs(rows[1].behind) < 3.0


def test_fits_of_other_data_or_without_intervals_are_told(fits):
    weak = replace(
        fits["poly:4"],
        posterior=replace(fits["poly:4"].posterior, log_likelihood=None),
        settings={**fits["poly:4"].settings, "likelihood": "weak"},
    )
    rows = compare({"residual": fits["poly:4"], "weak": weak})
    assert [row.elpd is None for row in rows] == [False, True]
    assert "—" in comparison_table(rows)
    other = replace(weak, provenance={"data_hash": "other"})
    with pytest.raises(InputError, match="different snapshots"):
        compare({"one": weak, "two": other})


def test_the_command_prints_a_table_or_json(fits, tmp_path, capsys):
    paths = [str(tmp_path / f"{i}.nc") for i in range(2)]
    for path, result in zip(paths, fits.values(), strict=True):
        result.save(path)
    assert main(paths) == 0
    assert "elpd" in capsys.readouterr().out
    assert main([*paths, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == paths[::-1]
    assert main(paths[:1]) == 2
    assert "two or more" in capsys.readouterr().err
