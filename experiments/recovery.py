"""Is a known truth found again? One fit of one simulated population, in numbers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayesjko import Result, Snapshots, fit, simulate
from bayesjko.intervals import shortest_interval
from bayesjko.simulate import true_drift

__all__ = [
    "LEVELS",
    "Grid",
    "Truth",
    "beta_numbers",
    "force_numbers",
    "probes",
    "recover",
    "recovery_table",
]

LEVELS = (50, 80, 90, 95)
"""Nominal coverages that are measured, in per cent."""

_PROBES = 80  # particles at which the drift is compared


@dataclass(frozen=True)
class Grid:
    """Points of a box at which the drift is compared."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    counts: tuple[int, ...]

    def points(self) -> Float[np.ndarray, "n d"]:
        """All of them."""
        axes = [
            np.linspace(*limits) for limits in zip(self.low, self.high, self.counts, strict=True)
        ]
        return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)


@dataclass(frozen=True)
class Truth:
    """A population whose energy is known.

    Attributes:
        simulation: arguments of `simulate`, but for the seed.
        settings: of the fit, whatever the method: the bases.
        probes: where the drift is compared; at particles of all snapshots if None.
    """

    simulation: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    probes: Grid | None = None


def recover(truth: Truth, settings: Mapping[str, Any], replicate: int) -> dict[str, float]:
    """Fit one simulated population and compare with its truth.

    Args:
        truth: what is simulated.
        settings: the method's: changes of the fit's settings.
        replicate: seed of the simulation, of the probes and of the fit.

    Returns:
        `cover_LEVEL`, the share of the drift's components at the probes that lie within their
        central interval; `error` and `spread`, the posterior mean's and standard deviation's root
        mean squares relative to the true drift's; likewise for β, and the p-value of the fit's own
        test and the largest R-hat of its chains, where there are such. `seconds` is its processor
        time.
    """
    snapshots = simulate(**truth.simulation, seed=replicate)
    points = probes(truth, snapshots, replicate)
    start = time.process_time()
    result = fit(snapshots, jobs=1, seed=replicate, **{**truth.settings, **settings})
    seconds = time.process_time() - start
    true = true_drift(_truth(result), points, snapshots.particles[-1])
    return {
        **force_numbers(result.drift(points), true),
        **beta_numbers(result),
        **_test_numbers(result),
        **_chain_numbers(result),
        "coefficients": float(result.energy.size),
        "warned": float(any("do not trust" in note for note in result.posterior.notes)),
        "seconds": seconds,
    }


def recovery_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Means over replicates with their standard errors (`_se`), a row for each case and method."""
    rows = [
        {"case": case, "method": method, **_summary(group)}
        for (case, method), group in cells.groupby(["case", "method"], sort=False)
    ]
    return pd.DataFrame(rows)


def probes(truth: Truth, snapshots: Snapshots, replicate: int) -> Float[np.ndarray, "n d"]:
    """Where the drift is compared."""
    if truth.probes is not None:
        return truth.probes.points()
    pooled = np.concatenate(snapshots.particles)
    rng = np.random.default_rng([replicate, len(pooled)])
    return pooled[rng.choice(len(pooled), _PROBES, replace=False)]


def force_numbers(
    draws: Float[np.ndarray, "draws n d"], true: Float[np.ndarray, "n d"]
) -> dict[str, float]:
    """Coverage, error and spread of a force at points, the last two relative to the true one's."""
    signal = np.sqrt(np.mean(true**2))
    numbers = {
        "error": np.sqrt(np.mean((draws.mean(axis=0) - true) ** 2)) / signal,
        "spread": np.sqrt(np.mean(draws.var(axis=0))) / signal,
    }
    return {f"cover_{level}": _covered(draws, true, level) for level in LEVELS} | numbers


def beta_numbers(result: Result) -> dict[str, float]:
    """The true β, its posterior mean and spread, and whether its interval has it and has zero."""
    draws = result.beta
    if draws is None:
        return {}
    true = float(_truth(result)["beta"])
    low, high = shortest_interval(draws, 0.9)
    return {
        "beta_true": true,
        "beta": draws.mean(),
        "beta_spread": draws.std(),
        "beta_covered": float(low <= true <= high),
        "beta_excludes_zero": float(low > 0.0),
    }


def _truth(result: Result) -> Mapping[str, Any]:
    truth = result.snapshots.truth
    assert truth is not None, "simulated snapshots know their truth"
    return truth


def _test_numbers(result: Result) -> dict[str, float]:
    test = result.posterior.goodness_of_fit
    return {} if test is None else {"p_value": test.p_value}


def _chain_numbers(result: Result) -> dict[str, float]:
    found = result.diagnostics
    return {} if found is None or found.r_hat is None else {"r_hat": found.r_hat}


def _covered(draws: np.ndarray, true: np.ndarray, level: int) -> float:
    tail = 0.5 * (1.0 - level / 100.0)
    # at Weibull's positions few exchangeable draws hold another with the nominal probability
    low, high = np.quantile(draws, [tail, 1.0 - tail], axis=0, method="weibull")
    return float(np.mean((low <= true) & (true <= high)))


def _summary(group: pd.DataFrame) -> dict[str, float | int]:
    whole = group[group["failure"].isna()] if "failure" in group else group
    numbers: dict[str, float | int] = {"replicates": len(whole), "failed": len(group) - len(whole)}
    for name in (*(f"cover_{level}" for level in LEVELS), "error", "spread"):
        numbers |= _mean(name, whole.get(name))
    for name in ("beta_true", "beta", "beta_spread", "beta_covered", "beta_excludes_zero"):
        numbers |= _mean(name, whole.get(name), error=name in ("beta", "beta_covered"))
    p_values = whole.get("p_value")
    rejected = None if p_values is None else (p_values.dropna() < 0.05).astype(float)
    numbers |= _mean("rejected", rejected)
    numbers |= _mean("r_hat", whole.get("r_hat"), error=False)
    numbers |= _mean("warned", whole.get("warned"), error=False)
    numbers["seconds"] = float(whole["seconds"].median()) if len(whole) else np.nan
    return numbers


def _mean(name: str, values: pd.Series | None, *, error: bool = True) -> dict[str, float]:
    values = pd.Series(dtype=float) if values is None else values.dropna()
    mean = float(values.mean()) if len(values) else np.nan
    spread = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan
    return {name: mean, f"{name}_se": spread} if error else {name: mean}
