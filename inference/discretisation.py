"""How far equations that are linear in time are from those of paths, and the sentence about it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np

from bayesjko.inference.calibration import sandwich
from bayesjko.inference.conditioning import draw_conditioned
from bayesjko.inference.conjugate import conditioned_problem
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.problem import LinearProblem
from bayesjko.models.data import Snapshots
from bayesjko.models.energies import LinearEnergy, drift_designs, field_of
from bayesjko.models.precision import double

__all__ = ["FAR", "MOST_FAINT", "Discretisation", "discretisation", "in_spreads", "with_warning"]

_MOST_SHIFT, _MOST_BEND = 1.0, 0.25  # that a quadrature may leave
FAR = 2.0 * _MOST_SHIFT
"""A shift on the way to a solution that says enough of the solution's."""

MOST_FAINT = 0.5
"""Of the information on β that may be noise."""

_PROBES = 200  # particles of each snapshot at which forces are compared


def with_warning(
    problem: LinearProblem, snapshots: Snapshots, options: InferenceOptions
) -> LinearProblem:
    """A weak problem that says so where snapshots are too far apart for its intervals.

    Where they are not, what the trapezoid misses at the solution is taken off, however much it is.

    Args:
        problem: weak.
        snapshots: in standard units.
        options: of the inference.
    """
    time = discretisation(problem, snapshots, options)
    if time.faint > MOST_FAINT:
        note = (
            "The population moves too little for the weak likelihood: of what it takes for "
            f"information on β {min(time.faint, 1.0):.0%} is the noise of its own slope; do not "
            "trust the intervals, and take the flow likelihood."
        )
        return replace(problem, notes=(*problem.notes, note))
    if not time.bent:
        return problem
    note = (
        "The sampling interval is too long for the weak likelihood: paths between the snapshots "
        f"answer a change of its forces {time.bend:.0%} differently from what its intervals stand "
        "on; do not trust them, and take the flow likelihood."
    )
    return replace(problem, notes=(*problem.notes, note))


@dataclass(frozen=True)
class Discretisation:
    """What a quadrature in time does to drifts at the particles, root mean squares.

    Attributes:
        shift: how far simulating between the snapshots moves them, in posterior sds.
        bend: how differently from the quadrature's slope the simulated equations answer a change of
            the drift by a typical draw, as a share of it; intervals are wrong by about that share.
        faint: share of the quadrature's information on β that is noise.
    """

    shift: float
    bend: float
    faint: float = 0.0

    @property
    def bent(self) -> bool:
        """Whether intervals are wrong by more than they may; one that did not settle says so."""
        return _MOST_BEND < self.bend < np.inf

    @property
    def fine(self) -> bool:
        """Whether the quadrature will do: snapshots are close, and its β is of more than noise."""
        close = self.shift <= _MOST_SHIFT and self.bend <= _MOST_BEND
        return close and self.faint <= MOST_FAINT


def discretisation(
    problem: LinearProblem, snapshots: Snapshots, options: InferenceOptions
) -> Discretisation:
    """How far equations that are trapezoidal in time are from those of paths, near their solution.

    Args:
        problem: weak, or the residual's of particles that were followed; one that did not settle is
            as far away as can be.
        snapshots: in standard units.
        options: of the inference.
    """
    energy = problem.energy
    if not problem.settled or problem.plain is None or problem.linearised_at is None:
        return Discretisation(np.inf, np.inf)
    if not energy.size - int(energy.internal):
        return Discretisation(0.0, 0.0)
    found = conditioned_problem(problem, options)
    plain = conditioned_problem(problem.plain, options).mean
    mixed = np.eye(found.mean.size) if problem.walk is None else problem.walk.mixed
    inverse = found.joint_inverse()
    drawn = draw_conditioned(found, sandwich(found, problem.meat(found.mean)), 1, options.seed)[0]
    moved = drawn[0, 0].ravel() - found.mean.ravel()
    either = []  # on both sides of the solution, so that what is even in the move counts too
    for move in (moved, -moved):
        there = problem.linearised_at((mixed @ (found.mean.ravel() + move)).reshape(plain.shape))
        change = mixed.T @ there.blocks[0].moment - problem.blocks[0].moment
        either.append(mixed @ inverse @ change)
    spread = found.noise * mixed @ inverse @ mixed.T
    shift, move, *bent = (
        in_spreads(energy, snapshots, change.reshape(plain.shape), spread)
        for change in (mixed @ (found.mean - plain).ravel(), mixed @ moved, *either)
    )
    faint = 0.0 if problem.faint is None else problem.faint()
    return Discretisation(shift, float(np.sqrt(np.mean(np.square(bent)))) / move, faint)


def in_spreads(
    energy: LinearEnergy, snapshots: Snapshots, change: np.ndarray, covariance: np.ndarray
) -> float:
    """Root mean square over particles and periods of |Δ drift| in standard deviations."""
    size = energy.size - int(energy.internal)
    shifts = []
    for index, (cloud, weight) in enumerate(
        zip(snapshots.particles[:-1], snapshots.weights[:-1], strict=True)
    ):
        period = min(index, len(change) - 1)
        rows = np.linspace(0, len(cloud) - 1, min(len(cloud), _PROBES)).astype(int)
        with double():
            field = field_of(energy.at(snapshots.times[index]), cloud, weight)
            design = np.asarray(drift_designs(field, jnp.asarray(cloud[rows])))
        where = slice(period * energy.size, period * energy.size + size)
        moved = design @ change[period, :size]
        spread = np.einsum("ndi,ij,ndj->nd", design, covariance[where, where], design)
        shifts.append(moved**2 / spread)
    return float(np.sqrt(np.mean(np.concatenate(shifts))))
