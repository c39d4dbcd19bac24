"""Learn the energy that drives a population from snapshots of it."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bayesjko.evaluate import evaluate
from bayesjko.inference.conjugate import infer
from bayesjko.inference.options import InferenceOptions
from bayesjko.inference.residual import residual_problem
from bayesjko.models.data import Snapshots, Standardisation
from bayesjko.models.energies import build_linear_energy
from bayesjko.models.errors import InputError
from bayesjko.readers import read_snapshots
from bayesjko.result import Result
from bayesjko.settings import FitSettings

__all__ = ["fit"]

_RECORDED = ("bayesjko", "jax", "jaxlib", "numpy", "scipy", "equinox", "POT", "scikit-learn")


def fit(
    snapshots: Any,
    settings: FitSettings | None = None,
    *,
    jobs: int | None = None,
    progress: bool = False,
    **changes: Any,
) -> Result:
    """The posterior of the energy that drives a population.

    Args:
        snapshots: `Snapshots`, or anything `read_snapshots` reads.
        settings: how to learn it; the defaults if None.
        jobs: threads that solve transport problems at a time; one a core if None.
        progress: show a progress bar on long work.
        **changes: single settings, as in `fit(snapshots, potential="poly:4")`.

    Raises:
        InputError: the snapshots or the settings cannot be used.
    """
    settings = replace(settings or FitSettings(), **changes)
    if not isinstance(snapshots, Snapshots):
        snapshots = read_snapshots(snapshots)
    test = None
    if settings.holdout:
        snapshots, test = snapshots.split(settings.holdout, settings.seed)
    if settings.draws < 1:
        raise InputError(f"Cannot keep {settings.draws} draws; give at least 1.")
    jobs = jobs or os.cpu_count() or 1
    standardisation = Standardisation.of(snapshots)
    standard = standardisation.apply(snapshots)
    energy = build_linear_energy(
        standard,
        potential=settings.potential,
        interaction=settings.interaction,
        internal=settings.internal,
        seed=settings.seed,
    )
    problem = residual_problem(
        energy,
        standard,
        scheme=settings.scheme,
        time_variation=settings.time_variation,
        solver="paired" if snapshots.paired else settings.coupling,
        density=settings.density,
        noise=settings.noise,
        jobs=jobs,
        seed=settings.seed,
        progress=progress,
    )
    posterior = infer(
        problem,
        InferenceOptions(
            draws=settings.draws,
            seed=settings.seed,
            covariance=settings.covariance,
            prior_scale=settings.prior_scale,
        ),
    )
    provenance = {
        "data_hash": snapshots.digest(),
        "seed": settings.seed,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _RECORDED},
    }
    result = Result(energy, standardisation, snapshots, posterior, asdict(settings), provenance)
    if test is None:
        return result
    return replace(result, scores=evaluate(result, test, seed=settings.seed, jobs=jobs))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
