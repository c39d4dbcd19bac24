"""Which terms of an energy the data call for: log evidences on one footing.

Energies are compared as restrictions of the largest of them: the statistics of its fit, b = Aθ + ε
with Cov ε = M counted per particle, are normal under each, N(0, M + ASA), S the prior's variances
with zeros for the coefficients that an energy does not have. So all see the same data, tests,
weight and noise, at the right scale whatever the likelihood thinks of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.optimize import minimize
from scipy.special import log_ndtr, logsumexp

__all__ = ["Candidate", "Summary", "log_evidence", "summarise_statistics"]

_SINGULAR = 1e-10  # relative: below it a covariance of unit diagonal is round-off
_LEAST, _MOST = np.log(1e-5), np.log(3.0)  # prior scales that are thought possible, standard units
_STEP = 0.05  # between two of them, in logs
_STARTS = (-7.0, -4.0, -1.5)
_FEWEST_FREE = 0.1  # share of the information that is kept however few particles there are


@dataclass(frozen=True, eq=False)
class Summary:
    """The statistics of the largest energy in units of their own noise: z = Xθ + ε, Cov ε = I.

    Attributes:
        value: z.
        design: X.
    """

    value: Float[np.ndarray, " E"]
    design: Float[np.ndarray, "E S"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """An energy among several, as coefficients of the largest.

    Attributes:
        groups: positions of the coefficients that share a prior scale, one entry a term.
        internal: positions of β, one a period: β ≥ 0, with a scale of its own.
    """

    groups: Sequence[Int[np.ndarray, " _"]]
    internal: Int[np.ndarray, " _"]


def summarise_statistics(
    gram: Float[np.ndarray, "S S"],
    moment: Float[np.ndarray, " S"],
    meat: Float[np.ndarray, "S S"],
    particles: float,
) -> Summary:
    """A, b and M as whitened equations, directions that no particle sees left out.

    Args:
        gram: A.
        moment: b.
        meat: M.
        particles: how many M was estimated from; its inverse is too large by about
            1 + S/particles (Hartlap, Simon and Schneider, Astron. Astrophys. 464, 2007).
    """
    scale = 1.0 / np.sqrt(np.maximum(np.diag(meat), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(scale[:, None] * meat * scale)
    seen = values > _SINGULAR * values[-1]
    free = max((particles - seen.sum() - 2.0) / (particles - 1.0), _FEWEST_FREE)
    whiten = np.sqrt(free) * (vectors[:, seen] / np.sqrt(values[seen])).T * scale
    return Summary(whiten @ moment, whiten @ gram)


def log_evidence(summary: Summary, candidate: Candidate) -> float:
    """Log p(z | energy).

    Each term's coefficients are normal around zero with one scale, log-uniform over all that are
    thought possible; β is half-normal, likewise. The scales of V and W are integrated over one by
    one around the most probable ones, that of β exactly.
    """
    products = [summary.design[:, group] @ summary.design[:, group].T for group in candidate.groups]

    def at(logs: Sequence[float] | Float[np.ndarray, " g"]) -> float:
        covariance = np.eye(len(summary.value))
        for log, product in zip(logs, products, strict=True):
            covariance += np.exp(2.0 * log) * product
        return _given(summary, candidate.internal, covariance)

    if not products:
        return at([])
    bounds = [(_LEAST, _MOST)] * len(products)
    best = max((np.full(len(products), start) for start in _STARTS), key=at)
    found = minimize(lambda logs: -at(logs), best, method="Nelder-Mead", bounds=bounds)
    total = highest = -float(found.fun)
    scales = np.arange(_LEAST, _MOST, _STEP)
    for place in range(len(products)):
        along = [at([*found.x[:place], log, *found.x[place + 1 :]]) for log in scales]
        total += float(logsumexp(along)) - highest - float(np.log(len(scales)))
    return total


def _given(
    summary: Summary, internal: Int[np.ndarray, " _"], covariance: Float[np.ndarray, "E E"]
) -> float:
    """The evidence under given scales of V and W, that of β integrated over."""
    factor = cho_factor(covariance, lower=True)
    solved = cho_solve(factor, summary.value)
    value = -float(np.sum(np.log(np.diag(factor[0])))) - 0.5 * float(summary.value @ solved)
    value -= 0.5 * len(solved) * float(np.log(2.0 * np.pi))
    if not len(internal):
        return value
    columns = summary.design[:, internal]
    information, vectors = eigh(columns.T @ cho_solve(factor, columns))
    turned = vectors.T @ (columns.T @ solved)
    scales = np.arange(_LEAST, _MOST, _STEP)
    spread = 1.0 / (np.exp(-2.0 * scales)[:, None] + np.maximum(information, 0.0))  # posterior's
    gain = 0.5 * np.sum(spread * turned**2 + np.log(spread) - 2.0 * scales[:, None], axis=1)
    mean, sd = (spread * turned) @ vectors.T, np.sqrt(spread @ (vectors**2).T)
    gain += np.sum(np.log(2.0) + log_ndtr(mean / sd), axis=1)  # of a normal, half is left
    return value + float(logsumexp(gain)) - float(np.log(len(scales)))
