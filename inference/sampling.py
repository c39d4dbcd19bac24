"""From a problem to a posterior by Markov chains, whichever their kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float
from scipy.linalg import block_diag

from bayesjko.inference.chains import Kernel, run_chains
from bayesjko.inference.conditioning import Conditioned, draw_conditioned
from bayesjko.inference.conjugate import conditioned_problem
from bayesjko.inference.identifiability import marginal_information
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.posterior import Posterior
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.running import Run
from bayesjko.inference.target import Target, linear_program, sites_of, target_of
from bayesjko.models.precision import double

__all__ = ["posterior_of_sites", "sample_problem"]

_SCALARS = ("standard", "coefficients", "noise")  # sites that a posterior holds by other names


def sample_problem(
    method: str,
    kernel: Callable[[Target, InferenceOptions], Kernel],
    problem: LinearProblem,
    options: InferenceOptions,
    run: Run,
) -> Posterior:
    """Markov chains on a linear energy's coefficients."""
    found = conditioned_problem(problem, options)
    with double():
        target = target_of(linear_program(problem, options, found))
        chains = run_chains(
            target,
            kernel(target, options),
            chains=options.chains,
            draws=-(-options.draws // options.chains),
            seed=options.seed,
            run=run,
        )
        sites = sites_of(target, chains.positions)
    notes: tuple[str, ...] = ()
    if not chains.complete:
        kept = chains.positions.shape[0] * chains.positions.shape[1]
        notes = (
            f"Interrupted: {kept} of {options.draws} draws are kept (--resume goes on with them).",
        )
    return posterior_of_sites(
        method,
        problem,
        options,
        found,
        sites,
        chains.stats,
        notes=notes,
        complete=chains.complete,
    )


def posterior_of_sites(
    method: str,
    problem: LinearProblem,
    options: InferenceOptions,
    found: Conditioned,
    sites: Mapping[str, np.ndarray],
    stats: Mapping[str, np.ndarray],
    *,
    notes: tuple[str, ...] = (),
    complete: bool = True,
) -> Posterior:
    """The posterior that draws of the program's sites stand for."""
    coefficients = sites["coefficients"]
    gram = block_diag(*(block.gram for block in problem.blocks))
    sandwiched = options.covariance == "sandwich"
    meat = problem.meat(found.mean) if sandwiched else found.noise * gram
    hyper = {
        name: values
        for name, values in sites.items()
        if values.ndim == 2 and not name.startswith(_SCALARS)
    }
    return Posterior(
        coefficients=coefficients,
        mean=coefficients.mean(axis=(0, 1)),
        covariance=None,
        noise=_noise(problem, options, found, sites["noise"]),
        log_evidence=None,
        method=method,
        uncertainty=options.covariance,
        prior_precision=found.precision,
        information=marginal_information(gram, meat, found.precision),
        goodness_of_fit=None if problem.fit_test is None else problem.fit_test(found),
        notes=(*problem.notes, *notes),
        complete=complete,
        sample_stats={**stats, **hyper},
    )


def _noise(
    problem: LinearProblem,
    options: InferenceOptions,
    found: Conditioned,
    sampled: Float[np.ndarray, "chain draw"],
) -> Float[np.ndarray, "chain draw"] | None:
    """Draws of s²; where θ's likelihood knows of none, those of the conjugate posterior."""
    if problem.noise == 1.0:
        return None
    if options.covariance == "model":
        return sampled
    _, noise = draw_conditioned(found, None, sampled.size, options.seed)
    return np.resize(noise.ravel(), sampled.shape)
