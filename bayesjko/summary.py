"""A fit in a few lines that a person reads."""

from __future__ import annotations

import numpy as np

from bayesjko.evaluate import score_table
from bayesjko.result import Result
from bayesjko.simulate import true_drift

__all__ = ["summarise"]

_LEVEL = 0.90


def summarise(result: Result) -> str:
    """Data, energy, evidence, β with its interval, truth where it is known, held-out scores."""
    snapshots, posterior = result.snapshots, result.posterior
    times = ", ".join(f"{t:g}" for t in snapshots.times)
    counts = ", ".join(map(str, snapshots.counts))
    lines = [
        f"Data: {len(snapshots.times)} snapshots at times {times} of {counts} particles in "
        f"{snapshots.dimension} dimensions ({', '.join(snapshots.features[:8])}"
        f"{', …' if snapshots.dimension > 8 else ''}).",
        *snapshots.notes,
        _energy_line(result),
    ]
    if posterior.log_evidence is not None:
        lines.append(
            f"Log evidence: {posterior.log_evidence:.2f}; intervals stand on the "
            f"{posterior.uncertainty} covariance."
        )
    lines += [*_beta_lines(result), *_fit_lines(result), *posterior.notes, *_truth_lines(result)]
    if result.scores:
        lines += [
            "Held-out particles, one step ahead (earth mover's distance W1):",
            score_table(dict(result.scores)),
        ]
    return "\n".join(lines)


def interval(draws: np.ndarray, level: float = _LEVEL) -> tuple[float, float]:
    """The central interval of draws."""
    low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def _energy_line(result: Result) -> str:
    names = {
        "potential": f"potential {result.settings.get('potential')}",
        "interaction": f"interaction {result.settings.get('interaction')}",
        "internal": "internal energy",
    }
    terms = [f"{names[term]} ({size})" for term, size in result.energy.sizes.items()]
    periods = result.posterior.mean.shape[0]
    time = "the same at all times" if periods == 1 else f"one for each of {periods} intervals"
    likelihood = str(result.settings["likelihood"])
    if likelihood == "residual":
        likelihood += f", scheme {result.scheme}"
    return f"Energy: {' + '.join(terms)} coefficients, {time}; likelihood {likelihood}."


def _beta_lines(result: Result) -> list[str]:
    betas = result.betas
    if betas is None:
        return []
    starts = result.snapshots.times[: betas.shape[1]]
    lines = []
    for start, draws in zip(starts, betas.T, strict=True):
        low, high = interval(draws)
        when = "" if betas.shape[1] == 1 else f" from time {start:g}"
        lines.append(f"β{when}: {draws.mean():.4g}, 90% interval {low:.4g} to {high:.4g}.")
    return lines


def _fit_lines(result: Result) -> list[str]:
    test = result.posterior.goodness_of_fit
    if test is None:
        return []
    verdict = (
        "the data contradict a gradient flow of this energy"
        if test.p_value < 0.05
        else "the data are compatible with a gradient flow of this energy"
    )
    return [
        f"Goodness of fit: χ² = {test.statistic:.1f} at {test.degrees_of_freedom:.1f} degrees of "
        f"freedom, p = {test.p_value:.3g}: {verdict}."
    ]


def _truth_lines(result: Result) -> list[str]:
    """Truth beside posterior, for simulations."""
    truth = result.snapshots.truth
    if truth is None:
        return []
    cloud = result.snapshots.particles[-1]
    rows = np.random.default_rng(0).permutation(len(cloud))[:200]
    actual = np.asarray(true_drift(truth, cloud[rows], cloud))
    draws = result.drift(cloud[rows])
    size = float(np.sqrt(np.mean(actual**2)))
    error = float(np.sqrt(np.mean((draws.mean(axis=0) - actual) ** 2)))
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    covered = float(np.mean((low <= actual) & (actual <= high)))
    lines = [
        f"Truth: drift at {len(rows)} particles of the last snapshot, error {error:.3g} of a size "
        f"of {size:.3g}; the 90% intervals hold {covered:.0%} of its components."
    ]
    if result.betas is not None:
        lines.append(f"Truth: β = {truth['beta']:g}.")
    return lines
