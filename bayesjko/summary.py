"""A fit in a few lines that a person reads."""

from __future__ import annotations

import numpy as np

from bayesjko.evaluate import score_table
from bayesjko.inference.identifiability import Identifiability
from bayesjko.intervals import shortest_interval
from bayesjko.result import Result
from bayesjko.simulate import true_drift

__all__ = ["identifiability_lines", "summarise"]

_LEVEL = 0.90
_OPPOSED = -0.9  # correlation of two forces from which on they are worth a word
_UNKNOWN = 10.0  # standard deviation relative to the size from which on figures say nothing
_TOLD = {"potential": "potential", "interaction": "interaction", "internal": "internal energy"}


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
    elif posterior.method != "conjugate":
        lines.append(_method_line(result))
    if result.diagnostics is not None:
        lines.append(result.diagnostics.verdict)
    lines += [*_beta_lines(result), *_fit_lines(result), *identifiability_lines(result)]
    lines += [*posterior.notes, *_truth_lines(result)]
    if result.scores:
        lines += [
            "Held-out particles, one step ahead (earth mover's distance W1):",
            score_table(dict(result.scores)),
        ]
    return "\n".join(lines)


def identifiability_lines(result: Result) -> list[str]:
    """What the data could tell, in three lines.

    How much was learned and how much assumed; which terms' forces are known and whether they can
    be told apart; whether the population moves enough to learn from.
    """
    report = result.identifiability
    moved = report.movement
    how = f"snapshots differ by {moved.ratio:.3g} times what sampling alone makes"
    if result.snapshots.paired:  # which shows forces even where the population stays as it is
        movement = "Movement: seen of every particle"
    elif moved.still:
        movement = (
            f"Movement: hardly any ({how}), so the strengths of the energy's terms relative to one "
            "another can be learned at best, and not how fast they act"
        )
    else:
        movement = f"Movement: {how}"
    return [
        *_learned_lines(report),
        *_forces_lines(report),
        " ".join([f"{movement}.", *report.warnings]),
    ]


def _learned_lines(report: Identifiability) -> list[str]:
    if report.spectrum is None or report.effective_parameters is None:
        return []
    weak = sum(value < 1.0 for value in report.spectrum)
    line = (
        f"Learned: {report.effective_parameters:.3g} of {len(report.spectrum)} independent "
        "combinations of coefficients; "
    )
    if not weak:
        return [line + "the data outweigh the prior in all of them."]
    term = max(report.prior_dominated, key=lambda name: report.prior_dominated[name])
    which = f", mostly of the {_TOLD[term]}" if len(report.prior_dominated) > 1 else ""
    return [line + f"the prior decides {weak} ({weak / len(report.spectrum):.0%}){which}."]


def _forces_lines(report: Identifiability) -> list[str]:
    sizes, spreads = report.sizes, report.spreads
    gauge = report.gauge
    names = _TOLD if gauge is None else _TOLD | {"drift": "the first two together"}
    known = [
        f"{name} {_share(spreads[term], sizes[term])}"
        for term, name in names.items()
        if sizes.get(term)
    ]
    line = f"Forces at the particles, one standard deviation: {', '.join(known)}."
    if gauge is not None and gauge.flagged:
        line += (
            " Potential and interaction cannot be told apart (correlation "
            f"{gauge.correlation:.2f}): trust the sum of their forces, and neither alone."
        )
    elif gauge is not None:
        line += " Potential and interaction can be told apart."
    against = report.correlations.get("potential-internal", 0.0)
    if against < _OPPOSED:
        line += f" Potential and β trade off (correlation {against:.2f})."
    return [line] if known else []


def _share(spread: float, size: float) -> str:
    return f"±{spread / size:.0%}" if spread < _UNKNOWN * size else "unknown"


def _energy_line(result: Result) -> str:
    names = {
        "potential": f"potential {result.settings.get('potential')}",
        "interaction": f"interaction {result.settings.get('interaction')}",
        "internal": "internal energy",
    }
    terms = [f"{names[term]} ({size})" for term, size in result.energy.sizes.items()]
    periods = result.posterior.mean.shape[0]
    time = "the same at all times" if periods == 1 else f"one for each of {periods} intervals"
    if result.posterior.walk is not None:
        time = f"wandering over {periods} intervals"
    if result.energy.timed:
        time = "of features that change with time"
    likelihood = str(result.settings["likelihood"])
    if likelihood == "residual":
        likelihood += f", scheme {result.scheme}"
    return f"Energy: {' + '.join(terms)} coefficients, {time}; likelihood {likelihood}."


def _method_line(result: Result) -> str:
    posterior = result.posterior
    chains, draws = posterior.coefficients.shape[:2]
    how = f"{chains} chains of {draws} draws"
    if posterior.method == "vi":
        how = f"{chains * draws} draws of the {result.settings.get('guide')} approximation"
    return (
        f"Posterior: {posterior.method}, {how}, under a {result.settings.get('prior')} prior; "
        f"intervals stand on the {posterior.uncertainty} covariance."
    )


def _beta_lines(result: Result) -> list[str]:
    betas = result.betas
    if betas is None:
        return []
    if result.posterior.walk is not None:  # β does not wander
        betas = betas[:, -1:]
    starts = result.snapshots.times[: betas.shape[1]]
    lines = []
    for start, draws in zip(starts, betas.T, strict=True):
        low, high = shortest_interval(draws, _LEVEL)
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
