"""Particles that were followed: what one step a sampling interval misses of them, by simulation.

Taken at the middle of a step, a force is that of the probability flow, −∇V − ∇W∗ρ − β∇log ρ, to
first order (Nelson, Physical Review 150, 1966); at its start it would have no β in it. The mean
that is left of the estimating function Σ n w Dᵀ(y − x − τF) where forces change along the way is
simulated at the estimate itself, from every particle's start, and taken off (indirect inference:
Gouriéroux, Monfort and Renault, Journal of Applied Econometrics 8, 1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Float
from scipy.optimize import root

from bayesjko.inference.conjugate import conditioned_problem
from bayesjko.inference.discretisation import Discretisation, discretisation
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.problem import CLOSE, LinearProblem, Remade
from bayesjko.inference.residual import ReweightedResidual, with_score
from bayesjko.inference.transport import couple
from bayesjko.models.data import Snapshots
from bayesjko.models.likelihoods.flow import Paths, box_of, simulate_paths
from bayesjko.models.likelihoods.residual import Statistics, statistics

__all__ = ["without_missed"]

_COPIES = 4  # of each path, two mirroring the others: what is odd in the noise has no mean
_STEPS = 16  # of each path
_ROUNDS = 20


def without_missed(
    problem: LinearProblem, snapshots: Snapshots, options: InferenceOptions
) -> LinearProblem:
    """The residual's problem less what its steps miss at its own solution, and what that does.

    Args:
        problem: of particles that were followed, one energy for all intervals.
        snapshots: of them, in standard units.
        options: of the inference.
    """
    residual = problem.reweighted
    assert isinstance(residual, ReweightedResidual)
    found = conditioned_problem(problem, options)
    ridge = found.ridge  # one that is found again each time would have the search go to and fro

    def near(theta: Float[np.ndarray, "1 K"]) -> LinearProblem:
        less = partial(_less, missed=_missed(residual, theta[0]))
        return replace(
            problem,
            blocks=less(problem.blocks),
            plain=problem,
            ridge=ridge,
            beta_prior="amplitude",  # nor is it negative in what is simulated
            linearised_at=near,
            reweighted=Remade(residual, less),
        )

    spread = np.sqrt(found.noise * np.diag(found.joint_inverse()))

    def moved(scaled: Float[np.ndarray, " K"]) -> Float[np.ndarray, " K"]:
        """How far the solution is from the θ at which it was simulated, in standard deviations."""
        solution = conditioned_problem(near(scaled[None] * spread), options).mean[0]
        return np.asarray(solution / spread - scaled)

    search = root(
        moved,
        found.mean[0] / spread,
        method="df-sane",
        options={"ftol": 0.0, "fatol": CLOSE, "maxfev": _ROUNDS, "fnorm": _rms},
    )
    if search.success:
        here = near(search.x[None] * spread)
        return _with_note(here, discretisation(here, snapshots, options))
    note = (
        "The sampling interval is too long to be taken in one step: simulating between the "
        "snapshots, no energy was found that agrees with them; do not trust the intervals."
    )
    return replace(problem, notes=(*problem.notes, note))


def _rms(values: Float[np.ndarray, " K"]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _with_note(problem: LinearProblem, time: Discretisation) -> LinearProblem:
    note = (
        "Particles were followed: paths simulated between the snapshots, instead of one step to "
        f"each, moved the forces by {time.shift:.2g} of their standard deviation."
    )
    if time.bent:
        note += (
            f" They answer a change of the forces {time.bend:.0%} differently from one step, on "
            "which the intervals stand: these may be wrong by as much."
        )
    return replace(problem, notes=(*problem.notes, note))


def _missed(
    residual: ReweightedResidual, theta: Float[np.ndarray, " K"]
) -> Float[np.ndarray, " K"]:
    """The mean of b − Aθ where θ itself moves the particles; no numbers where they escape."""
    energy, snapshots, scores = residual.energy, residual.snapshots, residual.scores
    if energy.internal:
        theta = theta.copy()
        theta[-1] = max(theta[-1], 0.0)  # no path can have less of it
    box = box_of(snapshots.particles)
    mean = np.zeros(len(theta))
    for k, coupling in enumerate(couple(snapshots, solver="paired")):
        start, weight = np.asarray(coupling.source), np.asarray(coupling.weight)
        paths = Paths.over(len(start), *box, copies=_COPIES, steps=_STEPS, seed=residual.seed + k)
        here = energy.at(coupling.middle)
        for end in simulate_paths(here, theta, start, weight, float(coupling.duration), paths):
            moved = replace(coupling, target=end)
            if scores is not None:
                moved = with_score(moved, scores[k], scores[k + 1], residual.scheme)
            sums = statistics(energy, moved, residual.scheme)
            mean += (sums.moment - sums.gram @ theta) / _COPIES
    return mean


def _less(blocks: Sequence[Statistics], missed: Float[np.ndarray, " K"]) -> tuple[Statistics, ...]:
    """Less what is missed at the particles' own weights."""
    (block,) = blocks
    return (replace(block, moment=block.moment - missed),)
