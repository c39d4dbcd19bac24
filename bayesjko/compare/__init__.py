"""Fits of the same data side by side: which energy predicts intervals it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayesjko.diagnostics import smoothed_ratios
from bayesjko.models.errors import InputError
from bayesjko.result import Result

__all__ = ["Comparison", "compare", "comparison_table"]

_UNSTABLE = 0.7  # Pareto shape from which a left-out interval changes the posterior too much


@dataclass(frozen=True)
class Comparison:
    """One fit beside the others.

    Attributes:
        name: of the fit.
        likelihood: it was made with.
        elpd: expected log density of intervals left out one at a time (PSIS-LOO: Vehtari, Gelman
            and Gabry, Statistics and Computing 27, 2017), counted per particle; None where the
            likelihood is not one of intervals.
        behind: how much less than the best of those with the same likelihood.
        behind_se: standard error of that, over intervals.
        unstable: intervals that cannot be left out by reweighting draws.
        intervals: how many there are.
        log_evidence: of the fit, if it has one.
        w1: held-out earth mover's distance one step ahead, if some particles were held out.
    """

    name: str
    likelihood: str
    elpd: float | None
    behind: float | None
    behind_se: float | None
    unstable: int
    intervals: int
    log_evidence: float | None
    w1: float | None


def compare(results: Mapping[str, Result]) -> list[Comparison]:
    """Fits of the same snapshots, the best first among those with the same likelihood.

    Raises:
        InputError: the fits are of different data.
    """
    hashes = {name: result.provenance.get("data_hash") for name, result in results.items()}
    if len(set(hashes.values())) > 1:
        raise InputError(
            "The fits are of different snapshots, so nothing can be compared; fit the same ones."
        )
    pointwise: dict[str, Float[np.ndarray, " interval"]] = {}
    shapes: dict[str, np.ndarray] = {}
    temperings = [
        r.posterior.tempering for r in results.values() if r.posterior.log_likelihood is not None
    ]
    common = float(np.mean(temperings)) if temperings else 1.0
    for name, result in results.items():
        found = result.posterior.log_likelihood
        if found is not None:
            scores, shapes[name] = _left_out(found, result.posterior.tempering)
            pointwise[name] = common * scores
    best = max(pointwise, key=lambda name: pointwise[name].sum(), default=None)
    rows = []
    for name, result in results.items():
        own = pointwise.get(name)
        gap = None if own is None or best is None else pointwise[best] - own
        rows.append(
            Comparison(
                name=name,
                likelihood=str(result.settings["likelihood"]),
                elpd=None if own is None else float(own.sum()),
                behind=None if gap is None else float(gap.sum()),
                behind_se=None if gap is None else float(np.sqrt(len(gap) * np.var(gap, ddof=1))),
                unstable=0 if own is None else int(np.sum(shapes[name] > _UNSTABLE)),
                intervals=len(result.snapshots.times) - 1,
                log_evidence=result.posterior.log_evidence,
                w1=result.scores.get("w1_mean"),
            )
        )
    return sorted(rows, key=lambda row: (row.behind is None, row.behind or 0.0))


def comparison_table(rows: list[Comparison]) -> str:
    """The comparison as text, with a word on what it rests on."""
    width = max(8, *(len(row.name) for row in rows))
    lines = [
        f"{'fit':<{width}} {'likelihood':>10} {'elpd':>10} {'behind':>17} {'log evidence':>13} "
        f"{'held-out W1':>12}"
    ]
    for row in rows:
        behind = "—" if row.behind is None else f"{row.behind:.2f} ± {row.behind_se:.2f}"
        lines.append(
            f"{row.name:<{width}} {row.likelihood:>10} {_told(row.elpd, '.2f'):>10} {behind:>17} "
            f"{_told(row.log_evidence, '.2f'):>13} {_told(row.w1, '.4g'):>12}"
        )
    lines.append(
        "elpd: log density of each interval between snapshots when left out (PSIS-LOO), for the "
        "residual likelihood; log evidence compares fits of the same likelihood and covariance, "
        "and by weak and flow only of the same potential, whose features are among their tests "
        "(bayesjko.fit --select compares others)."
    )
    unstable = [row for row in rows if row.unstable]
    lines += [
        f"{row.name}: {row.unstable} of {row.intervals} intervals weigh too much to be left out by "
        "reweighting; hold particles out instead (--holdout 0.3)."
        for row in unstable
    ]
    return "\n".join(lines)


def _told(value: float | None, how: str) -> str:
    return "—" if value is None else format(value, how)


def _left_out(
    log_likelihood: Float[np.ndarray, "chain draw interval"], tempering: float
) -> tuple[Float[np.ndarray, " interval"], Float[np.ndarray, " interval"]]:
    """Log p(interval | the others), untempered, and the shape of the weights it stands on."""
    flat = log_likelihood.reshape(-1, log_likelihood.shape[-1])
    scores, shapes = [], []
    for column in flat.T:
        weights, shape = smoothed_ratios(-column)
        scores.append(np.logaddexp.reduce(weights + column / tempering))
        shapes.append(shape)
    return np.array(scores), np.array(shapes)
