"""The closed-form posterior of a linear energy, with the covariance that was asked for."""

from __future__ import annotations

import numpy as np
from scipy.linalg import block_diag

from bayesjko.inference.calibration import calibrated_ridge, sandwich
from bayesjko.inference.conditioning import (
    Conditioned,
    condition,
    draw_conditioned,
    maximise_evidence,
)
from bayesjko.inference.identifiability import marginal_information
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.positivity import keep_positive
from bayesjko.inference.posterior import Posterior
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.running import Run

__all__ = ["WIDENING", "conditioned_problem", "infer"]

WIDENING = 5.0
"""Of the prior's scale over the most probable one; experiments/calibration counts what it does."""

_LIGHT = 1e-7  # ridge to start from, relative to the features' own information
_FAINT = 1e-9  # ridge at the least, likewise
_VAGUE = 1e-6  # of β, whose scale no evidence of a single coefficient can set
_CALIBRATIONS = 3  # of the prior at the covariance found under the prior before
_ROUNDS = 50  # of the fixed point between s² and a ridge given in the prior's own units


def infer(problem: LinearProblem, options: InferenceOptions, run: Run | None = None) -> Posterior:
    """Condition a linear energy on its statistics; done before a run could be kept or watched.

    Raises:
        ValueError: the prior is too weak for features this collinear.
    """
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
    if problem.diffusive:
        betas = np.arange(problem.energy.slices["internal"].start, mean.size, size)
        flat, joint, moved = keep_positive(
            mean.ravel(), joint, coefficients.reshape(*noise.shape, -1), betas, options.seed
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
    ridge = np.full(size, _LIGHT * np.median(typical))
    ridge[weak] = _VAGUE * np.maximum(typical[weak], _VAGUE * np.median(typical))
    found = condition(problem.blocks, ridge, problem.noise)
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
    return found
