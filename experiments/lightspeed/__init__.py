"""The benchmark of JKOnet* (Terpin et al., NeurIPS 2024, §4.1): fifteen potentials in the plane."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayesjko import Result, Snapshots, fit, simulate
from bayesjko.experiments.lightspeed.pictures import draw_pictures, level_points
from bayesjko.experiments.onestep import at_the_mean, one_step_scores
from bayesjko.experiments.published import published
from bayesjko.experiments.recovery import Truth
from bayesjko.experiments.specification import Experiment, Report, Study
from bayesjko.experiments.tables import mean_table
from bayesjko.simulate import true_drift

__all__ = ["EXPERIMENT", "learn"]

NAMES = (
    "double_exp",
    "rotational",
    "relu",
    "flat",
    "wavy_plateau",
    "friedman",
    "watershed",
    "ishigami",
    "flowers",
    "bohachevsky",
    "holder_table",
    "zigzag_ridge",
    "oakley_ohagan",
    "sphere",
    "styblinski_tang",
)
"""The fifteen potentials, in the order of the paper's figure."""

PAIRED: Mapping[str, Mapping[str, Any]] = {
    "linear": {"potential": "poly:4+rbf:600"},
    "all_terms": {
        "potential": "poly:4+rbf:200",
        "interaction": "fourier:20",
        "internal": True,
        "scheme": "explicit",
    },
    "neural": {"potential": "mlp:64,64", "method": "laplace"},
}
"""Where particles are followed: JKOnet*'s linear solver on a basis that is rich enough for ripples,
with an interaction and β as well (by the explicit steps that made the data), and a network whose
last layer is inferred."""

UNPAIRED: Mapping[str, Mapping[str, Any]] = {
    "linear": {"potential": "poly:4+rbf:80", "likelihood": "residual"},
    "weak": {"potential": "poly:4+rbf:80", "likelihood": "weak"},
    "neural": {"potential": "mlp:64,64", "method": "laplace", "likelihood": "residual"},
}
"""Where nobody is followed: couplings, moments, and a network trained on the couplings."""

_TAU = 0.01
_PROBES = 200  # test particles of each snapshot at which the drift is compared
_DRAWS = 20  # of a W1's interval
_NUMBERS = ("w1", "w2", "l2_uvp", "bw_uvp", "error", "cover_90")
_COMPARED = {  # ours, theirs, what is compared, where
    "JKOnet* linear": ("linear", "JKOnet* linear, V alone", "w1", "paired"),
    "JKOnet* linear, all terms": ("all_terms", "JKOnet* linear, all terms", "w1", "paired"),
    "Stitching": ("weak", "Stitching", "l2_uvp", "unpaired"),
    "Stitching, moments": ("weak", "Stitching", "bw_uvp", "unpaired"),
}


def _cases(names: tuple[str, ...], particles: int, *, paired: bool) -> dict[str, Truth]:
    """As the benchmark makes them, one Euler step a snapshot; unpaired, the true process."""
    simulation = {
        "beta": 0.0,
        "tau": _TAU,
        "particles": 2 * particles,  # half of which are kept for the test
        "paired": paired,
        "substeps": 1 if paired else 20,
    }
    setting = "paired" if paired else "unpaired"
    return {
        f"{name}@{setting}": Truth({"potential": name, **simulation}, {"internal": False})
        for name in names
    }


def learn(truth: Truth, settings: Mapping[str, Any], replicate: int) -> dict[str, float]:
    """Fit half of a simulated population's particles and score the other half.

    Args:
        truth: what is simulated.
        settings: the method's: changes of the fit's settings.
        replicate: seed of the simulation, the split, the fit and the scores.

    Returns:
        The `one_step_scores`; `l2_uvp`, 100τ²E|∇V̂ − ∇V|²/Var ρ in percent, the mean over
        snapshots, and `still_l2_uvp` of a force of zero; `error`, the same relative to the true
        drift; `cover_90` of its components; `seconds` of processor time of the fit. The first
        replicate leaves its potential on a grid too, as `mean_0`, … and `sd_0`, ….
    """
    snapshots = simulate(**truth.simulation, seed=replicate)
    train, test = snapshots.split(0.5, replicate)
    start = time.process_time()
    result = fit(train, jobs=1, seed=replicate, **{**truth.settings, **settings})
    seconds = time.process_time() - start
    numbers = one_step_scores(result, test, draws=_DRAWS, seed=replicate)
    numbers |= _gradient_numbers(result, test)
    numbers |= {"coefficients": result.energy.size, "seconds": seconds}
    return numbers | (_level_numbers(result) if replicate == 0 else {})


def _gradient_numbers(result: Result, test: Snapshots) -> dict[str, float]:
    clouds = [cloud[:_PROBES] for cloud in test.particles[:-1]]
    points = np.concatenate(clouds)
    assert test.truth is not None
    # without an interaction the drift is the same around every cloud
    true = true_drift(test.truth, points, test.particles[0])
    missed = _square(at_the_mean(result).drift(points)[0] - true)
    signal = _square(true)
    variances = [np.sum(np.var(cloud, axis=0)) for cloud in test.particles[:-1]]
    share = 100.0 * _TAU**2 / np.repeat(variances, [len(cloud) for cloud in clouds])
    low, high = np.quantile(result.drift(points), [0.05, 0.95], axis=0)
    numbers = {
        "l2_uvp": np.mean(share * missed),
        "still_l2_uvp": np.mean(share * signal),
        "cover_90": np.mean((low <= true) & (true <= high)),
    }
    if np.any(signal):
        numbers["error"] = np.sqrt(np.mean(missed) / np.mean(signal))
    return {name: float(value) for name, value in numbers.items()}


def _square(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    return np.asarray(np.sum(vectors**2, axis=1))


def _level_numbers(result: Result) -> dict[str, float]:
    values = result.potential(level_points())
    parts = {"mean": values.mean(axis=0), "sd": values.std(axis=0)}
    return {
        f"{name}_{place}": float(f"{value:.5g}")
        for name, part in parts.items()
        for place, value in enumerate(part)
    }


def _report(cells: pd.DataFrame) -> Report:
    table = mean_table(
        cells,
        _NUMBERS,
        medians=("w1_low", "w1_high", "still_w1", "floor_w1", "still_l2_uvp", "coefficients",
                 "seconds"),
    )  # fmt: skip
    split = table["case"].str.split("@", expand=True)
    table.insert(1, "potential", split[0])
    table.insert(2, "setting", split[1])
    most = table.groupby("setting")["w1"].transform("max")
    table.insert(list(table.columns).index("w1"), "w1_normalised", table["w1"] / most)
    beside = _beside(table)
    tables = {"metrics": table}
    if len(beside):
        tables |= {"verdict": _verdict(beside), "published": beside}
    return Report(tables, lambda folder: draw_pictures(table, beside, cells, folder))


def _beside(table: pd.DataFrame) -> pd.DataFrame:
    """Ours and theirs, where the same was measured; theirs to as many digits as were printed."""
    theirs = published("potentials").rename(columns={"case": "potential", "method": "whose"})
    rows = []
    for name, (ours, whose, measure, setting) in _COMPARED.items():
        mine = table[(table["method"] == ours) & (table["setting"] == setting)]
        chosen = theirs[
            (theirs["whose"] == whose)
            & (theirs["measure"] == measure)
            & (theirs["setting"] == setting)
        ]
        for row in mine.merge(chosen, on=["potential", "setting"]).to_dict("records"):
            rows.append(
                {
                    "comparison": name,
                    "potential": row["potential"],
                    "setting": setting,
                    "measure": measure,
                    "method": ours,
                    "ours": row[measure],
                    "ours_se": row[f"{measure}_se"],
                    "theirs": row["value"],
                    "no_worse": bool(row[measure] < row["value"] + 0.5 * row["resolution"]),
                    "source": row["source"],
                }
            )
    columns = ("comparison", "potential", "setting", "measure", "method", "ours", "ours_se",
               "theirs", "no_worse", "source")  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _verdict(beside: pd.DataFrame) -> pd.DataFrame:
    """On how many potentials ours is no worse."""
    counted = beside.groupby(["comparison", "setting", "measure", "method"], sort=False)["no_worse"]
    return counted.agg(no_worse="sum", potentials="count").reset_index()


def _without_network(methods: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {name: settings for name, settings in methods.items() if name != "neural"}


def _smaller(methods: Mapping[str, Mapping[str, Any]], *names: str) -> dict[str, dict[str, Any]]:
    return {name: {**methods[name], "potential": "poly:4+rbf:10"} for name in names}


EXPERIMENT = Experiment(
    question="How close to the truth are forecasts one step ahead, gradients and level curves of "
    "the fifteen potentials of JKOnet*, with particles followed and not?",
    studies=(
        Study(_cases(NAMES, 1000, paired=True), _without_network(PAIRED), 3, learn),
        Study(_cases(NAMES, 1000, paired=False), _without_network(UNPAIRED), 3, learn),
        # a network takes most of a minute
        Study(_cases(NAMES, 1000, paired=True), {"neural": PAIRED["neural"]}, 1, learn),
        Study(_cases(NAMES, 1000, paired=False), {"neural": UNPAIRED["neural"]}, 1, learn),
    ),
    smoke=(
        Study(
            _cases(("flat", "wavy_plateau"), 60, paired=True), _smaller(PAIRED, "linear"), 1, learn
        ),
        Study(_cases(("wavy_plateau",), 60, paired=False), _smaller(UNPAIRED, "linear"), 1, learn),
    ),  # fmt: skip
    report=_report,
)
