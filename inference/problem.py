"""What a likelihood leaves of the data for a linear energy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float

from bayesjko.inference.conditioning import Conditioned, Noise
from bayesjko.models.data import Snapshots
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.errors import UnsettledError
from bayesjko.models.likelihoods.moments import GoodnessOfFit
from bayesjko.models.likelihoods.residual import Statistics

if TYPE_CHECKING:  # which imports NumPyro, that not every fit needs
    from bayesjko.models.beta import BetaPrior

__all__ = [
    "CLOSE",
    "LinearProblem",
    "Meat",
    "OwnNoise",
    "Remade",
    "Reweighted",
    "Walk",
    "at_rest",
    "unsettled",
]

CLOSE = 0.05
"""Posterior sds, rms over coefficients: a round that moves them less is the last of a search."""

_LOST = 1.0  # the same: a search that still moves as far after all rounds has found nothing

Meat = Callable[[Float[np.ndarray, "period K"]], Float[np.ndarray, "S S"]]
"""θ ↦ the covariance of the estimating function b − Aθ over repeated sampling of particles."""


@runtime_checkable
class Reweighted(Protocol):
    """What the same particles say at other weights."""

    @property
    def snapshots(self) -> Snapshots:
        """The particles at their own weights."""

    def __call__(self, weights: Sequence[Float[np.ndarray, " _"]]) -> tuple[Statistics, ...]:
        """The problem's blocks at these."""


@dataclass(frozen=True, eq=False)
class Remade:
    """The same particles at other weights, as another problem's.

    Attributes:
        plain: what they say as they are.
        made: the other problem's blocks of these.
    """

    plain: Reweighted
    made: Callable[[tuple[Statistics, ...]], tuple[Statistics, ...]]

    @property
    def snapshots(self) -> Snapshots:
        """The particles at their own weights."""
        return self.plain.snapshots

    def __call__(self, weights: Sequence[Float[np.ndarray, " _"]]) -> tuple[Statistics, ...]:
        """The other problem's blocks at these."""
        return self.made(self.plain(weights))


@dataclass(frozen=True, eq=False)
class Walk:
    """What a problem of an energy that wanders is conditioned on instead of θ.

    Attributes:
        mixed: from independent coordinates u to θ, all periods together.
        scale: q, by how much of the prior's scale θ changes in a mean sampling interval.
        narrow: the same with a beginning whose prior is no wider than what q refers to: the prior's
            scale is found there, since with a wide beginning it would be that of neither.
        apart: the problem of θ itself, where what it says is block tridiagonal.
        variances: of the first θ and of each step over the prior's, as narrow and as wide as that.
    """

    mixed: Float[np.ndarray, "P P"]
    scale: float
    narrow: LinearProblem | None = None
    apart: LinearProblem | None = None
    variances: tuple[Float[np.ndarray, "period K"], ...] = ()


@dataclass(frozen=True, eq=False)
class OwnNoise:
    """What an estimating function whose slope and weight are estimated too is without their noise.

    Attributes:
        shared: the slope that counts noise as information.
        informing: its slope, found when it is asked for, and what leaves of the function only what
            this slope says something of; with more doubt while `searching` for the solution, where
            the one that counts noise is the safer one.
        bias: Q⁻¹ of the solution, and what it hears of the function ↦ how far off it is on average.
        beta_scale: standard deviation of β's prior where nothing is heard of it.
    """

    shared: Float[np.ndarray, "P P"]
    informing: Callable[..., tuple[Float[np.ndarray, "P P"], Float[np.ndarray, "P P"]]]
    bias: Callable[[Float[np.ndarray, "P P"], Float[np.ndarray, "P P"]], Float[np.ndarray, " P"]]
    beta_scale: float


@runtime_checkable
class Bending(Protocol):
    """How a problem departs from a linear one around an estimate; None where nobody knows."""

    def __call__(
        self, found: Conditioned, *, kept: Float[np.ndarray, "P P"] | None = None
    ) -> Callable[[Array], Array] | None:
        """Of the part of the estimating function that is kept, all of it if not given."""


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
            tell: of the problem conditioned, or of one `mixed` from other coordinates.
        plain: the equations of a quadrature in time alone, where simulating between the snapshots
            makes these of them.
        settled: whether what is linearised was solved where it is linearised.
        beta_prior: of β, where there is one: not normal where it is known not to be negative, since
            the process cannot be simulated otherwise. JKOnet*'s closed form does not know.
        notes: sentences for the summary.
        intervals: the period and the statistics of each interval between snapshots, where they add
            up to the blocks.
        reweighted: what the same particles say at other weights, where that is known; of a kind
            that other processes can be given.
        walk: of an energy that wanders, whose coordinates θ here are the independent ones.
        linearised_at: the problem near another θ, where the likelihood is no quadratic form.
        ridge: s²Λ of one period, where it has been found already.
        own_noise: of the estimating function's slope and weight, in θ, where they have any.
        faint: what share of its information on a β that other terms balance is the noise of its
            slope, where that is not taken off.
        bending: how it departs from one around the conjugate estimate, for methods that can see it.
    """

    energy: LinearEnergy
    blocks: tuple[Statistics, ...]
    periods: int
    noise: Noise
    meat: Meat
    fit_test: Callable[..., GoodnessOfFit] | None = None
    plain: LinearProblem | None = None
    settled: bool = True
    beta_prior: BetaPrior = "normal"
    notes: tuple[str, ...] = ()
    intervals: tuple[tuple[int, Statistics], ...] = ()
    reweighted: Reweighted | None = None
    walk: Walk | None = None
    linearised_at: Callable[[Float[np.ndarray, "period K"]], LinearProblem] | None = None
    ridge: Float[np.ndarray, " K"] | None = None
    own_noise: OwnNoise | None = None
    faint: Callable[[], float] | None = None
    bending: Bending | None = None


def unsettled() -> UnsettledError:
    """For equations without a solution that a search has found."""
    return UnsettledError(
        "No energy was found that solves the moment equations: the snapshots are too far apart "
        "or too few for them; take the residual likelihood, a smaller basis, or snapshots "
        "closer in time."
    )


def at_rest(problem: LinearProblem, moved: float) -> LinearProblem:
    """A problem linearised where a search for its solution has ended.

    Args:
        problem: near its own solution, or not.
        moved: by the last round, in posterior sds.

    Raises:
        UnsettledError: so far that there is no solution in sight.
    """
    if not moved < _LOST:
        raise unsettled()
    if moved < CLOSE:
        return problem
    note = (
        "The moment equations did not settle: the sampling interval is too long for this energy or "
        "the data too few; do not trust the intervals."
    )
    return replace(problem, settled=False, fit_test=None, notes=(note, *problem.notes))
