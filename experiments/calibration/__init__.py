"""Are the intervals true? Two ways to know, and what each method's coverage is."""

from __future__ import annotations

import pandas as pd

from bayesjko.experiments.calibration.pictures import draw_pictures
from bayesjko.experiments.calibration.ranks import Closed, Regression, rank_counts, rank_table
from bayesjko.experiments.recovery import Truth, recover, recovery_table
from bayesjko.experiments.specification import Experiment, Report, Study

__all__ = ["EXPERIMENT"]

_CLOSE = {"snapshots": 6, "tau": 0.01}


def _truths(particles: int, centres: tuple[int, int]) -> dict[str, Truth]:
    """The true process, unpaired, in continuous time: what real data are at their best."""
    common = {"particles": particles, "beta": 0.1}
    return {
        "styblinski_tang": Truth(
            {"potential": "styblinski_tang", **_CLOSE, **common}, {"potential": "poly:4"}
        ),
        "wavy_plateau": Truth(
            {"potential": "wavy_plateau", **_CLOSE, **common}, {"potential": f"rbf:{centres[0]}"}
        ),
        "double_well": Truth(
            {"potential": "double_well", "start": "normal", **_CLOSE, **common},
            {"potential": f"rbf:{centres[1]}"},
        ),
    }


def _attraction(interaction: str) -> Truth:
    """V and W at once; the drift, their sum, is what is compared."""
    simulation = {
        "potential": "double_well",
        "interaction": "gaussian",
        "interaction_scale": 5.0,
        "start": "normal",
        "beta": 0.1,
        "particles": 1000,
        "snapshots": 6,
        "tau": 0.05,
    }
    return Truth(simulation, {"potential": "poly:4", "interaction": interaction})


def _noisy(particles: int, centres: int) -> dict[str, Truth]:
    """Enough diffusion that it must be noticed."""
    return {
        f"{name}_noisy": Truth(
            {"potential": name, "particles": particles, "beta": 0.5, **_CLOSE},
            {"potential": basis},
        )
        for name, basis in [("styblinski_tang", "poly:4"), ("wavy_plateau", f"rbf:{centres}")]
    }


RESIDUAL = {"likelihood": "residual"}
METHODS = {
    "residual_explicit": {**RESIDUAL, "scheme": "explicit", "internal": False},
    "residual_model": {**RESIDUAL, "covariance": "model"},
    "residual": RESIDUAL,
    "weak_square": {"likelihood": "weak", "tests": 0},
    "weak": {"likelihood": "weak"},
    "weak_many": {"likelihood": "weak", "tests": 180},
    "flow": {"likelihood": "flow"},
}
"""Changes of the fit's settings: JKOnet*'s own linear solver, the residual with either covariance,
the weak form with as many tests as features, with its default and with three times as many as
coefficients or more (as far as the particles afford them)."""

MOMENTS = {name: METHODS[name] for name in ("weak", "flow")}
COUPLINGS = {name: METHODS[name] for name in METHODS if name.startswith("residual")}
CLOSED = {"conjugate": Closed(), "control": Closed(widening=0.5)}
"""The posterior as it is, and one of a quarter of its covariance: ranks must tell them apart."""


def _report(cells: pd.DataFrame) -> Report:
    recovered = recovery_table(cells[~cells["method"].isin(CLOSED)])
    ranks = rank_table(cells[cells["method"].isin(CLOSED)])
    return Report(
        {"metrics": recovered, "ranks": ranks},
        lambda folder: draw_pictures(recovered, ranks, folder),
    )


EXPERIMENT = Experiment(
    question="Do intervals hold the truth as often as they say, on data that the true process made "
    "(unpaired, continuous time) and on data that the model itself made (ranks)?",
    studies=(
        Study(_truths(1000, (80, 50)), METHODS, 100, recover),
        Study({"attraction": _attraction("fourier:12")}, METHODS, 100, recover),
        # bumps cost every simulated particle a sum over all others: too much for moments of paths
        Study({"attraction_bumps": _attraction("rbf:8")}, COUPLINGS, 100, recover),
        Study(_noisy(1000, 80), MOMENTS, 100, recover),
        Study({"regression": Regression()}, CLOSED, 100, rank_counts),
    ),
    smoke=(
        Study(
            {n: t for n, t in _truths(200, (10, 10)).items() if n == "styblinski_tang"},
            {n: METHODS[n] for n in ("residual_model", "residual", "weak", "flow")},
            2,
            recover,
        ),
        Study({"regression": Regression(repeats=10)}, CLOSED, 2, rank_counts),
    ),
    report=_report,
)
