"""Snapshots to moment equations, solved where they are linear in the coefficients or made so.

Both the weak and the flow likelihood say g(θ) ~ N(0, Σ) of the same tests, the same weight and the
same per-particle influence; they differ in how g and its slope are found at an estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayesjko.inference.bending import bending
from bayesjko.inference.calibration import sandwich
from bayesjko.inference.conditioning import Conditioned, condition, draw_conditioned
from bayesjko.inference.conjugate import balances, conditioned_problem, heard, without_own_noise
from bayesjko.inference.equations import Equations, Linearised
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.problem import CLOSE, LinearProblem, OwnNoise, at_rest, unsettled
from bayesjko.inference.residual import TimeVariation, period_of_interval, residual_problem
from bayesjko.inference.resolution import Resolution, refined
from bayesjko.inference.whole import Whole
from bayesjko.models.bases.rbf import sampled
from bayesjko.models.data import Snapshots
from bayesjko.models.energies import LinearEnergy, drift_designs, field_of
from bayesjko.models.errors import InputError
from bayesjko.models.likelihoods.moments import (
    GoodnessOfFit,
    build_tests,
    equation_covariance,
    goodness_of_fit,
    values_of,
    weight_of,
    without_leverage,
)
from bayesjko.models.likelihoods.residual import Statistics
from bayesjko.models.precision import double

__all__ = [
    "FAR",
    "Discretisation",
    "MomentOptions",
    "discretisation",
    "moment_problem",
    "with_warning",
]

_HALVINGS = 6
_SLACK = CLOSE**2  # a coefficient, by which a step may raise the objective: a move of that size
_TRUSTING = 2  # rounds that keep the prior they start with
_FREEDOM = 4.0  # factor by which a later round may change it
_REFINEMENTS = 3  # of the paths, each at what the one before has found
_LEAST_SHRINKAGE = 0.02
_PARTICLES_A_TEST = 3.5  # at the least, in the smallest snapshot: fewer say nothing of a covariance
_HELD, _FEWEST_HELD = 2**21, 4096
_MOST_SHIFT, _MOST_BEND = 1.0, 0.25  # that a quadrature may leave
_MOST_SYMMETRIC = 0.1  # bend, likewise, that nothing warns of
_MOST_FAINT = 0.5  # of the information on β that may be noise
FAR = 2.0 * _MOST_SHIFT
"""A shift on the way to a solution that says enough of the solution's."""

_SCOUTS = 2  # copies of each path, to see where a search leads
_APART = 3.0  # standard deviations of forces, rms, from which another solution is another one
_PROBES = 200  # particles of each snapshot at which forces are compared


@dataclass(frozen=True)
class MomentOptions:
    """How moment equations are made.

    Attributes:
        form: `weak`, trapezoidal in time, `flow`, simulated, or `symmetric`: simulated, with the
            trapezoid's slope.
        bumps: tests beside the potential's own features; as many as coefficients, and at least
            `fewest_bumps`, if None. Fewer where a snapshot has too few particles for them.
        shrinkage: share of the identity in the weight's covariance. What the noise of an estimated
            weight does to the estimate is of the order (tests per particle)², which is the share
            if None, but at least `_LEAST_SHRINKAGE`.
        steps: of a path from snapshot to snapshot; as many as doubling them asks for if None.
        copies: noise copies of each path, an even number; as many as they must be to add little
            noise if None.
        rounds: of the solve at most.
        most_shift: standard deviations of forces, rms, from where the trapezoid puts them, that a
            weak search goes before it is given up.
        near: whether `flow` looks if it may be `symmetric`.
    """

    form: Literal["weak", "flow", "symmetric"] = "weak"
    bumps: int | None = None
    shrinkage: float | None = None
    steps: int | None = None
    copies: int | None = None
    rounds: int = 8
    most_shift: float = np.inf
    fewest_bumps: int = 50
    near: bool = True


def room_for(tests: int) -> int:
    """How many particles of a snapshot are asked for what must be known of single ones.

    All where their tests fit into 16 MB. The others count in every average; what is known of some
    only (covariances, and the paths that correct the trapezoid) has the noise of some, of which
    the covariance knows.
    """
    return max(_FEWEST_HELD, _HELD // tests)


_Linearise = Callable[[Float[np.ndarray, "period K"]], Linearised]
_IfStrayed = Callable[[Float[np.ndarray, "period K"], Conditioned], bool]


def moment_problem(
    energy: LinearEnergy,
    snapshots: Snapshots,
    options: InferenceOptions,
    moments: MomentOptions,
    *,
    time_variation: TimeVariation = "static",
    whole: Whole | None = None,
    jobs: int = 1,
) -> LinearProblem:
    """Moment equations linearised at their own solution.

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

    Raises:
        UnsettledError: no energy solves them.
    """
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
    wanders = time_variation == "random-walk"
    intervals = len(snapshots.times) - 1
    period_of = period_of_interval(intervals, "static" if wanders else time_variation)
    sums = whole.weak_sums(energy, tests)
    equations = Equations(
        energy, snapshots, tests, values, period_of, shrinkage, options.seed, sums, shares, jobs
    )

    plain = _plain(equations, weight)
    first = conditioned_problem(plain, options)
    opening = _resolution(equations, first.mean, weight, moments, None)
    found: _Found | None = None
    notes: tuple[str, ...] = ()
    if moments.form == "flow" and moments.near and not wanders and max(period_of) == 0:
        found = _nearby(equations, weight, first, opening, options, moments)
    if found is not None:
        moments = replace(moments, form="symmetric")
    elif moments.form == "flow":
        found, notes = _far(equations, weight, first, opening, options, moments, wanders=wanders)
    else:
        limit = np.inf if wanders else moments.most_shift
        strayed = partial(_strayed, equations, first, limit) if np.isfinite(limit) else None
        found = _settled(equations, weight, first, options, moments, opening, strayed=strayed)
    problem, resolution, moved = found
    if wanders:
        at = np.tile(conditioned_problem(problem, options).mean, (intervals, 1))
        equations = replace(equations, period_of=period_of_interval(intervals, time_variation))
        plain = _plain(equations, weight)
        problem = _problem(equations, _form(equations, moments, resolution)(at), weight)
    better = _form(equations, moments, resolution)
    simulated = moments.form != "weak"
    trading = not simulated and _trading(equations) and not wanders
    problem = replace(
        problem,
        plain=plain,
        faint=partial(_noise_share, equations, weight) if trading else None,
        linearised_at=lambda theta: _problem(equations, better(theta), weight),
        notes=(resolution.describe(), *notes) if simulated else (),
        bending=partial(bending, equations, weight, resolution) if simulated else None,
        # A half-normal puts β at about its standard deviation where that is all that is known, and
        # of a slope of paths it is large: flat in the noise's amplitude says less.
        beta_prior="amplitude" if moments.form == "flow" else problem.beta_prior,
    )
    return problem if wanders else at_rest(without_own_noise(problem, options), moved)


_Found = tuple[LinearProblem, Resolution, float]
"""Equations at their own solution, what their paths are made of, and the last move of the search.
"""


def _nearby(
    equations: Equations,
    weight: np.ndarray,
    first: Conditioned,
    opening: Resolution,
    options: InferenceOptions,
    moments: MomentOptions,
) -> _Found | None:
    """Where snapshots are so close to each other that a slope of paths is the trapezoid's."""
    if _trading(equations) and _noise_share(equations, weight) > _MOST_FAINT:
        return None  # near equilibrium, where that of paths is the safer one
    near = replace(moments, form="symmetric")
    strayed = partial(_strayed, equations, first, FAR)
    for sure in (False, True):
        try:
            found = _settled(
                equations, weight, first, options, near, opening, strayed=strayed, sure=sure
            )
        except InputError:
            return None
        if found[2] < CLOSE:
            break
    else:
        return None
    problem, resolution, _ = found
    at = conditioned_problem(problem, options).mean

    def shared(theta: np.ndarray) -> LinearProblem:
        return _problem(equations, equations.corrected(theta, resolution=resolution), weight)

    trapezoid = replace(shared(at), plain=_plain(equations, weight), linearised_at=shared)
    time = discretisation(trapezoid, equations.snapshots, options)
    return found if time.bend <= _MOST_SYMMETRIC else None


def _far(
    equations: Equations,
    weight: np.ndarray,
    first: Conditioned,
    opening: Resolution,
    options: InferenceOptions,
    moments: MomentOptions,
    *,
    wanders: bool,
) -> tuple[_Found, tuple[str, ...]]:
    """Where the slope must be that of paths."""
    energy, snapshots = equations.energy, equations.snapshots
    again = max(equations.period_of) == 0
    try:
        found = _settled(equations, weight, first, options, moments, opening, if_scouted=again)
    except InputError:  # one that leaves all data behind
        if not again:
            raise
        found = None
    if again and (found is None or not found[2] < CLOSE):
        # what is linear in time may be too far away to start from; what is implicit in it is nearer
        coupled = residual_problem(energy, snapshots, scheme="implicit", seed=options.seed)
        # a start only: the model's own evidence shrinks more, and holds on to what is hardly seen
        nearer = conditioned_problem(coupled, replace(options, covariance="model"))
        # or moves in a direction in which there is nothing but noise; the last try is for good
        for start, sure, last in (
            (nearer, False, False),
            (first, True, False),
            (nearer, False, True),
        ):
            try:
                found = _settled(
                    equations, weight, start, options, moments, if_scouted=not last, sure=sure
                )
            except InputError as error:
                if last:
                    raise unsettled() from error
            else:
                if found[2] < CLOSE:
                    break
    assert found is not None
    if wanders or not found[2] < CLOSE:
        return found, ()
    problem, resolution, notes = _elsewhere(equations, weight, *found[:2], options, moments)
    return (problem, resolution, found[2]), notes


def _strayed(
    equations: Equations,
    first: Conditioned,
    most: float,
    at: Float[np.ndarray, "period K"],
    found: Conditioned,
) -> bool:
    """Whether a search is further from its beginning than it may be."""
    change = at - first.mean
    return _in_spreads(equations.energy, equations.snapshots, change, found.joint_inverse()) > most


def _trading(equations: Equations) -> bool:
    """Whether there is a β, and what may balance it."""
    return equations.energy.internal and equations.energy.size > 1


def _noise_share(equations: Equations, weight: np.ndarray) -> float:
    """How much of the trapezoid's information on a β that other terms balance is noise, at most."""
    shares, (block,) = [], _plain(equations, weight).blocks
    gram = block.gram
    for period, balance in enumerate(balances(gram, equations.energy.size)):
        theta = np.zeros((max(equations.period_of) + 1, len(balance)))
        theta[period] = balance
        noise = np.sum(weight * equations.slope_covariance(theta))
        shares.append(float(noise / (theta.ravel() @ gram @ theta.ravel())))
    return max(shares)


def _plain(equations: Equations, weight: np.ndarray) -> LinearProblem:
    """Trapezoidal in time, which no energy is needed to know."""
    nowhere = np.zeros((max(equations.period_of) + 1, equations.energy.size))
    return _problem(equations, equations.weak(nowhere), weight)


def _settled(
    equations: Equations,
    weight: np.ndarray,
    start: Conditioned,
    options: InferenceOptions,
    moments: MomentOptions,
    opening: Resolution | None = None,
    *,
    if_scouted: bool = False,
    strayed: _IfStrayed | None = None,
    sure: bool = False,
) -> _Found:
    """The equations at their own solution, on paths as fine as they must be; its last move.

    Simulated paths are followed on few copies first, and on these alone, if that is asked for,
    where they lead nowhere; in all directions, or only where they `surely` lead.
    """
    current, trusting = start, _TRUSTING
    resolution = opening or _resolution(equations, current.mean, weight, moments, None)
    if moments.form == "flow":
        for _ in range(_REFINEMENTS):
            problem, moved = _scouted(
                equations, weight, current, options, moments, resolution, sure=sure
            )
            if not moved < CLOSE:
                break
            current, trusting = conditioned_problem(problem, options), 0
            before = resolution
            resolution = _resolution(equations, current.mean, weight, moments, before)
            if resolution.steps == before.steps:
                break
        if if_scouted and not moved < CLOSE:
            return problem, resolution, moved
    for _ in range(_REFINEMENTS):
        better = _form(equations, moments, resolution)
        problem, moved = _solve(
            equations, better, weight, current, options, moments.rounds, trusting,
            strayed=strayed, sure=sure,
        )  # fmt: skip
        current = conditioned_problem(problem, options)
        before = resolution
        resolution = _resolution(equations, current.mean, weight, moments, before)
        if resolution.as_fine_as(before):
            break
    return problem, resolution, moved


def _scouted(
    equations: Equations,
    weight: np.ndarray,
    start: Conditioned,
    options: InferenceOptions,
    moments: MomentOptions,
    resolution: Resolution,
    *,
    sure: bool = False,
) -> tuple[LinearProblem, float]:
    """The equations at their own solution on few copies of each path, and its last move."""
    coarse = replace(resolution, copies=min(_SCOUTS, resolution.copies))
    form = _form(equations, moments, coarse)
    return _solve(equations, form, weight, start, options, moments.rounds, sure=sure)


def _elsewhere(
    equations: Equations,
    weight: np.ndarray,
    problem: LinearProblem,
    resolution: Resolution,
    options: InferenceOptions,
    moments: MomentOptions,
) -> tuple[LinearProblem, Resolution, tuple[str, ...]]:
    """The better of this end of the search and of where one from no forces at all ends, if apart.

    The second search is on fewer copies of each path, until it is found to end elsewhere.
    """
    here = conditioned_problem(problem, options)
    nowhere = np.zeros_like(here.mean)
    if equations.energy.internal:
        nowhere[:, -1] = np.maximum(here.mean[:, -1], 0.0)
    start, spread = replace(here, mean=nowhere), here.joint_inverse()

    def away(found: Conditioned) -> float:
        change = found.mean - here.mean
        return _in_spreads(equations.energy, equations.snapshots, change, spread)

    try:
        other, moved = _scouted(equations, weight, start, options, moments, resolution)
        there, finer = conditioned_problem(other, options), resolution
        if moved < CLOSE and away(there) > _APART:
            other, finer, moved = _settled(equations, weight, there, options, moments)
            there = conditioned_problem(other, options)
    except InputError:  # a search that leaves all data behind
        return problem, resolution, ()
    apart = away(there)
    if not (moved < CLOSE and apart > _APART):
        return problem, resolution, ()
    excess, its = _excess(problem, here), _excess(other, there)
    note = (
        "The moment equations have two solutions: a second search, from no forces at all, ended "
        f"{apart:.2g} standard deviations of its forces away. Taken is the one that fits better "
        f"(χ² a degree of freedom {min(excess, its):.3g}, the other's {max(excess, its):.3g}); "
        "the intervals know nothing of the other."
    )
    return (problem, resolution, (note,)) if excess <= its else (other, finer, (note,))


def _excess(problem: LinearProblem, found: Conditioned) -> float:
    """Of the equations left over, over what they should be."""
    assert problem.fit_test is not None
    test = problem.fit_test(found)
    return test.statistic / test.degrees_of_freedom


def _form(equations: Equations, moments: MomentOptions, resolution: Resolution) -> _Linearise:
    forms = {
        "weak": equations.corrected,
        "symmetric": equations.symmetric,
        "flow": equations.flow,
    }
    return partial(forms[moments.form], resolution=resolution)


def _resolution(
    equations: Equations,
    theta: np.ndarray,
    weight: np.ndarray,
    moments: MomentOptions,
    before: Resolution | None,
) -> Resolution:
    """What paths must be made of at θ."""
    intervals = len(equations.period_of)
    tests = len(weight) // intervals
    blocks = weight.reshape(intervals, tests, intervals, tests)
    return refined(
        partial(equations.ends, theta),
        partial(values_of, equations.tests),
        equations.paths,
        equations.snapshots.weights[:-1],
        # of the particles that are simulated: paths need be no finer than these can tell
        [blocks[k, :, k] * equations.shares[k] for k in range(intervals)],
        before,
        steps=moments.steps,
        copies=moments.copies,
        jobs=equations.jobs,
    )


def _solve(
    equations: Equations,
    linearise: _Linearise,
    weight: np.ndarray,
    current: Conditioned,
    options: InferenceOptions,
    rounds: int,
    trusting: int = _TRUSTING,
    *,
    strayed: _IfStrayed | None = None,
    sure: bool = False,
) -> tuple[LinearProblem, float]:
    """Gauss–Newton with step halving on gᵀΣ_W⁻¹g + θᵀRθ, each round under its own prior scale.

    In all directions, or only where the equations `surely` lead.

    Raises:
        UnsettledError: it has strayed.
    """
    at, precision = current.mean, current.precision
    here = linearise(at)

    def posed() -> LinearProblem:
        problem = _problem(equations, here, weight)
        return heard(problem, at, searching=True) if sure else problem

    for number in range(rounds):
        problem = posed()
        if number < trusting:  # far from the solution an evidence is of the linearisation's errors
            solution = condition(problem.blocks, precision, problem.noise)
        else:
            solution = conditioned_problem(problem, options)
            bounds = precision / _FREEDOM, precision * _FREEDOM
            if np.any((solution.precision < bounds[0]) | (solution.precision > bounds[1])):
                precision = np.clip(solution.precision, *bounds)
                solution = condition(problem.blocks, precision, problem.noise)
        precision = solution.precision
        ridge = np.tile(solution.ridge, len(at))

        def objective(found: Linearised, theta: np.ndarray, ridge: np.ndarray = ridge) -> float:
            if not found.bounded:
                return np.inf
            gap = found.observed - found.jacobian @ theta.ravel()
            value = gap @ weight @ gap + theta.ravel() ** 2 @ ridge
            return float(value) if np.isfinite(value) else np.inf

        # Where slope and equations share noise the solution is not where the objective is least,
        # but not further from there than a standard deviation of each coefficient.
        before = objective(here, at)
        aim = min(objective(here, solution.mean), before + at.size)
        before = max(before, aim) + _SLACK * at.size
        share = 1.0
        for _ in range(_HALVINGS):
            proposal = at + share * (solution.mean - at)
            there = linearise(proposal)
            if objective(there, proposal) <= before:
                break
            share *= 0.5
        if objective(there, proposal) == np.inf:  # nor is any part of the step a number
            return posed(), np.inf
        spread = np.sqrt(np.diag(solution.joint_inverse())).reshape(at.shape)
        moved = float(np.sqrt(np.mean(((proposal - at) / spread) ** 2)))
        at, here = proposal, there
        if strayed is not None and strayed(at, solution):
            raise unsettled()
        if moved < CLOSE and number >= trusting:
            break
    return posed(), moved


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
    if time.faint > _MOST_FAINT:
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
    def close(self) -> bool:
        """Whether snapshots are so close to each other that a quadrature leaves little."""
        return self.shift <= _MOST_SHIFT and self.bend <= _MOST_BEND

    @property
    def fine(self) -> bool:
        """Whether the quadrature will do."""
        return self.close and self.faint <= _MOST_FAINT


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
        _in_spreads(energy, snapshots, change.reshape(plain.shape), spread)
        for change in (mixed @ (found.mean - plain).ravel(), mixed @ moved, *either)
    )
    faint = 0.0 if problem.faint is None else problem.faint()
    return Discretisation(shift, float(np.sqrt(np.mean(np.square(bent)))) / move, faint)


def _in_spreads(
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


def _problem(equations: Equations, found: Linearised, weight: np.ndarray) -> LinearProblem:
    energy, periods = equations.energy, max(equations.period_of) + 1
    if found.crossed is not None and not found.bounded:
        raise unsettled()
    weighted = weight @ found.jacobian
    covariance = equation_covariance(without_leverage(found.sides(), weight))
    gram = found.jacobian.T @ weighted
    moment = weighted.T @ found.observed
    own_noise, crossed = None, found.crossed
    if crossed is not None:
        moment = gram @ found.at + crossed.score
        # a priori a particle diffuses no more than through the population in half of that time
        widest = 1.0 / float(np.sum(equations.snapshots.durations))
        own_noise = OwnNoise(gram, partial(crossed.informing, gram), crossed.bias, widest)
    statistics = Statistics(
        gram=gram,
        moment=moment,
        square=float(found.observed @ weight @ found.observed),
        count=float(len(found.observed)),
    )
    meat = weighted.T @ covariance @ weighted

    def fit_test(
        conditioned: Conditioned, mixed: Float[np.ndarray, "P P"] | None = None
    ) -> GoodnessOfFit:
        jacobian = found.jacobian if mixed is None else found.jacobian @ mixed
        ridge = np.tile(conditioned.ridge, periods)
        if crossed is None:
            inverse = conditioned.joint_inverse()
        else:  # what is left over was lessened by the noise of X as well
            shared = gram if mixed is None else mixed.T @ gram @ mixed
            inverse = np.linalg.inv(shared + np.diag(ridge))
        left = found.observed - jacobian @ conditioned.mean.ravel()
        return goodness_of_fit(left, weight, jacobian, inverse, covariance, ridge)

    return LinearProblem(
        energy,
        (statistics,),
        periods,
        1.0,
        lambda _: meat,
        fit_test,
        beta_prior="half-normal",
        own_noise=own_noise,
    )
