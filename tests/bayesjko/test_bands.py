"""Predictive bands: right where the forecast is, wrong where it is not, and made of two parts."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bayesjko import InputError, Result, Snapshots, write_snapshots
from bayesjko.evaluate.__main__ import main
from bayesjko.evaluate.bands import bands_table, predictive_bands
from bayesjko.inference.posterior import Posterior
from bayesjko.models.bases import Polynomial
from bayesjko.models.data import Standardisation
from bayesjko.models.energies import LinearEnergy

K, SD, N = 0.5, 0.05, 150
TIMES = np.arange(9.0)


def population(k, seed, n=N):
    """New samples at every time of a cloud around the origin that shrinks by 1 − k."""
    rng = np.random.default_rng(seed)
    return Snapshots(
        TIMES, tuple(4.0 * (1 - k) ** t * rng.normal(size=(n, 2)) for t in range(len(TIMES)))
    )


def known(sd):
    """V = ½k‖x‖², k ~ N(K, sd²)."""
    snapshots = population(K, 0)
    units = replace(Standardisation.of(snapshots), mean=np.zeros(2))
    k = K + sd * np.random.default_rng(1).normal(size=400)
    theta = 0.5 * units.duration * np.repeat(k[:, None, None], 2, axis=2)
    posterior = Posterior(theta[None], theta.mean(axis=0), None, None, None, "conjugate", "model")
    energy = LinearEnergy(Polynomial(((2, 0), (0, 2))))
    return Result(energy, units, snapshots, posterior, {"scheme": "explicit"})


SURE = known(0.0)


@pytest.fixture(scope="module")
def many():
    return [predictive_bands(SURE, population(K, seed), draws=40) for seed in range(1, 16)]


def test_bands_hold_as_many_as_they_say_where_the_forecast_is_right(many):
    """15 × 8 intervals of 10 quantiles that go together: 0.90 ± 0.02; of W1: 0.90 ± 0.03."""
    assert np.mean([found["coverage"] for found in many]) == pytest.approx(0.9, abs=0.04)
    assert np.mean([found["w1_coverage"] for found in many]) == pytest.approx(0.9, abs=0.07)


def test_a_wrong_forecast_is_seen():
    found = predictive_bands(SURE, population(0.8, 1), draws=40)
    assert found["coverage"] < 0.6
    assert found["w1_coverage"] < 0.5
    assert "!" in bands_table(found)


def test_what_is_not_known_and_what_is_chance_are_told_apart(many):
    """Of the 95% quantile, (1 − k) of where it was: that times sd of k; and the sampling's own."""
    test = population(K, 1)
    first = predictive_bands(known(SD), test, draws=300)["intervals"][0]["quantiles"]
    top = next(each for each in first if each["probability"] == 0.95)
    assert top["epistemic_sd"] == pytest.approx(
        np.quantile(test.particles[0][:, 0], 0.95) * SD, rel=0.15
    )
    # 1.2533 sd/√n of a normal's median, n being 75: two samples of 150, with an sd of 2
    median = next(each for each in first if each["probability"] == 0.5)
    assert median["aleatoric_sd"] == pytest.approx(1.2533 * 2.0 / np.sqrt(75), rel=0.35)
    sure = many[0]["intervals"][0]["quantiles"][4]
    assert sure["epistemic_sd"] < 0.2 * sure["aleatoric_sd"]


def test_weights_are_those_of_copies():
    twice = population(K, 3)
    weighted = replace(twice, weights=tuple(np.r_[np.full(50, 3.0), np.ones(100)] for _ in TIMES))
    found = predictive_bands(SURE, weighted, draws=10)["intervals"][0]["quantiles"]
    cloud = np.concatenate([weighted.particles[1]] + [weighted.particles[1][:50]] * 2)
    expected = np.quantile(cloud[:, 0], 0.25)
    assert found[1]["observed"] == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("options", [{"level": 1.0}, {"draws": 2}, {"resamples": 1}])
def test_numbers_that_cannot_be_are_told(options):
    with pytest.raises(InputError, match="at least 3 draws"):
        predictive_bands(SURE, population(K, 1), **options)


def test_the_command_prints_and_draws_them(tmp_path, capsys):
    SURE.save(tmp_path / "result.nc")
    write_snapshots(population(K, 1), tmp_path / "test.npz")
    where = [str(tmp_path / "result.nc"), str(tmp_path / "test.npz"), "--bands"]
    for ending, begins in ((".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")):
        assert main([*where, "--picture", str(tmp_path / f"bands{ending}")]) == 0
        assert (tmp_path / f"bands{ending}").read_bytes().startswith(begins)
        said = capsys.readouterr().out
    assert main([*where, "--picture", str(tmp_path / "bands.doc")]) == 2
    assert "its ending must be one of .png, .pdf, .svg" in capsys.readouterr().err
    assert said.splitlines()[-1].startswith("90% bands hold")
    assert len(said.splitlines()) == 1 + 8 * 3 + 1
    assert main([*where, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == predictive_bands(SURE, population(K, 1), draws=60)
    assert main([*where[:2], "--picture", "x.png"]) == 2
    assert main([*where, "--leave-out", "1"]) == 2
