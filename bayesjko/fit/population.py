"""The posterior from a population that memory does not hold."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, replace
from typing import Literal

import numpy as np
from threadpoolctl import threadpool_limits

from bayesjko.diagnostics import diagnose
from bayesjko.fit import RECORDED, inference_options, moment_options, posterior_of, version_of
from bayesjko.inference.discretisation import with_warning
from bayesjko.inference.moments import moment_search, solved
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.residual_parts import residual_problem_in_parts
from bayesjko.inference.running import Run
from bayesjko.inference.whole import Facts, Reduce, Standard, Whole, facts_of
from bayesjko.models.bases import Basis, build_basis
from bayesjko.models.data import Snapshots, Standardisation, check_sizes
from bayesjko.models.energies import LinearEnergy, build_linear_energy, scaling_rows
from bayesjko.models.errors import InputError, SnapshotError
from bayesjko.models.likelihoods.residual import Scheme
from bayesjko.networks import network_widths
from bayesjko.readers.stores import Population
from bayesjko.result import Result
from bayesjko.settings import FitSettings

__all__ = ["fit_population"]

_KEPT = 4096  # particles of each snapshot that the result keeps


def fit_population(
    population: Population, settings: FitSettings, reduce: Reduce, *, progress: bool = False
) -> Result:
    """As `fit` does in memory, by the weak or the residual likelihood, from sums over parts.

    The result keeps some particles of each snapshot, to start forecasts from.

    Args:
        population: read in parts.
        settings: checked ones; without what needs all particles in one place.
        reduce: who reads and sums.
        progress: show a progress bar on long work.

    Raises:
        InputError: the population or the settings cannot be used so.
    """
    _check(settings)
    facts = [reduce(facts_of, parts) for parts in population.parts]
    _check_facts(population, facts)
    standardisation = _standardisation(population, facts)
    whole = Whole(
        population.times / standardisation.duration,
        population.features,
        tuple(
            tuple(Standard(part, standardisation, fact.spread.weight) for part in parts)
            for parts, fact in zip(population.parts, facts, strict=True)
        ),
        population.sizes,
        np.array([fact.effective_size for fact in facts]),
        reduce,
    )
    energy = _energy(whole, settings)
    options = inference_options(settings)
    kept = whole.thinned(_KEPT)
    with threadpool_limits(limits=1, user_api="blas"):
        problem = _problem(energy, whole, kept, settings)
        posterior = posterior_of(problem, settings, options, 1, Run(progress=progress))
    snapshots = replace(
        kept,
        times=population.times,
        particles=tuple(standardisation.restore(cloud) for cloud in kept.particles),
        notes=(*population.notes, *_notes(whole, kept)),
        truth=population.truth,
    )
    provenance = {
        "data_hash": _digest(population, facts),
        "seed": settings.seed,
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in RECORDED},
    }
    result = Result(
        energy,
        standardisation,
        snapshots,
        posterior,
        {**asdict(settings), "likelihood": _likelihood(settings), "scheme": _scheme(settings)},
        provenance,
    )
    return replace(result, diagnostics=diagnose(result))


def _likelihood(settings: FitSettings) -> Literal["residual", "weak"]:
    """Weak unless couplings are asked for: `auto` knows no size beyond which moments are slow."""
    return "residual" if settings.likelihood == "residual" else "weak"


def _scheme(settings: FitSettings) -> Scheme:
    return "midpoint" if settings.scheme == "auto" else settings.scheme


def _problem(
    energy: LinearEnergy, whole: Whole, kept: Snapshots, settings: FitSettings
) -> LinearProblem:
    variation = settings.time_variation
    assert variation in ("static", "piecewise")  # others have been refused
    if _likelihood(settings) == "residual":
        return residual_problem_in_parts(
            energy,
            whole,
            scheme=_scheme(settings),
            time_variation=variation,
            solver=settings.coupling,
            density=settings.density,
            noise=settings.noise,
            seed=settings.seed,
        )
    options, equations = inference_options(settings), moment_options(settings)
    search = moment_search(energy, kept, options, equations, time_variation=variation, whole=whole)
    return with_warning(solved(search), kept, options)


def _digest(population: Population, facts: list[Facts]) -> str:
    """Of the parts' digests, so of the data and of how they are cut."""
    parts = [fact.digests for fact in facts]
    told = [population.times.tolist(), population.features, parts]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _check(settings: FitSettings) -> None:
    refused = {
        "an interaction, which is felt from all particles at once": settings.interaction != "none",
        "held-out particles (score the result with bayesjko.evaluate)": settings.holdout > 0,
        "the bootstrap": settings.covariance == "bootstrap",
        "a network": bool(network_widths(settings)),
        "an energy that wanders": settings.time_variation == "random-walk",
        "the flow likelihood (take weak)": settings.likelihood == "flow",
        "steps as long as an interval (take --scheme midpoint)": _likelihood(settings) == "residual"
        and settings.time_variation == "piecewise"
        and settings.scheme in ("auto", "explicit"),
    }
    for what, asked in refused.items():
        if asked:
            raise InputError(
                f"A population in parts cannot be fitted with {what}; leave the scheduler out, or "
                "that."
            )


def _check_facts(population: Population, facts: list[Facts]) -> None:
    if len(facts) < 2:
        raise SnapshotError(
            f"Found {len(facts)} snapshot(s); at least two different times are needed to see "
            "movement."
        )
    for time, fact in zip(population.times, facts, strict=True):
        if not (np.all(np.isfinite(fact.low)) and np.all(np.isfinite(fact.high))):
            raise SnapshotError(
                f"Values of the snapshot at time {time:g} are NaN or infinite; drop or impute them."
            )
        if not (fact.least >= 0 and np.isfinite(fact.square) and fact.effective_size > 1):
            raise SnapshotError(
                f"The weights of the snapshot at time {time:g} must be finite, not negative, and "
                "positive for at least two particles."
            )
    low, high = (np.array([getattr(fact, side) for fact in facts]) for side in ("low", "high"))
    same = low.min(axis=0) == high.max(axis=0)
    if same.any():
        name = population.features[int(np.argmax(same))]
        raise SnapshotError(
            f"Feature {name!r} has the same value for every particle; leave it out (choose the "
            "others with the option features)."
        )
    check_sizes(population.times, population.features, low.min(axis=0), high.max(axis=0))


def _standardisation(population: Population, facts: list[Facts]) -> Standardisation:
    """That of `Standardisation.of`, from sums."""
    mean = np.mean([fact.spread.mean for fact in facts], axis=0)
    square = np.mean(
        [fact.spread.square / fact.spread.weight + (fact.spread.mean - mean) ** 2 for fact in facts]
    )
    return Standardisation(mean, float(np.sqrt(square)), float(np.mean(np.diff(population.times))))


def _energy(whole: Whole, settings: FitSettings) -> LinearEnergy:
    """That of `build_linear_energy`, on the particles it would draw from the clouds in memory."""
    drawn = [
        whole.rows(index, rows)
        for index, rows in enumerate(scaling_rows(whole.counts, settings.seed))
    ]
    clouds, weights = zip(*drawn, strict=True)
    potential: str | Basis = settings.potential
    if settings.potential != "none":
        potential = build_basis(settings.potential, np.concatenate(clouds), seed=settings.seed)
    return build_linear_energy(
        Snapshots(whole.times, clouds, weights, whole.features),
        potential=potential,
        internal=settings.internal,
        seed=settings.seed,
    )


def _notes(whole: Whole, kept: Snapshots) -> tuple[str, ...]:
    if kept.counts == whole.counts:
        return ()
    counts = ", ".join(map(str, whole.counts))
    return (
        f"They are evenly spaced among all that were fitted, read in parts: {counts} particles.",
    )
