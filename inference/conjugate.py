"""The closed-form posterior of a linear energy, with the covariance that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Float
from scipy.linalg import block_diag

from bayesjko.inference.calibration import calibrated_ridge, sandwich
from bayesjko.inference.conditioning import (
    Conditioned,
    condition,
    draw_conditioned,
    draw_noise,
    maximise_evidence,
)
from bayesjko.inference.identifiability import marginal_information
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.positivity import keep_positive
from bayesjko.inference.posterior import CHAINS, Posterior
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.running import Run
from bayesjko.inference.smoothing import Chain, smoothed
from bayesjko.inference.tridiagonal import BlockTridiagonal
from bayesjko.models.beta import POWERS

__all__ = [
    "WIDENING",
    "balances",
    "chain_of",
    "conditioned_problem",
    "heard",
    "infer",
    "without_own_noise",
]

WIDENING = 5.0
"""Of the prior's scale over the most probable one; experiments/calibration counts what it does."""

_LIGHT = 1e-7  # ridge to start from, relative to the features' own information
_FAINT = 1e-9  # ridge at the least, likewise
_SMOOTH = 1e-3  # likewise, of the potential that balances β
_FAINTLY = 0.1  # of what an estimating function seems to say, below which it says nothing
_VAGUE = 1e-6  # of β, whose scale no evidence of a single coefficient can set
_CALIBRATIONS = 3  # of the prior at the covariance found under the prior before
_ROUNDS = 50  # of the fixed point between s² and a ridge given in the prior's own units


def infer(problem: LinearProblem, options: InferenceOptions, run: Run | None = None) -> Posterior:
    """Condition a linear energy on its statistics; done before a run could be kept or watched.

    Raises:
        ValueError: the prior is too weak for features this collinear.
    """
    if problem.walk is not None and problem.walk.apart is not None:
        return _infer_walk(problem, problem.walk.apart, options)
    found = conditioned_problem(problem, options)
    periods, size = found.mean.shape
    gram = block_diag(*(block.gram for block in problem.blocks))
    if options.covariance == "sandwich":
        meat = problem.meat(found.mean)
        joint = sandwich(found, meat)
        coefficients, noise = draw_conditioned(found, joint, options.draws, options.seed)
        notes: tuple[str, ...] = problem.notes
    else:
        meat = found.noise * gram
        joint = found.noise * found.joint_inverse()
        coefficients, noise = draw_conditioned(found, None, options.draws, options.seed)
        notes = (
            *problem.notes,
            "The intervals are too narrow: they treat couplings as independent observations, "
            "though each is made of both snapshots at once (use covariance=sandwich).",
        )
    mean = found.mean
    if problem.energy.internal and problem.beta_prior != "normal":
        last = mean.size if problem.walk is None else size  # β is that of the walk's beginning
        betas = np.arange(problem.energy.slices["internal"].start, last, size)
        flat, joint, moved = keep_positive(
            mean.ravel(),
            joint,
            coefficients.reshape(*noise.shape, -1),
            betas,
            options.seed,
            power=POWERS[problem.beta_prior],
        )
        mean, coefficients = flat.reshape(mean.shape), moved.reshape(coefficients.shape)
    return Posterior(
        coefficients=coefficients,
        mean=mean,
        covariance=np.stack(
            [joint[p * size : (p + 1) * size, p * size : (p + 1) * size] for p in range(periods)]
        ),
        noise=noise if problem.noise != 1.0 else None,
        log_evidence=found.log_evidence,
        method="conjugate",
        uncertainty=options.covariance,
        prior_precision=found.precision,
        information=marginal_information(gram, meat, found.precision),
        goodness_of_fit=None if problem.fit_test is None else problem.fit_test(found),
        notes=notes,
    )


def conditioned_problem(problem: LinearProblem, options: InferenceOptions) -> Conditioned:
    """The problem conditioned under the prior of the options.

    Without a scale given, each term's is found by evidence: the likelihood's own for the model's
    covariance; for the sandwich the evidence of the estimating function, then widened, since a
    prior as narrow as the typical coefficient hides what it smooths away from the intervals.
    """
    if problem.walk is not None and problem.walk.narrow is not None:
        found = conditioned_problem(problem.walk.narrow, options)
        return condition(problem.blocks, found.ridge, problem.noise)
    if problem.ridge is not None:
        return condition(problem.blocks, problem.ridge, problem.noise)
    if options.prior_scale is None:
        return _by_evidence(problem, options)
    variance = 1.0
    for _ in range(_ROUNDS):
        ridge = np.full(problem.energy.size, variance / options.prior_scale**2)
        found = condition(problem.blocks, ridge, problem.noise)
        if np.isclose(found.noise, variance, rtol=1e-10, atol=0.0):
            break
        variance = found.noise
    return found


def heard(
    problem: LinearProblem, at: Float[np.ndarray, "period K"], *, searching: bool = False
) -> LinearProblem:
    """A problem less what its estimating function says in directions in which that is only noise.

    Args:
        problem: with an own noise, in θ.
        at: near the solution.
        searching: for it still, where more is doubted.
    """
    assert problem.own_noise is not None
    mixed = np.eye(at.size) if problem.walk is None else problem.walk.mixed
    (block,) = problem.blocks
    gram, kept = problem.own_noise.informing(searching=searching)
    gram, kept = mixed.T @ gram @ mixed, np.linalg.solve(mixed, kept.T @ mixed).T
    moment = kept @ (block.moment - block.gram @ at.ravel()) + gram @ at.ravel()
    return replace(
        problem,
        blocks=(replace(block, gram=gram, moment=moment),),
        meat=lambda theta: kept @ problem.meat(theta) @ kept.T,
        bending=None if problem.bending is None else partial(problem.bending, kept=kept),
    )


def without_own_noise(problem: LinearProblem, options: InferenceOptions) -> LinearProblem:
    """A problem solved, less what the noise of its estimating function does to it."""
    own = problem.own_noise
    if own is None:
        return problem
    found = conditioned_problem(problem, options)
    clear = heard(problem, found.mean)
    ridge, lost = found.ridge.copy(), _lost(clear, own.shared)
    if options.prior_scale is None and problem.ridge is None:
        if lost:
            ridge[-1] = max(ridge[-1], found.noise * own.beta_scale**-2)
        ridge = _holding(clear, own.shared, found.mean, ridge)
    (block,) = clear.blocks
    inverse = condition((block,), ridge, problem.noise).joint_inverse()
    mixed = np.eye(found.mean.size) if problem.walk is None else problem.walk.mixed
    bias = np.linalg.solve(mixed, own.bias(mixed @ inverse @ mixed.T, own.informing()[1]))
    moment = block.moment - block.gram @ bias - np.tile(ridge, found.mean.shape[0]) * bias
    notes = problem.notes
    if lost:
        notes = (
            *notes,
            "Nothing tells β from the terms that balance it: what the data seem to say of both is "
            "noise, and what the posterior says is the prior (flat in β^¼, up to a particle that "
            "diffuses through the population in half the time of all snapshots together).",
        )
    block = replace(block, moment=moment)
    return replace(
        clear,
        blocks=(block,),
        own_noise=None,
        ridge=ridge,
        notes=notes,
        beta_prior="vague" if lost else clear.beta_prior,
    )


def _lost(clear: LinearProblem, shared: Float[np.ndarray, "P P"]) -> bool:
    """Whether a good part of what a problem seems to know of some β is not heard."""
    size = clear.energy.size
    if not clear.energy.internal or size == 1 or clear.walk is not None:
        return False
    left = clear.blocks[0].gram + _FAINTLY**2 * shared
    before, after = (np.diag(np.linalg.inv(g))[size - 1 :: size] for g in (shared, left))
    return bool(np.any(before < _FAINTLY * after))


def _by_evidence(problem: LinearProblem, options: InferenceOptions) -> Conditioned:
    size = problem.energy.size
    slices = problem.energy.slices
    internal = slices.pop("internal", None)
    terms = list(slices.values())
    weak = [] if internal is None else [internal.start]
    if options.covariance == "model":
        return maximise_evidence(problem.blocks, size, terms, problem.noise, weak=weak)
    gram = block_diag(*(block.gram for block in problem.blocks))
    moment = np.concatenate([block.moment for block in problem.blocks])
    typical = np.mean(np.diag(gram).reshape(-1, size), axis=0)
    found = condition(problem.blocks, _light(typical, weak), problem.noise)
    for _ in range(_CALIBRATIONS if terms else 0):
        precision = calibrated_ridge(
            gram, moment, problem.meat(found.mean), size, terms, found.precision
        )
        for term in terms:
            if problem.walk is None:  # whose own prior is wide where it should be
                precision[term] /= WIDENING**2
            # never so wide that features which say the same cannot be told apart in float64
            least = _FAINT * np.max(typical[term]) / found.noise
            precision[term] = np.maximum(precision[term], least)
        found = condition(problem.blocks, found.noise * precision, problem.noise)
    # With own noise, once that is known. Of several periods β is never told, and the fit says so.
    # Of terms that trade with each other too it is not told before these are told apart, and there
    # no prior need have room for any β.
    if problem.own_noise is not None or problem.periods > 1 or len(terms) > 1:
        return found
    ridge = _holding(problem, gram, found.mean, found.ridge)
    if np.array_equal(ridge, found.ridge):
        return found
    return condition(problem.blocks, ridge, problem.noise)


def _light(typical: np.ndarray, weak: Sequence[int]) -> np.ndarray:
    """Hardly any ridge, and of those that have no scale of their own (β) as good as none."""
    ridge = np.full(len(typical), _LIGHT * np.median(typical))
    ridge[weak] = _VAGUE * np.maximum(typical[weak], _VAGUE * np.median(typical))
    return ridge


def _holding(
    problem: LinearProblem,
    shared: Float[np.ndarray, "P P"],
    at: Float[np.ndarray, "period K"],
    ridge: Float[np.ndarray, " K"],
) -> Float[np.ndarray, " K"]:
    """A ridge under which the other terms may balance any β that the data do not rule out.

    Of a population at rest all forces are small but those that hold it together against its own
    diffusion: a scale learned from the others would rule these out, and β with them.

    Args:
        problem: whose slope does not count noise as information.
        shared: a slope that may, in which the balance is to be seen.
        at: near the solution.
        ridge: by evidence.
    """
    slices, size = problem.energy.slices, problem.energy.size
    internal = slices.pop("internal", None)
    if internal is None or not slices or problem.walk is not None:
        return ridge
    beta = internal.start
    typical = np.mean(np.diag(shared).reshape(-1, size), axis=0)
    light = _light(typical, [beta])
    light[beta] = ridge[beta]
    alone = condition(problem.blocks, light, problem.noise)
    spread = np.sqrt(np.diag(sandwich(alone, problem.meat(at))))
    ridge = ridge.copy()
    for p, balance in enumerate(balances(shared, size)):
        most = max(alone.mean[p, beta], 0.0) + 2.0 * spread[p * size + beta]
        for term in slices.values():
            held = float(np.sum((most * balance[term]) ** 2))
            ridge[term] = np.minimum(ridge[term], alone.noise / max(held, np.finfo(float).tiny))
    return ridge


def balances(gram: Float[np.ndarray, "S S"], size: int) -> Float[np.ndarray, "period K"]:
    """β = 1 and the other coefficients that make the least of it, in each period.

    Args:
        gram: a slope of all periods together, whose last coefficient of each is β.
        size: number of coefficients of one period.
    """
    found = np.ones((len(gram) // size, size))
    smooth = _SMOOTH * np.median(np.diag(gram).reshape(-1, size)[:, :-1]) * np.eye(size - 1)
    for balance, first in zip(found, range(0, len(gram), size), strict=True):
        own = gram[first : first + size, first : first + size]
        balance[:-1] = -np.linalg.solve(own[:-1, :-1] + smooth, own[:-1, -1])
    return found


def chain_of(problem: LinearProblem, options: InferenceOptions) -> tuple[Chain, Conditioned]:
    """What the prior of a walk is asked of, and an estimate under hardly any prior.

    Args:
        problem: of one θ for all intervals.
        options: of the inference.
    """
    size, slices = problem.energy.size, problem.energy.slices
    internal = slices.pop("internal", None)
    typical = np.diag(problem.blocks[0].gram)
    weak = [] if internal is None else [internal.start]
    found = condition(problem.blocks, _light(typical, weak), problem.noise)
    if options.prior_scale is not None:
        return Chain(problem.blocks, (), np.full(size, options.prior_scale**-2)), found
    return Chain(problem.blocks, tuple(slices.values()), found.precision), found


def _infer_walk(
    problem: LinearProblem, apart: LinearProblem, options: InferenceOptions
) -> Posterior:
    """The posterior of u, by passes over the intervals in θ."""
    assert problem.walk is not None
    narrow, wide = problem.walk.variances
    together = sum(apart.blocks[1:], apart.blocks[0])
    chain, first = chain_of(replace(apart, blocks=(together,), periods=1), options)
    chain = replace(chain, blocks=apart.blocks)
    typical = np.diag(together.gram) / len(apart.blocks)
    mean, noise, precision = np.tile(first.mean, (len(wide), 1)), first.noise, chain.base
    for _ in range(_CALIBRATIONS if chain.terms else _ROUNDS):
        meat = BlockTridiagonal.cut(apart.meat(mean), apart.energy.size)
        if chain.terms:
            precision = chain.most_probable(meat, lambda _: narrow, np.zeros(1))[1]
            for term in chain.terms:
                least = _FAINT * np.max(typical[term]) / noise
                precision[term] = np.maximum(precision[term], least)
        found = smoothed(apart.blocks, noise * precision, wide, apart.noise)
        settled = not chain.terms and np.isclose(found.noise, noise, rtol=1e-10, atol=0.0)
        mean, noise = found.mean, found.noise
        if settled:
            break
    joint = apart.meat(mean)
    rng = np.random.default_rng(options.seed)
    layout = (CHAINS, -(-options.draws // CHAINS))
    spread = draw_noise(found.noise, found.shape, layout, rng)
    white = rng.normal(size=(*mean.shape, spread.size))
    errors = found.errors(BlockTridiagonal.cut(joint, apart.energy.size), white)
    draws = (mean + np.moveaxis(errors, 2, 0)).reshape(*layout, *mean.shape)

    def steps(theta: np.ndarray) -> np.ndarray:
        return np.asarray(np.diff(theta, axis=-2, prepend=0.0) / np.sqrt(wide))

    mixed = problem.walk.mixed
    return Posterior(
        coefficients=steps(draws),
        mean=steps(mean),
        covariance=None,
        noise=spread if problem.noise != 1.0 else None,
        log_evidence=found.log_evidence,
        method="conjugate",
        uncertainty=options.covariance,
        prior_precision=precision,
        information=marginal_information(
            problem.blocks[0].gram, mixed.T @ joint @ mixed, precision
        ),
        notes=problem.notes,
    )
