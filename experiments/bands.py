"""Do predictive bands hold what happens? Forecasts of populations whose truth is known."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesjko import fit, predictive_bands, simulate
from bayesjko.experiments.coverage import draw_coverage
from bayesjko.experiments.recovery import Truth
from bayesjko.experiments.specification import Experiment, Report, Study
from bayesjko.experiments.tables import mean_table

__all__ = ["EXPERIMENT"]

METHODS = {"residual": {"likelihood": "residual"}, "flow": {"likelihood": "flow"}}
_COVERED = {"cover_90": "quantiles", "w1_cover_90": "W1"}
_FRESH = 1_000_000  # added to a replicate's seed for the population that is forecast


def _truths(particles: int) -> dict[str, Truth]:
    common = {"start": "normal", "beta": 0.3, "particles": particles}
    wells = {"potential": "tilted_double_well", "times": (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)}
    return {"tilted_double_well": Truth({**wells, **common}, {"potential": "poly:4"})}


def forecast(truth: Truth, settings: Mapping[str, Any], replicate: int) -> dict[str, float]:
    """Fit one simulated population and forecast each snapshot of another from the one before.

    Args:
        truth: what is simulated.
        settings: the method's: changes of the fit's settings.
        replicate: seed of the simulations, of the fit and of the forecasts.

    Returns:
        `cover_90` and `w1_cover_90`, the shares of quantiles and of distances W1 that lie within
        their 90% bands; `energy_part`, the share of the bands' variance that comes of not knowing
        the energy; `seconds` of processor time.
    """
    snapshots = simulate(**truth.simulation, seed=replicate)
    fresh = simulate(**truth.simulation, seed=replicate + _FRESH)
    start = time.process_time()
    result = fit(snapshots, jobs=1, seed=replicate, **{**truth.settings, **settings})
    found = predictive_bands(result, fresh, level=0.9, mode="sde", seed=replicate)
    parts = [
        (each["epistemic_sd"] ** 2, each["aleatoric_sd"] ** 2)
        for row in found["intervals"]
        for each in row["quantiles"]
    ]
    energy, chance = np.mean(parts, axis=0)
    return {
        "cover_90": found["coverage"],
        "w1_cover_90": found["w1_coverage"],
        "energy_part": float(energy / (energy + chance)),
        "seconds": time.process_time() - start,
    }


def _report(cells: pd.DataFrame) -> Report:
    table = mean_table(cells, list(_COVERED), ("energy_part", "seconds"))
    return Report(
        {"metrics": table},
        lambda folder: draw_coverage(
            table,
            folder / "bands.png",
            "Do 90% predictive bands hold what happens?",
            list(_COVERED.items()),
            "share within the band",
        ),
    )


EXPERIMENT = Experiment(
    question="Do 90% predictive bands for quantiles and for W1, one snapshot ahead, hold what "
    "another population of the same truth does?",
    studies=(Study(_truths(300), METHODS, 60, forecast),),
    smoke=(Study(_truths(100), {"residual": METHODS["residual"]}, 1, forecast),),
    report=_report,
)
