"""Snapshots to moment equations, solved where they are linear in the coefficients or made so.

Both the weak and the flow likelihood say g(θ) ~ N(0, Σ) of the same tests, the same weight and the
same per-particle influence; they differ in how g and its slope are found at an estimate.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from bayesjko.inference.bending import bending
from bayesjko.inference.conjugate import without_own_noise
from bayesjko.inference.equations import Equations
from bayesjko.inference.options import InferenceOptions, MomentOptions
from bayesjko.inference.problem import LinearProblem, at_rest
from bayesjko.inference.residual import TimeVariation, period_of_interval
from bayesjko.inference.search import Found, Search, trapezoidal
from bayesjko.inference.whole import Whole
from bayesjko.models.bases.rbf import sampled
from bayesjko.models.data import Snapshots
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.likelihoods.moments import build_tests, values_of, weight_of

__all__ = ["moment_search", "solved"]

_LEAST_SHRINKAGE = 0.02
_PARTICLES_A_TEST = 3.5  # at the least, in the smallest snapshot: fewer say nothing of a covariance
_HELD, _FEWEST_HELD = 2**21, 4096


def room_for(tests: int) -> int:
    """How many particles of a snapshot are asked for what must be known of single ones.

    All where their tests fit into 16 MB. The others count in every average; what is known of some
    only (covariances, and the paths that correct the trapezoid) has the noise of some, of which
    the covariance knows.
    """
    return max(_FEWEST_HELD, _HELD // tests)


def moment_search(
    energy: LinearEnergy,
    snapshots: Snapshots,
    options: InferenceOptions,
    moments: MomentOptions,
    *,
    time_variation: TimeVariation = "static",
    whole: Whole | None = None,
    jobs: int = 1,
    begun: Search | None = None,
) -> Search:
    """Moment equations, and where to look for their solution.

    The weak form sums over all particles, and asks at most `room_for` of each snapshot for what
    must be known of single ones.

    Args:
        energy: whose coefficients are sought.
        snapshots: in standard units.
        options: of the inference: what the prior is decides where the solution lies.
        moments: of the equations.
        time_variation: one θ for all intervals, or one for each; of one that wanders, the
            equations of each near the θ of all, where its own solution is looked for.
        whole: the particles, where the snapshots hold only some of them.
        jobs: threads that simulate paths.
        begun: a search in another form of what is the same otherwise: its beginning is this one's
            where it has asked all particles.
    """
    if begun is not None and begun.equations.snapshots.counts == snapshots.counts:
        return replace(begun, moments=moments)
    whole = whole or Whole.of(snapshots)
    wanted = max(moments.fewest_bumps, energy.size) if moments.bumps is None else moments.bumps
    most = int(min(whole.effective_sizes) / _PARTICLES_A_TEST)
    sample = whole.drawn(sampled(sum(whole.counts), options.seed))
    tests = build_tests(energy, sample, bumps=wanted, most=most, seed=options.seed)
    if moments.form == "weak":
        snapshots = whole.thinned(room_for(tests.size))
    shares = (snapshots.effective_sizes / whole.effective_sizes).tolist()
    values = [values_of(tests, cloud) for cloud in snapshots.particles]
    shrinkage = moments.shrinkage
    if shrinkage is None:
        crowding = tests.size / float(min(snapshots.effective_sizes))
        shrinkage = min(max(crowding**2, _LEAST_SHRINKAGE), 1.0)
    weight = weight_of(values, snapshots.weights, shrinkage, shares)
    intervals = len(snapshots.times) - 1
    together = time_variation == "random-walk"
    period_of = period_of_interval(intervals, "static" if together else time_variation)
    sums = whole.weak_sums(energy, tests)
    equations = Equations(
        energy, snapshots, tests, values, period_of, shrinkage, options.seed, sums, shares, jobs
    )
    return Search.of(equations, weight, options, moments, time_variation)


def solved(search: Search) -> LinearProblem:
    """The equations of a search, linearised at the solution it finds.

    Raises:
        UnsettledError: no energy solves them.
    """
    found: Found | None = None
    moments, static = search.moments, max(search.equations.period_of) == 0
    if moments.form == "flow" and moments.near and static and not search.wanders:
        found = search.nearby()
    if found is None:
        found = search.far() if moments.form == "flow" else search.corrected()
    elif (farther := search.instead_of(found)) is not None:
        found = farther
    else:
        search = replace(search, moments=replace(moments, form="symmetric"))
    problem, plain, resolution = found.problem, search.plain, found.resolution
    simulated = search.moments.form != "weak"
    faint = search.noise_share if not simulated and search.trading and not search.wanders else None
    if search.wanders:
        intervals = len(search.equations.period_of)
        at = np.tile(search.conditioned(problem).mean, (intervals, 1))
        periods = period_of_interval(intervals, search.time_variation)
        search = replace(search, equations=replace(search.equations, period_of=periods))
        plain = trapezoidal(search.equations, search.weight)
        problem = search.near(resolution, at)
    problem = replace(
        problem,
        plain=plain,
        faint=faint,
        linearised_at=partial(search.near, resolution),
        notes=(resolution.describe(), *found.notes) if simulated else (),
        bending=partial(bending, search.equations, search.weight, resolution)
        if simulated
        else None,
        # A half-normal puts β at about its standard deviation where that is all that is known, and
        # of a slope of paths it is large: flat in the noise's amplitude says less.
        beta_prior="amplitude" if search.moments.form == "flow" else problem.beta_prior,
    )
    if search.wanders:
        return problem
    return at_rest(without_own_noise(problem, search.options), found.moved)
