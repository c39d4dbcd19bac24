"""Energies that wander: θ_k − θ_{k−1} ~ N(0, q²Δ_k Λ⁻¹), q by evidence.

Δ_k is the time between the middles of two intervals in mean intervals, so that equal sampling gives
N(0, q²Λ⁻¹). In the coordinates u with θ_k = u_0 + q Σ_{i≤k} √Δ_i u_i the prior is N(0, Λ⁻¹) of each
u_i by itself, as that of a piecewise energy: whatever conditions a problem on one conditions it on
the other. q → 0 leaves one energy for all times, q → ∞ an energy for each interval. β does not
wander: a single interval cannot tell it from the potential.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Float
from scipy.linalg import block_diag, cho_factor, cho_solve
from scipy.optimize import minimize_scalar

from bayesjko.inference.calibration import calibrated_ridge
from bayesjko.inference.conjugate import WIDENING, chain_of, conditioned_problem, without_own_noise
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.posterior import Posterior
from bayesjko.inference.problem import CLOSE, LinearProblem, Remade, Walk, at_rest
from bayesjko.inference.smoothing import Chain
from bayesjko.inference.tridiagonal import BlockTridiagonal
from bayesjko.models.data import middles
from bayesjko.models.energies import LinearEnergy
from bayesjko.models.likelihoods.residual import Statistics

__all__ = [
    "mixing",
    "step_variances",
    "unmixed",
    "walk_scale",
    "walked",
    "wander",
    "wandering",
]

_SLOWEST, _FASTEST = np.log(1e-4), np.log(30.0)
_SEARCH = 14  # values of log q from which the search starts
_STILL = 1e-5  # steps of β, whose prior is vague: nothing, but no equation of zeros either
_ROUNDS, _SHRINKING = 16, 0.7  # of a problem that is linearised; what a step must be of the last
_SCALES, _SAME = 3, 0.2  # how often q is found again, unless its logarithm moves by less
_JITTER = 1e-10  # relative: features that say the same make a covariance singular


def mixing(
    energy: LinearEnergy,
    times: Float[np.ndarray, " T"],
    scale: float,
    level: float = 1.0,
) -> Float[np.ndarray, "P P"]:
    """The matrix from u to θ, all periods together.

    Args:
        energy: whose coefficients wander.
        times: of the snapshots, in mean intervals.
        scale: q.
        level: by how much the prior of where the walk begins is wider than what q refers to.
    """
    root = np.sqrt(step_variances(energy, times, scale, level))
    return np.kron(np.tril(np.ones((len(root),) * 2)), np.eye(energy.size)) * root.ravel()


def step_variances(
    energy: LinearEnergy, times: Float[np.ndarray, " T"], scale: float, level: float = 1.0
) -> Float[np.ndarray, "period K"]:
    """Of the first θ and of each step, relative to the prior's; arguments as of `mixing`."""
    steps = np.diff(middles(times))
    found = np.tile(np.r_[level**2, scale**2 * steps][:, None], energy.size)
    where = energy.slices.get("internal")
    if where is not None:
        found[:, where] = np.r_[1.0, np.full(len(steps), _STILL**2)][:, None]
    return found


def wandering(
    problem: LinearProblem, times: Float[np.ndarray, " T"], options: InferenceOptions
) -> LinearProblem:
    """A problem with an energy for each interval, as one of an energy that wanders.

    Args:
        problem: piecewise.
        times: of the snapshots, in mean intervals.
        options: of the inference: q is the most probable one under the evidence that they choose.
    """
    # where a prior is widened, here it is that of the beginning and not of the steps
    widened = options.covariance != "model" and options.prior_scale is None
    level = WIDENING if widened else 1.0
    scale = walk_scale(problem, times, options)
    if problem.linearised_at is None:
        tied = _tied(problem, times, scale, level)
        if _block_tridiagonal(problem, options) is None or tied.walk is None:
            return tied
        wide, narrow = (step_variances(problem.energy, times, scale, x) for x in (level, 1.0))
        return replace(tied, walk=replace(tied.walk, apart=problem, variances=(narrow, wide)))
    for _ in range(_SCALES):
        problem, moved = _near(problem, times, scale, level, options)
        before, scale = scale, walk_scale(problem, times, options)
        if abs(np.log(scale / before)) < _SAME:
            break
    return at_rest(without_own_noise(_tied(problem, times, scale, level), options), moved)


def _tied(
    problem: LinearProblem, times: Float[np.ndarray, " T"], scale: float, level: float
) -> LinearProblem:
    narrow = walked(problem, mixing(problem.energy, times, scale), scale)
    plain = None if problem.plain is None else _tied(problem.plain, times, scale, level)
    if level == 1.0:
        return replace(narrow, plain=plain)
    wide = walked(problem, mixing(problem.energy, times, scale, level), scale, narrow)
    return replace(wide, plain=plain)


def _near(
    problem: LinearProblem,
    times: Float[np.ndarray, " T"],
    scale: float,
    level: float,
    options: InferenceOptions,
) -> tuple[LinearProblem, float]:
    """The problem near its own solution under the walk's prior, by Gauss–Newton's method.

    Steps that would not shrink are halved. With it the last step, a root mean square in posterior
    standard deviations.
    """
    assert problem.linearised_at is not None
    here, at, moved, share = replace(problem, plain=None), None, np.inf, 1.0
    mixed = mixing(problem.energy, times, scale, level)
    for _ in range(_ROUNDS):
        found = conditioned_problem(_tied(here, times, scale, level), options)
        if at is None:
            at = found.mean
        else:
            spread = np.sqrt(np.diag(found.joint_inverse())).reshape(at.shape)
            before, moved = moved, float(np.sqrt(np.mean(((found.mean - at) / spread) ** 2)))
            if moved < CLOSE:
                break
            share = 0.5 * share if moved > _SHRINKING * before else share
            at = at + share * (found.mean - at)
        here = problem.linearised_at((mixed @ at.ravel()).reshape(at.shape))
    here = replace(
        here, linearised_at=problem.linearised_at, plain=problem.plain, notes=problem.notes
    )
    return here, moved


def walked(
    problem: LinearProblem,
    mixed: Float[np.ndarray, "P P"],
    scale: float = 1.0,
    narrow: LinearProblem | None = None,
) -> LinearProblem:
    """A problem with an energy for each interval, as one of u: periods are u's then."""
    shape = (problem.periods, problem.energy.size)

    def meat(u: Float[np.ndarray, "period K"]) -> Float[np.ndarray, "P P"]:
        return np.asarray(mixed.T @ problem.meat((mixed @ u.ravel()).reshape(shape)) @ mixed)

    again, test = problem.reweighted, problem.fit_test
    return replace(
        problem,
        blocks=_together(problem.blocks, mixed),
        meat=meat,
        fit_test=None if test is None else partial(test, mixed=mixed),
        plain=None,
        bending=None,
        reweighted=None if again is None else Remade(again, partial(_together, mixed=mixed)),
        walk=Walk(mixed, scale, narrow),
    )


def _together(
    blocks: Sequence[Statistics], mixed: Float[np.ndarray, "P P"]
) -> tuple[Statistics, ...]:
    gram = block_diag(*(block.gram for block in blocks))
    moment = np.concatenate([block.moment for block in blocks])
    square, count = sum(b.square for b in blocks), sum(b.count for b in blocks)
    return (Statistics(mixed.T @ gram @ mixed, mixed.T @ moment, square, count),)


def walk_scale(
    problem: LinearProblem, times: Float[np.ndarray, " T"], options: InferenceOptions
) -> float:
    """The most probable q, the prior's scales being the most probable ones at each.

    Under `model` by the likelihood's own evidence; else by that of the estimating function,
    b ~ N(0, M + A C A) with C the prior covariance of all periods together and M counted per
    particle at the estimate for an energy that does not change.
    """
    if problem.periods < 2:
        return 0.0
    energy = problem.energy
    grid = np.linspace(_SLOWEST, _FASTEST, _SEARCH)
    apart = _block_tridiagonal(problem, options)
    if apart is not None:
        chain, influence = apart

        def at(log: float) -> Float[np.ndarray, "period K"]:
            return step_variances(energy, times, float(np.exp(log)))

        return chain.most_probable(influence, at, grid)[0]

    def negative(log: float) -> float:
        mixed = mixing(energy, times, float(np.exp(log)))
        if options.covariance == "model":
            return -conditioned_problem(walked(problem, mixed), options).log_evidence
        return _surprise(problem, mixed, options, meat)

    static = mixing(energy, times, float(np.exp(_SLOWEST)))
    first = conditioned_problem(walked(problem, static), options)
    here = (static @ first.mean.ravel()).reshape(first.mean.shape)
    meat = problem.meat(here) if options.covariance != "model" else np.zeros((0, 0))
    values = [negative(log) for log in grid]
    best = int(np.argmin(values))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(negative, bounds=(low, high), method="bounded", options={"xatol": 0.1})
    return float(np.exp(found.x if found.fun <= values[best] else grid[best]))


def _block_tridiagonal(
    problem: LinearProblem, options: InferenceOptions
) -> tuple[Chain, BlockTridiagonal] | None:
    """What q is asked of where intervals speak for themselves: couplings, of fresh particles."""
    if len(problem.blocks) != problem.periods or options.covariance == "model":
        return None
    size = problem.energy.size
    together = sum(problem.blocks[1:], problem.blocks[0])
    static = replace(problem, blocks=(together,), periods=1)
    chain, found = chain_of(static, options)
    meat = problem.meat(np.tile(found.mean, (problem.periods, 1)))
    cut = BlockTridiagonal.cut(meat, size)
    if np.count_nonzero(meat) > np.count_nonzero(cut.diagonal) + 2 * np.count_nonzero(cut.below):
        return None  # particles that were followed through all intervals
    return replace(chain, blocks=problem.blocks), cut


def unmixed(posterior: Posterior, problem: LinearProblem) -> Posterior:
    """The posterior of θ from that of u, with what it takes to go on wandering.

    A problem that does not wander leaves it as it is.
    """
    if problem.walk is None:
        return posterior
    mixed, scale = problem.walk.mixed, problem.walk.scale
    shape = posterior.coefficients.shape
    draws = posterior.coefficients.reshape(-1, shape[2] * shape[3]) @ mixed.T
    precision = posterior.prior_precision
    rate = None
    if precision is not None:
        rate = scale**2 / precision
        where = problem.energy.slices.get("internal")
        if where is not None:
            rate[where] = 0.0
    periods = draws.reshape(-1, *shape[2:])
    covariance = None
    closed = posterior.covariance is not None or problem.walk.apart is not None
    if closed and len(draws) > 1:
        covariance = np.stack([np.atleast_2d(np.cov(each.T)) for each in periods.swapaxes(0, 1)])
    note = (
        "The energy wanders: in a mean sampling interval its coefficients change by "
        f"{scale:.2g} of their prior's scale, the most probable figure, and so they go on between "
        "and beyond the snapshots."
    )
    return replace(
        posterior,
        coefficients=draws.reshape(shape),
        mean=(mixed @ posterior.mean.ravel()).reshape(shape[2:]),
        covariance=covariance,
        walk=rate,
        notes=(*posterior.notes, note),
    )


def wander(
    draws: Float[np.ndarray, "draw period K"],
    rate: Float[np.ndarray, " K"],
    knots: Float[np.ndarray, " period"],
    times: Float[np.ndarray, " time"],
    *,
    certain: int = 0,
    seed: int = 0,
) -> Float[np.ndarray, "draw time K"]:
    """Each draw's path at these times: a Brownian bridge between knots, a free walk beyond.

    Args:
        draws: θ at the knots.
        rate: variance that θ gains in a unit of time.
        knots: when, increasing.
        times: increasing too.
        certain: how many of the first draws follow the mean of their path.
        seed: of the paths; the same one moves with the times asked for without jumps.
    """
    shocks = np.random.default_rng(seed).normal(size=(len(draws), len(times), draws.shape[2]))
    shocks[:certain] = 0.0
    known: list[tuple[float, np.ndarray]] = [
        (float(knot), draws[:, k]) for k, knot in enumerate(knots)
    ]
    found: dict[int, np.ndarray] = {}
    early = [i for i, t in enumerate(times) if t < knots[0]]
    # outwards from the first knot, then forwards from it
    for i in [*reversed(early), *range(len(early), len(times))]:
        t = float(times[i])
        before = max((pair for pair in known if pair[0] <= t), key=_when, default=None)
        after = min((pair for pair in known if pair[0] > t), key=_when, default=None)
        if before is not None and after is not None:
            span = after[0] - before[0]
            share = (t - before[0]) / span
            value = (1.0 - share) * before[1] + share * after[1]
            variance = span * share * (1.0 - share)
        else:
            nearest = before or after
            assert nearest is not None
            value, variance = nearest[1], abs(t - nearest[0])
        found[i] = value + np.sqrt(variance * rate) * shocks[:, i]
        known.append((t, found[i]))
    return np.stack([found[i] for i in range(len(times))], axis=1)


def _when(pair: tuple[float, np.ndarray]) -> float:
    return pair[0]


def _surprise(
    problem: LinearProblem,
    mixed: np.ndarray,
    options: InferenceOptions,
    meat: Float[np.ndarray, "P P"],
) -> float:
    """−log N(b; 0, M + A C A) at the most probable scales of the prior."""
    size = problem.energy.size
    gram = block_diag(*(block.gram for block in problem.blocks))
    moment = np.concatenate([block.moment for block in problem.blocks])
    terms = [where for term, where in problem.energy.slices.items() if term != "internal"]
    changed = mixed.T @ gram @ mixed
    typical = np.mean(np.diag(gram).reshape(-1, size), axis=0)
    precision = np.full(size, 1e-6 * np.median(typical))
    if options.prior_scale is not None:
        precision[:] = options.prior_scale**-2
    elif terms:
        precision = calibrated_ridge(
            changed, mixed.T @ moment, mixed.T @ meat @ mixed, size, terms, precision
        )
    half = gram @ mixed / np.sqrt(np.tile(precision, problem.periods))
    covariance = meat + half @ half.T
    unit = 1.0 / np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    scaled = unit[:, None] * covariance * unit + _JITTER * np.eye(len(unit))
    factor = cho_factor(scaled, lower=True)
    b = unit * moment
    return float(np.sum(np.log(np.diag(factor[0]) / unit)) + 0.5 * b @ cho_solve(factor, b))
