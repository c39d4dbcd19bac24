"""More dimensions, more particles (JKOnet* §4.2): how do error and time grow?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from scipy.stats import t as student

from bayesjko import Result, fit, simulate
from bayesjko.experiments.axes import label_plainly
from bayesjko.experiments.onestep import at_the_mean, one_step_scores
from bayesjko.experiments.specification import Experiment, Report, Study
from bayesjko.experiments.tables import mean_table, whole
from bayesjko.plots.style import CYCLE, new_figure, save, styled
from bayesjko.simulate import true_drift

__all__ = ["EXPERIMENT", "Size", "grow", "growth_table"]

PAIRED: Mapping[str, Mapping[str, Any]] = {
    "linear": {"potential": "powers:4"},
    "neural": {"potential": "mlp:64,64", "method": "laplace"},
}
UNPAIRED: Mapping[str, Mapping[str, Any]] = {
    "linear": {"potential": "powers:4", "likelihood": "residual"},
}

_DIMENSIONS = (10, 20, 30, 40, 50)
_PARTICLES = (1000, 2500, 5000, 10000)
_TESTED = 500  # particles that are kept for the test
_DRAWS = 3  # of a W1's interval
_QUICK = 20.0  # seconds up to which a fit is timed again, once all is compiled
_QUANTITIES = {"error": "drift error / signal", "seconds": "processor seconds of a fit"}


@dataclass(frozen=True)
class Size:
    """Styblinski–Tang wells in so many dimensions, noise and all.

    Attributes:
        dimension: d.
        particles: of each snapshot that is fitted.
        paired: whether they are followed.
        tested: particles beside them.
    """

    dimension: int
    particles: int
    paired: bool
    tested: int = _TESTED


def grow(size: Size, settings: Mapping[str, Any], replicate: int) -> dict[str, float]:
    """Fit one simulated population of some size.

    Args:
        size: of the population.
        settings: the method's: of the fit.
        replicate: seed of the simulation, the split, the fit and the scores.

    Returns:
        `error` of the posterior mean of the drift relative to the true one, at the first snapshot's
        test particles, and `cover_90` of its components; `w1` one step ahead, of `tested` particles
        and so mostly their number's, beside `still_w1` of nobody moving; `seconds` of processor
        time of the fit, compilation left out where it would matter.
    """
    everybody = size.particles + size.tested
    snapshots = simulate(
        "styblinski_tang", beta=0.1, dimension=size.dimension, particles=everybody,
        paired=size.paired, substeps=1 if size.paired else 20, seed=replicate,
    )  # fmt: skip
    train, test = snapshots.split(size.tested / everybody, replicate)
    options = {"internal": False, "jobs": 1, "seed": replicate, **settings}
    result, seconds = _timed(train, options)
    if seconds < _QUICK:
        seconds = min(seconds, _timed(train, options)[1])
    points = test.particles[0]
    assert test.truth is not None
    true = true_drift(test.truth, points)
    low, high = np.quantile(result.drift(points), [0.05, 0.95], axis=0)
    missed = at_the_mean(result).drift(points)[0] - true
    scores = one_step_scores(result, test, draws=_DRAWS, seed=replicate)
    return {
        "error": float(np.sqrt(np.mean(missed**2) / np.mean(true**2))),
        "cover_90": float(np.mean((low <= true) & (true <= high))),
        "w1": scores["w1"],
        "still_w1": scores["still_w1"],
        "dimension": float(size.dimension),
        "particles": float(size.particles),
        "coefficients": float(result.energy.size),
        "seconds": seconds,
    }


def _timed(train: Any, options: Mapping[str, Any]) -> tuple[Result, float]:
    start = time.process_time()
    result = fit(train, **options)
    return result, time.process_time() - start


def growth_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Exponents p and q of error and time ∝ particlesᵖ dimensionᑫ, with 90% intervals.

    By least squares of the logarithms over all cells of a setting and method; a size that does not
    vary has no exponent.
    """
    rows = []
    for (setting, method), group in whole(cells).groupby(["setting", "method"], sort=False):
        sizes = [name for name in ("particles", "dimension") if group[name].nunique() > 1]
        logs = np.log(group[sizes].to_numpy(float))
        for quantity in _QUANTITIES:
            for row in _exponents(logs, np.log(group[quantity].to_numpy(float)), sizes):
                rows.append({"setting": setting, "method": method, "quantity": quantity, **row})
    columns = ["setting", "method", "quantity", "grows_with", "exponent", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _exponents(
    logs: Float[np.ndarray, "n p"], values: Float[np.ndarray, " n"], sizes: list[str]
) -> list[dict[str, Any]]:
    design = np.column_stack([np.ones(len(values)), logs])
    freedom = len(values) - design.shape[1]
    if not sizes or freedom < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return []
    found = np.linalg.lstsq(design, values, rcond=None)[0]
    variance = np.sum((values - design @ found) ** 2) / freedom
    spread = np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    reach = float(student.ppf(0.95, freedom)) * spread
    return [
        {"grows_with": name, "exponent": found[i], "low": found[i] - reach[i],
         "high": found[i] + reach[i]}
        for i, name in enumerate(sizes, start=1)
    ]  # fmt: skip


def _cases(
    dimensions: tuple[int, ...], particles: tuple[int, ...], *, paired: bool, tested: int = _TESTED
) -> dict[str, Size]:
    setting = "paired" if paired else "unpaired"
    return {
        f"d={dimension} n={count} {setting}": Size(dimension, count, paired, tested)
        for dimension in dimensions
        for count in particles
    }


def _report(cells: pd.DataFrame) -> Report:
    cells = cells.assign(setting=cells["case"].str.split().str[-1])
    table = mean_table(
        cells,
        ("error", "cover_90", "w1"),
        medians=("still_w1", "dimension", "particles", "coefficients", "seconds"),
        keys=("case", "setting", "method"),
    )
    growth = growth_table(cells)
    return Report(
        {"metrics": table, "growth": growth}, lambda folder: _draw(table, folder / "scaling.png")
    )


def _draw(table: pd.DataFrame, path: Path) -> None:
    """Error and time against the number of particles, a line each dimension."""
    kinds = list(table.groupby(["setting", "method"], sort=False))
    dimensions = sorted(table["dimension"].dropna().unique())
    with styled():
        figure = new_figure(
            "How error and time grow (bars: 2 standard errors)", 3.6 * len(kinds) + 1.2, 6.4
        )
        panels = figure.subplots(
            len(_QUANTITIES), len(kinds), squeeze=False, sharex=True, sharey="row"
        )
        for column, ((setting, method), rows) in zip(panels.T, kinds, strict=True):
            column[0].set_title(f"{method}, {setting}")
            column[-1].set_xlabel("particles of a snapshot")
            for axes, quantity in zip(column, _QUANTITIES, strict=True):
                _draw_panel(axes, rows, quantity, dimensions)
        for axes, label in zip(panels[:, 0], _QUANTITIES.values(), strict=True):
            axes.set_ylabel(label)
            label_plainly(axes.xaxis, axes.yaxis)
        shown: dict[str, Any] = {}
        for axes in panels[0]:
            handles, names = axes.get_legend_handles_labels()
            shown |= dict(zip(names, handles, strict=True))
        figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=5)
        save(figure, path)


def _draw_panel(axes: Axes, table: pd.DataFrame, quantity: str, dimensions: list[float]) -> None:
    for dimension, rows in table.groupby("dimension"):
        index = dimensions.index(float(str(dimension)))
        rows = rows.sort_values("particles")
        error = 2.0 * rows[f"{quantity}_se"].fillna(0.0) if f"{quantity}_se" in rows else None
        axes.errorbar(
            rows["particles"], rows[quantity], error, color=CYCLE[index % len(CYCLE)],
            marker="os^vD"[index % 5], markersize=4, linewidth=1.2, elinewidth=0.8,
            label=f"{float(str(dimension)):g} dimensions",
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")


EXPERIMENT = Experiment(
    question="How do the error of the drift and the time of a fit grow with the dimension and the "
    "number of particles?",
    studies=(
        Study(_cases(_DIMENSIONS, _PARTICLES, paired=True), {"linear": PAIRED["linear"]}, 3, grow),
        Study(_cases((10, 30, 50), (1000, 2500), paired=False), UNPAIRED, 3, grow),
        Study(
            _cases((10, 30, 50), (1000, 5000), paired=True), {"neural": PAIRED["neural"]}, 2, grow
        ),
    ),
    smoke=(
        Study(
            _cases((2, 3), (60,), paired=True, tested=20),
            {"linear": {"potential": "powers:2"}},
            2,
            grow,
        ),
    ),
    report=_report,
)
