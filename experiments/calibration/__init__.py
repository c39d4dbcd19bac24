"""Are the intervals true? Two ways to know, and what each method's coverage is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
METHODS: Mapping[str, Mapping[str, Any]] = {
    "residual_explicit": {**RESIDUAL, "scheme": "explicit", "internal": False},
    "residual_model": {**RESIDUAL, "covariance": "model"},
    "residual": RESIDUAL,
    "weak_square": {"likelihood": "weak", "tests": 0},
    "weak": {"likelihood": "weak"},
    "weak_many": {"likelihood": "weak", "tests": 180},
    "flow": {"likelihood": "flow"},
    "bootstrap": {**RESIDUAL, "covariance": "bootstrap", "bootstraps": 40},
}
"""Changes of the fit's settings: JKOnet*'s own linear solver, the residual with either covariance,
the weak form with as many tests as features, with its default and with three times as many as
coefficients or more (as far as the particles afford them); and the bootstrap, in few draws since
each is a fit of its own."""

CLAIMED = ("residual", "weak_square", "weak", "weak_many")
"""Whose intervals are claimed to be true."""

NETWORK = {"potential": "mlp:64,64", **RESIDUAL}
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "network_last": NETWORK,
    "network_laplace": {**NETWORK, "inferred": "all", "method": "laplace"},
    "network_vi": {**NETWORK, "inferred": "all", "method": "vi"},
    "network_mclmc": {**NETWORK, "inferred": "all", "method": "mclmc"},
}
"""A network in place of the basis: its last layer in closed form, and all its weights."""

INTERACTIONS: Mapping[str, Mapping[str, Any]] = {
    f"network_{units}": {**RESIDUAL, "interaction": f"mlp:{units}"} for units in (8, 16)
}
"""A network of so many units for the interaction."""

CLOSED = {"conjugate": Closed(), "control": Closed(widening=0.5)}
"""The posterior as it is, and one of a quarter of its covariance: ranks must tell them apart."""


def _without(truths: dict[str, Truth], name: str) -> dict[str, Truth]:
    return {each: truth for each, truth in truths.items() if each != name}


def _only(*names: str) -> dict[str, Mapping[str, Any]]:
    return {name: METHODS[name] for name in names}


def _report(cells: pd.DataFrame) -> Report:
    recovered = recovery_table(cells[~cells["method"].isin(CLOSED)])
    ranks = rank_table(cells[cells["method"].isin(CLOSED)])
    return Report(
        {"metrics": recovered} | ({"ranks": ranks} if len(ranks) else {}),
        lambda folder: draw_pictures(recovered, ranks, folder),
    )


EXPERIMENT = Experiment(
    question="Do intervals hold the truth as often as they say, on data that the true process made "
    "(unpaired, continuous time) and on data that the model itself made (ranks)?",
    studies=(
        Study(_truths(1000, (80, 50)), _only(*CLAIMED), 20, recover),
        # snapshots this far apart are for the residual or the flow, whose mean field takes minutes
        Study({"attraction": _attraction("fourier:12")}, _only("residual"), 20, recover),
        Study(_noisy(1000, 80), _only("weak"), 20, recover),
        Study({"regression": Regression()}, CLOSED, 100, rank_counts),
        Study(_truths(1000, (80, 50)), _only("bootstrap"), 5, recover),
        Study(_truths(1000, (80, 50)), _only("residual_explicit", "residual_model"), 20, recover),
        Study({"wavy_plateau": _truths(1000, (80, 50))["wavy_plateau"]}, NETWORKS, 3, recover),
        Study({"attraction": _attraction("fourier:12")}, INTERACTIONS, 1, recover),
        # paths under many bumps take half a minute a fit; `interval` says more of the flow
        Study(_without(_truths(1000, (80, 50)), "wavy_plateau"), _only("flow"), 20, recover),
    ),
    smoke=(
        Study(
            {n: t for n, t in _truths(200, (10, 10)).items() if n == "styblinski_tang"},
            _only("residual_model", "residual", "weak", "flow"),
            2,
            recover,
        ),
        Study({"regression": Regression(repeats=10)}, CLOSED, 2, rank_counts),
    ),
    report=_report,
)
