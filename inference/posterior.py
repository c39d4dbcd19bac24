"""The one type every inference method returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Shaped

from bayesjko.models.likelihoods.moments import GoodnessOfFit

__all__ = ["CHAINS", "Posterior"]

CHAINS = 4
"""Chains that independent draws are laid out in, so that every diagnostic applies to them."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of an energy's coefficients after seeing the snapshots, in standard units.

    Attributes:
        coefficients: draws of θ; one period for a static energy, one an interval for a piecewise.
        mean: posterior mean of θ.
        covariance: posterior covariance of θ within each period, if it has a closed form.
        noise: draws of s², if the likelihood has one.
        log_evidence: log p(data | prior), up to the likelihood's stated constant; None if unknown.
        method: name of the inference method.
        uncertainty: what the spread of the draws stands on (`model`, `sandwich`, `bootstrap`).
        prior_precision: Λ, the prior's diagonal, for the identifiability report.
        information: what the data say of θ, in the prior's units of precision (the Hessian of the
            negative log-likelihood, calibrated), if it has a closed form.
        goodness_of_fit: the test of the model itself, where the likelihood has one.
        notes: sentences for the summary.
        sample_stats: one array a statistic, as ArviZ names them.
        log_likelihood: of each interval between snapshots, where it is one of intervals.
        tempering: what it was multiplied by, so as to be as sure as the posterior is.
        complete: whether all draws that were asked for are there.
        walk: variance that θ gains in a mean sampling interval, of an energy that wanders.
    """

    coefficients: Float[np.ndarray, "chain draw period K"]
    mean: Float[np.ndarray, "period K"]
    covariance: Float[np.ndarray, "period K K"] | None
    noise: Float[np.ndarray, "chain draw"] | None
    log_evidence: float | None
    method: str
    uncertainty: str
    prior_precision: Float[np.ndarray, " K"] | None = None
    information: Float[np.ndarray, "period K K"] | None = None
    goodness_of_fit: GoodnessOfFit | None = None
    notes: tuple[str, ...] = ()
    sample_stats: Mapping[str, Shaped[np.ndarray, "chain draw"]] = field(default_factory=dict)
    log_likelihood: Float[np.ndarray, "chain draw interval"] | None = None
    tempering: float = 1.0
    complete: bool = True
    walk: Float[np.ndarray, " K"] | None = None

    @property
    def draws(self) -> Float[np.ndarray, "draws period K"]:
        """All chains' draws of θ, one after the other."""
        return self.coefficients.reshape(-1, *self.coefficients.shape[2:])
