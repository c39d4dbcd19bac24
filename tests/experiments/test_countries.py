"""Names are used after the fit, and only to score it."""

import numpy as np
import pandas as pd
import pytest

from bayesjko.countries import Panel
from bayesjko.experiments import countries
from bayesjko.experiments.engine import experiment
from bayesjko.models.data import Snapshots

N = 40


@pytest.fixture
def panel(monkeypatch):
    """Replaces the countries by points on a line that move by one every five years."""

    def use(order):
        line = np.stack([3.0 * np.arange(N), np.random.default_rng(0).normal(size=N)], axis=1)
        times = np.arange(1952.0, 2008.0, 5.0)
        clouds = tuple((line + [k, 0.0])[order(k)] for k in range(len(times)))
        named = Snapshots(times, clouds, features=("income", "life"), paired=True)
        panel = Panel(tuple(map(str, range(N))), named)
        monkeypatch.setattr(countries, "countries", lambda: panel)

    return use


def test_whoever_moves_little_is_coupled_to_itself(panel):
    panel(lambda k: np.arange(N))
    found = countries.couple(5, None, 0)
    assert found["same"] == pytest.approx(1.0)
    assert found["rank_income"] == found["rank_life"] == 0.0


def test_a_partner_of_another_name_is_no_match(panel):
    panel(lambda k: np.roll(np.arange(N), k))  # names go round by one place a snapshot
    found = countries.couple(5, None, 0)
    assert found["same"] == 0.0
    assert found["rank_income"] == pytest.approx(2.0 * (N - 1) / N)  # one place, but once round
    apart = np.abs(np.subtract.outer(np.arange(N), np.arange(N))).mean()
    assert found["chance_rank"] == pytest.approx(apart)


def test_a_forecast_is_scored_country_by_country(panel):
    panel(lambda k: np.arange(N))
    settings = {"potential": "poly:1", "likelihood": "residual", "internal": False}
    found = countries.forecast(1997, settings, 0)
    assert found["nobody_moves"] == pytest.approx(2.0)
    assert found["w1_nobody_moves"] == pytest.approx(2.0)
    assert found["all_alike"] == pytest.approx(0.0, abs=1e-9)
    assert found["error"] < 0.4
    assert found["closer"] == 1.0
    table = {"case": "10 years", "method": "residual", "failure": None, **found}
    report = experiment("countries").report(pd.DataFrame([table]))
    assert report.tables["metrics"]["error"].tolist() == [found["error"]]
    assert report.tables["couplings"].empty
