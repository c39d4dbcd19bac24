"""What a likelihood leaves of the data for a linear energy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayesjko.inference.conditioning import Conditioned, Noise
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.likelihoods.moments import GoodnessOfFit
from bayesjko.models.likelihoods.residual import Statistics

__all__ = ["LinearProblem", "Meat"]

Meat = Callable[[Float[np.ndarray, "period K"]], Float[np.ndarray, "S S"]]
"""θ ↦ the covariance of the estimating function b − Aθ over repeated sampling of particles."""


@dataclass(frozen=True, eq=False)
class LinearProblem:
    """A quadratic log-likelihood −½SSE(θ)/s² of a linear energy's coefficients.

    No method that conditions on it ever sees a particle.

    Attributes:
        energy: whose coefficients they are.
        blocks: statistics of coefficients that the likelihood ties together: one period each where
            periods are separate, all of them at once where they are not.
        periods: number S of periods of the energy.
        noise: how s² is treated; 1 where the likelihood has the right scale by itself.
        meat: the estimating function's covariance, counted per particle, all S·K coefficients of
            all periods together.
        fit_test: whether the data are a gradient flow of this energy, where the likelihood can
            tell.
        discretisation: how far simulating between the snapshots moves the forces that a
            quadrature in time finds, in posterior standard deviations.
        notes: sentences for the summary.
    """

    energy: LinearEnergy
    blocks: tuple[Statistics, ...]
    periods: int
    noise: Noise
    meat: Meat
    fit_test: Callable[[Conditioned], GoodnessOfFit] | None = None
    discretisation: float = 0.0
    notes: tuple[str, ...] = ()
