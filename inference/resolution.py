"""How finely paths are simulated: steps by doubling them, noise copies by what they add."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayesjko.inference.parallel import threaded
from bayesjko.models.blocks import averaged
from bayesjko.models.likelihoods.flow import Paths

__all__ = ["Resolution", "refined"]

_FEWEST_STEPS, _MOST_STEPS = 4, 64  # fewer are too few to tell by doubling them
_FEWEST_COPIES, _MOST_COPIES = 8, 16
_STEP_ERROR = 0.025  # of the equations of an interval, in their own standard deviations, together
_STILL_ENOUGH = 2.0 * _STEP_ERROR  # of steps that were fine enough nearby
_LOST = 1.0  # of the same: where they lead is not known
_NOISE_SHARE = 0.02  # of the variance of the equations

_TOGETHER = 2048  # paths whose tests are held at a time: as many as `mapped` takes at once

Ends = Callable[[int, Paths], Float[np.ndarray, "copies n d"]]
"""Interval and paths ↦ where the paths of every particle end."""

Tests = Callable[[Float[np.ndarray, "n d"]], Float[np.ndarray, "n M"]]
"""Points ↦ what they are worth to the equations."""


@dataclass(frozen=True)
class Resolution:
    """What paths are made of.

    Attributes:
        steps: from snapshot to snapshot, one number an interval.
        copies: noise copies from every particle, an even number.
        step_error: how far half the step moves the equations of an interval at most, in their own
            standard deviations.
        noise_share: what the copies' noise adds to the variance of the equations; NaN where there
            are too few to tell.
    """

    steps: tuple[int, ...]
    copies: int
    step_error: float = 0.0
    noise_share: float = 0.0

    @property
    def lost(self) -> bool:
        """Whether the energy is so steep that nobody knows where its paths lead."""
        return self.step_error > _LOST

    def as_fine_as(self, other: Resolution) -> bool:
        """Whether nothing but the errors has changed."""
        return (self.steps, self.copies) == (other.steps, other.copies)

    def describe(self) -> str:
        """A sentence for the summary."""
        fewest, most = min(self.steps), max(self.steps)
        steps = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        text = (
            f"Paths: {steps} steps from snapshot to snapshot (twice as many move the moments by "
            f"{self.step_error:.2g} standard deviations), {self.copies} noise copies"
        )
        if math.isfinite(self.noise_share):
            text += f" (adding {self.noise_share:.1%} to their variance)"
        text += "."
        if self.step_error > _STILL_ENOUGH:
            text += " The steps are too long: this energy is too steep for the sampling interval."
        return text


def refined(
    ends: Ends,
    tests: Tests,
    paths: Callable[[int, int, int], Paths],
    weights: Sequence[Float[np.ndarray, " n"]],
    inverses: Sequence[Float[np.ndarray, "M M"]],
    before: Resolution | None,
    *,
    steps: int | None,
    copies: int | None,
    jobs: int = 1,
) -> Resolution:
    """As many steps and copies as are needed, and no fewer than before.

    Args:
        ends: of paths under the energy of interest.
        tests: what these are worth to the equations.
        paths: interval, copies and steps ↦ paths.
        weights: of the particles that each interval starts from.
        inverses: of the covariance of each interval's equations.
        before: where to start from, if not from the coarsest.
        steps: taken as told, if told.
        copies: likewise.
        jobs: threads.
    """
    enough = _STEP_ERROR if before is None else _STILL_ENOUGH

    def stepped(k: int) -> tuple[int, float, float]:
        """Steps over an interval, what half of them move, and the noise of so few copies."""
        here = steps or (before.steps[k] if before else _FEWEST_STEPS)
        weight, inverse = weights[k], inverses[k]
        while True:
            fine = paths(k, _FEWEST_COPIES, 2 * here)
            mean, noise = _moments(tests, ends(k, fine.coarser()), weight, inverse)
            gap = weight @ averaged(tests, ends(k, fine)) - mean
            wrong = float(np.sqrt(gap @ inverse @ gap))
            if steps is not None or wrong <= enough or here >= _MOST_STEPS:
                return here, wrong, noise
            here *= 2

    def noisy(k: int) -> float:
        return _moments(tests, ends(k, paths(k, number, found[k])), weights[k], inverses[k])[1]

    each = range(len(weights))
    found, wrong, noise = map(list, zip(*threaded(stepped, each, jobs), strict=True))
    number = copies or (before.copies if before else _FEWEST_COPIES)
    while True:
        if number != _FEWEST_COPIES:
            noise = threaded(noisy, each, jobs)
        share = float(np.mean(noise))
        enough_copies = copies is not None or share <= _NOISE_SHARE or number >= _MOST_COPIES
        if enough_copies or max(wrong) > _LOST:
            break
        number *= 2
    return Resolution(tuple(found), number, max(wrong), share)


def _moments(
    tests: Tests,
    ends: Float[np.ndarray, "copies n d"],
    weight: Float[np.ndarray, " n"],
    inverse: Float[np.ndarray, "M M"],
) -> tuple[Float[np.ndarray, " M"], float]:
    """Means of the tests over particles and copies, and the noise of so few copies.

    That is the mean over equations of the variance that it leaves, in their own; NaN of one pair.
    """
    copies, _, d = ends.shape
    count, square, mean = copies // 2, 0.0, np.zeros(len(inverse))
    size = max(1, _TOGETHER // copies)
    for first in range(0, len(weight), size):
        rows = slice(first, first + size)
        own = tests(ends[:, rows].reshape(-1, d)).reshape(2, count, -1, len(inverse))
        pairs = own.mean(axis=0)
        each = pairs.mean(axis=0)
        off = pairs - each
        mean += weight[rows] @ each
        square += float(weight[rows] ** 2 @ np.einsum("qnm,qnm->n", off @ inverse, off))
    noise = square / (count * (count - 1) * len(inverse)) if count > 1 else math.nan
    return mean, noise
