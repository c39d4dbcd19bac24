"""Simulation-based calibration: is the posterior right where its model is?

Draw θ from the prior and data from the likelihood; then the rank of each true quantity among
independent posterior draws is uniform (Talts, Betancourt, Simpson, Vehtari and Gelman, arXiv
1804.06788).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float, Int
from scipy.stats import chi2

from bayesjko.inference.conjugate import infer
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.problem import LinearProblem
from bayesjko.models.data import Couplings, Snapshots
from bayesjko.models.energies import LinearEnergy, build_linear_energy
from bayesjko.models.likelihoods.residual import statistics
from bayesjko.models.precision import double

__all__ = ["BINS", "Closed", "Regression", "rank_counts", "rank_table"]

BINS = 10
_DRAWS = 99  # ranks 0 to 99: ten to a bin
_PROBE = (0.7, -0.4)  # where the force is a quantity too


@dataclass(frozen=True)
class Regression:
    """The residual model itself: e_i ~ N(0, s²τ/(n w_i)) for given sources, weights and times.

    Attributes:
        potential: basis of V.
        interaction: basis of W.
        particles: couplings of each interval.
        durations: of the intervals.
        noise: s².
        prior_scale: of every coefficient.
        repeats: data sets of one replicate.
    """

    potential: str = "poly:2"
    interaction: str = "poly:2"
    particles: int = 40
    durations: tuple[float, ...] = (0.05, 0.2)
    noise: float = 0.5
    prior_scale: float = 1.0
    repeats: int = 50


@dataclass(frozen=True)
class Closed:
    """The conjugate posterior with the model's covariance.

    Attributes:
        widening: factor on the draws' distance from the mean; 1 is the posterior.
    """

    widening: float = 1.0


def rank_counts(case: Regression, method: Closed, replicate: int) -> dict[str, float]:
    """How many data sets put a quantity's rank into each bin: `QUANTITY_BIN` and a count."""
    rng = np.random.default_rng(replicate)
    energy, intervals = _setting(case)
    point = np.array([_PROBE])
    probe = _force_design(energy, intervals[0], point, -point)[0]
    designs = [_force_design(energy, one, one.source, one.score) for one in intervals]
    names = [f"theta{j}" for j in range(energy.size)] + ["force0", "force1"]
    counts = np.zeros((len(names), BINS), dtype=int)
    for _ in range(case.repeats):
        theta = case.prior_scale * rng.normal(size=energy.size)
        seed = int(rng.integers(2**31))
        observed = [
            _observe(interval, design @ theta, case.noise, rng)
            for interval, design in zip(intervals, designs, strict=True)
        ]
        draws = _posterior_draws(energy, observed, case, seed)
        draws = draws.mean(axis=0) + method.widening * (draws - draws.mean(axis=0))
        true = np.concatenate([theta, probe @ theta])
        found = np.concatenate([draws, draws @ probe.T], axis=1)
        ranks = np.sum(found < true, axis=0)
        counts[np.arange(len(names)), ranks * BINS // (_DRAWS + 1)] += 1
    return {
        f"{name}_{b}": float(count)
        for name, row in zip(names, counts, strict=True)
        for b, count in enumerate(row)
    }


def rank_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Counts over all replicates and the χ² p-value of their being uniform, a row a quantity.

    `uniform_p` of a method is its smallest p-value times the number of quantities (Bonferroni).
    """
    rows = []
    for (case, method), group in cells.groupby(["case", "method"], sort=False):
        measured = [str(column) for column in group if group[column].notna().any()]
        columns = [column for column in measured if column.startswith(("theta", "force"))]
        names = dict.fromkeys(column.rsplit("_", 1)[0] for column in columns)
        found: list[dict[str, Any]] = []
        for name in names:
            counts = group[[f"{name}_{b}" for b in range(BINS)]].sum().to_numpy()
            expected = counts.sum() / BINS
            p_value = float(chi2.sf(np.sum((counts - expected) ** 2 / expected), BINS - 1))
            found.append({"quantity": name, "p_value": p_value, **_named(counts)})
        smallest = min((row["p_value"] for row in found), default=np.nan)
        uniform = min(1.0, len(found) * smallest)
        rows += [{"case": case, "method": method, "uniform_p": uniform, **row} for row in found]
    return pd.DataFrame(rows)


def _named(counts: Int[np.ndarray, " b"] | Float[np.ndarray, " b"]) -> dict[str, int]:
    return {f"bin{b}": int(count) for b, count in enumerate(counts)}


def _setting(case: Regression) -> tuple[LinearEnergy, list[Couplings]]:
    """The energy, and couplings whose targets are still to be observed: the same in all data."""
    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=(case.particles, 2)) + 0.3 * k for k in range(2)]
    energy = build_linear_energy(
        Snapshots(np.array([0.0, 1.0]), tuple(clouds)),
        potential=case.potential,
        interaction=case.interaction,
        internal=True,
    )
    rows = np.arange(case.particles)
    intervals = []
    for k, duration in enumerate(case.durations):
        source = rng.normal(size=(case.particles, 2)) + 0.3 * k
        weight = rng.dirichlet(np.full(case.particles, 5.0))
        score = -(source - 0.3 * k)
        intervals.append(
            Couplings(source, source, weight, duration, 25.0 + 10.0 * k, rows, rows, score)
        )
    return energy, intervals


def _force_design(
    energy: LinearEnergy,
    interval: Couplings,
    points: Float[Array | np.ndarray, "n d"],
    score: Float[Array | np.ndarray, "n d"] | None,
) -> Float[np.ndarray, "n d K"]:
    """∂force/∂θ around the interval's sources, where the log-density has this gradient."""
    with double():
        field = energy.around(jnp.asarray(interval.source), jnp.asarray(interval.weight))
        return np.asarray(jax.vmap(field.design)(jnp.asarray(points), jnp.asarray(score)))


def _observe(
    interval: Couplings, force: Float[np.ndarray, "n d"], noise: float, rng: np.random.Generator
) -> Couplings:
    source, tau = np.asarray(interval.source), interval.duration
    spread = np.sqrt(noise * tau / (interval.effective_count * np.asarray(interval.weight)))
    move = tau * force + spread[:, None] * rng.normal(size=source.shape)
    return replace(interval, target=source + move)


def _posterior_draws(
    energy: LinearEnergy, intervals: list[Couplings], case: Regression, seed: int
) -> Float[np.ndarray, "draws K"]:
    first, *others = [statistics(energy, interval) for interval in intervals]
    total = sum(others, start=first)
    size = energy.size
    problem = LinearProblem(energy, (total,), 1, case.noise, lambda _: np.zeros((size, size)))
    options = InferenceOptions(
        draws=_DRAWS + 1, seed=seed, covariance="model", prior_scale=case.prior_scale
    )
    return infer(problem, options).draws[:_DRAWS, 0]
