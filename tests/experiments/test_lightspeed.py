"""The benchmark's numbers are what they are called, and compared with the right ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayesjko import fit, simulate
from bayesjko.experiments import lightspeed
from bayesjko.experiments.engine import experiment
from bayesjko.experiments.onestep import at_the_mean, one_step_scores
from bayesjko.simulate import true_drift


@pytest.fixture(scope="module")
def paired():
    """A bowl whose potential the basis has: recovered as good as exactly."""
    snapshots = simulate("sphere", beta=0.0, paired=True, substeps=1, particles=120, seed=3)
    train, test = snapshots.split(0.5, 3)
    return fit(train, potential="poly:2", internal=False, draws=40, jobs=1), test


def test_an_exact_energy_has_no_distance_left(paired):
    result, test = paired
    scores = one_step_scores(result, test, draws=3, seed=0)
    assert scores["w1"] < 1e-6
    assert scores["w1_low"] <= scores["w1_high"] < 1e-5
    still = [np.mean(np.linalg.norm(b - a, axis=1)) for a, b in zip(
        test.particles, test.particles[1:], strict=False)]  # fmt: skip
    assert scores["still_w1"] <= np.mean(still) * (1 + 1e-9)  # nobody's own target is nearer


def test_the_unexplained_variance_is_that_of_the_formula(paired, monkeypatch):
    result, test = paired
    monkeypatch.setattr(lightspeed, "at_the_mean", lambda found: Halved(found, test.truth))
    found = lightspeed._gradient_numbers(result, test)
    # a drift that is half of the truth leaves a quarter of its square
    assert found["l2_uvp"] == pytest.approx(found["still_l2_uvp"] / 4, rel=1e-9)
    assert found["error"] == pytest.approx(0.5, rel=1e-9)
    cloud = test.particles[0]
    drift = true_drift(test.truth, cloud)
    first = 100 * 0.01**2 * np.mean(np.sum(drift**2, axis=1)) / np.sum(np.var(cloud, axis=0))
    assert found["still_l2_uvp"] == pytest.approx(first, rel=0.2)  # of all snapshots: a growing one


class Halved:
    def __init__(self, result, truth):
        self.truth = truth

    def drift(self, points):
        return 0.5 * true_drift(self.truth, points)[None]


def test_the_mean_is_one_draw(paired):
    result, test = paired
    (only,) = at_the_mean(result).drift(test.particles[0])
    draws = result.drift(test.particles[0])
    assert np.all(np.abs(only - draws.mean(axis=0)) <= 1e-5 + 2 * draws.std(axis=0))


def test_ours_are_compared_at_the_digits_that_were_printed():
    one = {"replicate": 0, "seconds": 1.0, "still_w1": 1.0, "still_l2_uvp": 1.0}
    cells = pd.DataFrame(
        [
            {"case": "flowers@unpaired", "method": "weak", "l2_uvp": 0.0149, "w1": 0.2, **one},
            {"case": "ishigami@unpaired", "method": "weak", "l2_uvp": 0.0151, "w1": 0.2, **one},
            {"case": "sphere@paired", "method": "linear", "l2_uvp": 0.0, "w1": 1e-5, **one},
            {"case": "relu@paired", "method": "linear", "l2_uvp": 0.0, "w1": 0.04, **one},
        ]
    )
    tables = experiment("lightspeed").report(cells).tables
    no_worse = tables["published"].set_index(["comparison", "potential"])["no_worse"]
    assert bool(no_worse["Stitching", "flowers"])
    assert not no_worse["Stitching", "ishigami"]
    assert bool(no_worse["JKOnet* linear", "sphere"])
    assert not no_worse["JKOnet* linear", "relu"]
    verdict = tables["verdict"].set_index("comparison")
    assert verdict.loc["JKOnet* linear", ["no_worse", "potentials"]].tolist() == [1, 2]
