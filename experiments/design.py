"""When to sample next: does the time we suggest beat the next in line?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.ticker import MaxNLocator

from bayesjko import Result, Snapshots, expected_information, fit, simulate
from bayesjko.experiments.specification import Experiment, Report, Study
from bayesjko.experiments.tables import mean_table, whole
from bayesjko.forecast import default_mode, simulate_draws
from bayesjko.models.errors import InputError
from bayesjko.plots.style import BLUE, GREY, ORANGE, new_figure, save, styled

__all__ = ["EXPERIMENT", "Plan", "sample_next"]

_FRESH = 1_000_000  # added to a replicate's seed for the particles that tell the truth
_MANY = 4000  # particles of these
_STRATEGIES = {"now": "no further snapshot", "equal": "equal spacing", "suggested": "suggested"}


@dataclass(frozen=True)
class Plan:
    """A population, when it was seen, and when it may be seen once more.

    Attributes:
        simulation: arguments of `simulate`, but for times, particles and seed.
        times: of the snapshots there are, equally spaced.
        candidates: times of the one to come; the first goes on with the spacing.
        target: the time whose mean position is wanted.
        particles: of every snapshot.
        draws: of the energy, for the design and the forecasts.
        settings: of the fits.
    """

    simulation: Mapping[str, Any]
    times: tuple[float, ...]
    candidates: tuple[float, ...]
    target: float
    particles: int = 500
    draws: int = 200
    settings: Mapping[str, Any] = field(default_factory=dict)


def sample_next(plan: Plan, settings: Mapping[str, Any], replicate: int) -> dict[str, float]:
    """Fit what there is, take one more snapshot by either rule, and forecast the target.

    Args:
        plan: of the sampling.
        settings: the method's: changes of the fits' settings.
        replicate: seed of the populations, the fits and the forecasts.

    Returns:
        `suggested_time`; for `now` (no further snapshot), `equal` and `suggested`,
        `error_STRATEGY`, the distance of the forecast's mean position from the true one,
        `spread_STRATEGY`, its posterior standard deviation, and `covered_STRATEGY`, the share of
        features whose 90% interval has the truth; `gain`, error of `equal` minus that of
        `suggested`; `seconds` of processor time.
    """
    every = (*plan.times, *plan.candidates)
    seen = simulate(**plan.simulation, times=every, particles=plan.particles, seed=replicate)
    known = len(plan.times)
    true = _true_mean(plan, replicate)
    start = time.process_time()
    options = {"jobs": 1, "seed": replicate, **plan.settings, **settings}
    first = fit(seen.select(range(known)), **options)
    design = expected_information(
        first, plan.candidates, target=plan.target, particles=plan.particles, draws=plan.draws,
        seed=replicate,
    )  # fmt: skip
    chosen = int(np.argmin(np.abs(np.array(plan.candidates) - design.best)))
    fits = {"now": first, "equal": fit(_with(seen, known, 0), **options)}
    fits["suggested"] = fits["equal"] if chosen == 0 else fit(_with(seen, known, chosen), **options)
    numbers = {"suggested_time": design.best}
    for name, result in fits.items():
        numbers |= _forecast_numbers(name, result, plan, true, replicate)
    numbers["gain"] = numbers["error_equal"] - numbers["error_suggested"]
    return numbers | {"seconds": time.process_time() - start}


def _with(seen: Snapshots, known: int, candidate: int) -> Snapshots:
    return seen.select([*range(known), known + candidate])


def _true_mean(plan: Plan, replicate: int) -> Float[np.ndarray, " d"]:
    times = (plan.times[0], plan.target)
    truth = simulate(
        **{"substeps": 200, **plan.simulation},
        times=times,
        particles=_MANY,
        seed=replicate + _FRESH,
    )
    return np.asarray(truth.particles[-1].mean(axis=0))


def _forecast_numbers(
    name: str, result: Result, plan: Plan, true: Float[np.ndarray, " d"], seed: int
) -> dict[str, float]:
    """Of the mean position at the target, from the snapshot that all strategies have last."""
    begin = plan.times[-1]
    index = result.snapshot_index(begin)
    _, clouds = simulate_draws(
        result,
        result.posterior.draws[: plan.draws],
        result.snapshots.particles[index],
        result.snapshots.weights[index],
        begin,
        plan.target,
        mode=default_mode(result),
        seed=seed,
        lost="leave",
    )
    means = clouds[:, -1].mean(axis=1)
    means = means[np.all(np.isfinite(means), axis=1)]
    if not len(means):
        raise InputError(
            f"Particles escape in every draw of the energy with {_STRATEGIES[name]}: nothing is "
            "forecast."
        )
    low, high = np.quantile(means, [0.05, 0.95], axis=0)
    return {
        f"error_{name}": float(np.linalg.norm(means.mean(axis=0) - true)),
        f"spread_{name}": float(np.sqrt(np.sum(means.var(axis=0)))),
        f"covered_{name}": float(np.mean((low <= true) & (true <= high))),
    }


def _report(cells: pd.DataFrame) -> Report:
    kinds = ("error", "spread", "covered")
    names = [f"{kind}_{strategy}" for kind in kinds for strategy in _STRATEGIES]
    table = mean_table(cells, (*names, "gain", "suggested_time"))
    won = whole(cells).assign(won=lambda rows: (rows["gain"] > 0).astype(float))
    shares = mean_table(won, ("won",))[["case", "method", "won"]]
    return Report(
        {"metrics": table.merge(shares, on=["case", "method"], how="left")},
        lambda folder: _draw(whole(cells), folder / "design.png"),
    )


def _draw(cells: pd.DataFrame, path: Path) -> None:
    """Error of either rule, replicate by replicate, and the times that were suggested."""
    if not len(cells):
        return
    pairs = list(cells.groupby(["case", "method"], sort=False))
    with styled():
        figure = new_figure(
            "Forecast of a mean position after one more snapshot", 8.0, 3.4 * len(pairs) + 0.6
        )
        panels = figure.subplots(len(pairs), 2, squeeze=False)
        for (errors, times), (key, rows) in zip(panels, pairs, strict=True):
            most = 1.05 * float(rows[["error_equal", "error_suggested"]].to_numpy().max())
            errors.plot([0, most], [0, most], color=GREY, linewidth=0.8)
            errors.plot(rows["error_equal"], rows["error_suggested"], "o", color=BLUE, markersize=4)
            errors.plot(rows["error_equal"].mean(), rows["error_suggested"].mean(), "D",
                        color=ORANGE, markersize=8, label="mean")  # fmt: skip
            errors.set_xlabel("error, equal spacing (features' unit)")
            errors.set_ylabel("error, time suggested")
            errors.set_title(" / ".join(map(str, key)))
            errors.set_xlim(0, most)
            errors.set_ylim(0, most)
            errors.legend()
            when, often = np.unique(rows["suggested_time"].round(6), return_counts=True)
            times.bar([f"{one:g}" for one in when], often, color=BLUE, width=0.6)
            times.set_xlim(-0.6, max(len(when) - 0.4, 1.6))
            times.yaxis.set_major_locator(MaxNLocator(integer=True))
            times.set_xlabel("time suggested")
            times.set_ylabel("replicates")
        save(figure, path)


def _relaxation(
    particles: int, draws: int, settings: Mapping[str, Any], candidates: tuple[float, ...]
) -> dict[str, Plan]:
    """Four early looks at a population that is on its way into unequal wells."""
    return {
        "relaxation": Plan(
            {"potential": "tilted_double_well", "beta": 0.2, "start": "normal"},
            (0.0, 0.1, 0.2, 0.3),
            candidates,
            1.2,
            particles,
            draws,
            settings,
        )
    }


EXPERIMENT = Experiment(
    question="Does one more snapshot at the time that is expected to tell most of a forecast make "
    "that forecast better than one that goes on with equal spacing?",
    studies=(
        Study(
            _relaxation(500, 200, {"potential": "poly:4"}, (0.4, 0.5, 0.7, 0.9, 1.1)),
            {"flow": {"likelihood": "flow"}},
            15,
            sample_next,
        ),
    ),
    smoke=(
        Study(
            _relaxation(60, 10, {"potential": "poly:2", "internal": False}, (0.4, 0.8)),
            {"residual": {"likelihood": "residual"}},
            1,
            sample_next,
        ),
    ),
    report=_report,
)
