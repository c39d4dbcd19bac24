"""Learn the energy that drives a population from snapshots of it."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, cast

import numpy as np
from threadpoolctl import threadpool_limits

from bayesjko.checkpoint import Checkpoint
from bayesjko.diagnostics import diagnose
from bayesjko.evaluate import evaluate
from bayesjko.inference.bootstrap import bootstrap
from bayesjko.inference.calibration import sandwich
from bayesjko.inference.conjugate import conditioned_problem
from bayesjko.inference.discretisation import FAR, discretisation, with_warning
from bayesjko.inference.followed import without_missed
from bayesjko.inference.methods import infer_by_method
from bayesjko.inference.moments import moment_search, solved
from bayesjko.inference.options import InferenceOptions, MomentOptions
from bayesjko.inference.pointwise import with_intervals
from bayesjko.inference.posterior import Posterior
from bayesjko.inference.problem import LinearProblem
from bayesjko.inference.random_walk import unmixed, wandering
from bayesjko.inference.residual import TimeVariation, residual_problem
from bayesjko.inference.running import Run
from bayesjko.inference.search import Search
from bayesjko.models.bases import Tangent
from bayesjko.models.data import Snapshots, Standardisation
from bayesjko.models.energies import LinearEnergy, build_linear_energy
from bayesjko.models.errors import InputError, UnsettledError, check_seed
from bayesjko.models.likelihoods.residual import Scheme
from bayesjko.networks import (
    check_network,
    joined_energy,
    joined_posterior,
    network_energies,
    network_widths,
)
from bayesjko.readers import read_snapshots
from bayesjko.result import Result
from bayesjko.settings import FitSettings

__all__ = [
    "RECORDED",
    "checked_settings",
    "fit",
    "inference_options",
    "moment_options",
    "linear_problem",
    "posterior_of",
    "version_of",
]

_TRAINED = (
    "The network's hidden layers are trained on these snapshots and then taken for known: the "
    "intervals are those of its last layer, and "
)
_CHANGING = (
    "too narrow (--method ensemble is safer); it is a network of position and time, which beyond "
    "the snapshots stays what it is at the nearest one."
)
_SAFER = "a little too narrow (--inferred all and --method ensemble are safer)."
_NARROW = "too narrow for an interaction."
_FEWEST = 50  # particles of a snapshot whose moments say enough to be asked
_MOST = 110  # coefficients whose moments are solved in seconds rather than minutes
_MOST_DRAWS = 10**7  # whatever an interval needs, and no array that NumPy cannot name
RECORDED = (
    "bayesjko",
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "equinox",
    "POT",
    "scikit-learn",
    "numpyro",
    "blackjax",
)
"""Packages whose versions a result keeps."""


def fit(
    snapshots: Any,
    settings: FitSettings | None = None,
    *,
    jobs: int | None = None,
    progress: bool = False,
    checkpoint: Checkpoint | None = None,
    **changes: Any,
) -> Result:
    """The posterior of the energy that drives a population.

    Args:
        snapshots: `Snapshots`, or anything `read_snapshots` reads.
        settings: how to learn it; the defaults if None.
        jobs: threads that solve transport problems at a time, or processes of the bootstrap; one a
            core if None.
        progress: show a progress bar on long work.
        checkpoint: where the bootstrap keeps what is done; the caller's to discard at the end.
        **changes: single settings, as in `fit(snapshots, potential="poly:4")`.

    Raises:
        InputError: the snapshots or the settings cannot be used.

    Examples:
        A population in V = |x|²/2, whose force at (1, 0) is (−1, 0):

        >>> import bayesjko
        >>> cells = bayesjko.simulate(
        ...     "quadratic", particles=1000, snapshots=3, tau=0.1, paired=True
        ... )
        >>> result = bayesjko.fit(cells, potential="poly:2")
        >>> drift = result.drift(np.array([[1.0, 0.0]]))  # (draws, points, features)
        >>> drift.mean(axis=0).round(1) + 0.0
        array([[-1. ,  0.1]])
        >>> bool(drift.std(axis=0).max() < 0.1)
        True
    """
    settings = checked_settings(settings, changes)
    if not isinstance(snapshots, Snapshots):
        snapshots = read_snapshots(snapshots)
    test = None
    if settings.holdout:
        snapshots, test = snapshots.split(settings.holdout, settings.seed)
    jobs = jobs or os.cpu_count() or 1
    standardisation = Standardisation.of(snapshots)
    standard = standardisation.apply(snapshots)
    energies = _energies(standard, settings, jobs, progress)
    options = inference_options(settings)
    # matrices of a few hundred rows: BLAS threads would spend their time waiting for one another
    with threadpool_limits(limits=1, user_api="blas"):
        run = Run(progress=progress)
        if checkpoint is not None:
            record = {
                "settings": asdict(settings),
                "data_hash": snapshots.digest(),
                "versions": {name: version_of(name) for name in RECORDED},
            }
            run = Run(checkpoint.load(record), checkpoint.append, progress)
        posteriors = []
        for energy in energies:
            problem, likelihood = linear_problem(energy, standard, settings, jobs, progress)
            posteriors.append(posterior_of(problem, settings, options, jobs, run))
            settings = replace(settings, likelihood=cast(Any, likelihood))  # for all members
    energy, posterior = energies[0], posteriors[0]
    if settings.method == "ensemble":
        energy = joined_energy(energies)
        assert energies[0].potential is not None
        posterior = joined_posterior(posteriors, energies[0].potential.size)
    if network_widths(settings):
        posterior = replace(posterior, notes=(*posterior.notes, _told(energy, settings)))
    provenance = {
        "data_hash": snapshots.digest(),
        "seed": settings.seed,
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in RECORDED},
    }
    used = {
        **asdict(settings),
        "likelihood": likelihood,
        "scheme": _scheme(settings, snapshots),
    }
    result = Result(energy, standardisation, snapshots, posterior, used, provenance)
    result = replace(result, diagnostics=diagnose(result))
    if test is None:
        return result
    return replace(result, scores=evaluate(result, test, seed=settings.seed, jobs=jobs))


def _energies(
    snapshots: Snapshots, settings: FitSettings, jobs: int, progress: bool
) -> list[LinearEnergy]:
    """The energy whose coefficients are sought; of an ensemble, each member's."""
    widths = network_widths(settings)
    if not widths:
        return [
            build_linear_energy(
                snapshots,
                potential=settings.potential,
                interaction=settings.interaction,
                internal=settings.internal,
                seed=settings.seed,
            )
        ]
    return network_energies(
        snapshots,
        widths,
        _scheme(settings, snapshots),
        settings,
        members=settings.members if settings.method == "ensemble" else 1,
        jobs=jobs,
        progress=progress,
    )


def posterior_of(
    problem: LinearProblem, settings: FitSettings, options: InferenceOptions, jobs: int, run: Run
) -> Posterior:
    """The posterior of what the data say, by the method and the covariance of the settings."""
    if settings.covariance == "bootstrap":
        posterior = bootstrap(
            problem,
            options,
            bootstraps=settings.bootstraps,
            jobs=jobs,
            done=run.done,
            keep=run.keep,
            progress=run.progress,
        )
    else:
        posterior = infer_by_method(problem, options, run)
    return unmixed(with_intervals(posterior, problem, options), problem)


def _told(energy: LinearEnergy, settings: FitSettings) -> str:
    """What is in the intervals of a network, for the summary."""
    potential = energy.potential
    if energy.timed:
        return _TRAINED + _CHANGING
    if not isinstance(potential, Tangent):
        return _TRAINED + (_NARROW if "interaction" in network_widths(settings) else _SAFER)
    return (
        f"The network: all {potential.directions.shape[1]} weights are inferred, along the "
        f"{potential.size} combinations that move forces at the particles, the network taken for "
        "linear in them (generalised Gauss-Newton)."
    )


def checked_settings(settings: FitSettings | None, changes: Mapping[str, Any]) -> FitSettings:
    """The settings (the defaults if None) with some of them changed.

    Raises:
        InputError: there is no such setting, or one cannot be used.
    """
    unknown = set(changes) - {f.name for f in fields(FitSettings)}
    if unknown:
        raise InputError(
            f"There is no setting {sorted(unknown)[0]!r}; there are "
            f"{', '.join(f.name for f in fields(FitSettings))}."
        )
    settings = replace(settings or FitSettings(), **changes)
    if settings.method == "bootstrap":
        settings = replace(settings, method="conjugate", covariance="bootstrap")
    if settings.method == "laplace":  # exact for energies linear in what is inferred: all of ours
        settings = replace(settings, method="conjugate")
    _check(settings)
    return settings


def inference_options(settings: FitSettings) -> InferenceOptions:
    """What of the settings is the inference's."""
    method, draws = settings.method, settings.draws
    if method == "ensemble":
        method, draws = "conjugate", -(-draws // settings.members)
    assert method != "bootstrap"  # checked settings call it a covariance
    assert method != "laplace"  # and this the closed form
    return InferenceOptions(
        method=method,
        draws=draws,
        seed=settings.seed,
        covariance=settings.covariance,
        prior_scale=settings.prior_scale,
        prior=settings.prior,
        beta_prior=settings.beta_prior,
        chains=settings.chains,
        warmup=settings.warmup,
        guide=settings.guide,
    )


def moment_options(settings: FitSettings, form: Literal["weak", "flow"] = "weak") -> MomentOptions:
    """What of them is the moment equations'."""
    return MomentOptions(
        form=form,
        bumps=settings.tests,
        shrinkage=settings.shrinkage,
        steps=settings.steps,
        copies=settings.copies,
    )


def _check(settings: FitSettings) -> None:
    check_network(settings)
    if settings.shrinkage is not None and not 0.0 <= settings.shrinkage <= 1.0:
        raise InputError(f"The shrinkage is {settings.shrinkage:g}; give a number from 0 to 1.")
    copies, steps = settings.copies, settings.steps
    if (copies is not None and (copies < 2 or copies % 2)) or (steps is not None and steps < 1):
        raise InputError(
            f"Cannot simulate paths with copies={copies} and steps={steps}; "
            "copies must be an even number of at least 2, and steps at least 1."
        )
    if settings.tests is not None and settings.tests < 0:
        raise InputError(f"Cannot use {settings.tests} tests; give 0 or more.")
    if settings.bootstraps < 2:
        raise InputError(f"Cannot take {settings.bootstraps} bootstraps; give at least 2.")
    if settings.covariance == "bootstrap" and settings.likelihood in ("weak", "flow"):
        raise InputError(
            f"The bootstrap makes couplings again, and the {settings.likelihood} likelihood has "
            "none; take the residual likelihood, or the sandwich covariance, which holds for all."
        )
    if settings.method == "ensemble" and (
        "potential" not in network_widths(settings) or settings.members < 1
    ):
        raise InputError(
            f"An ensemble is of networks, at least one, and here of {settings.members} potentials "
            f"{settings.potential}; take --potential mlp:64,64."
        )
    if settings.method == "ensemble" and settings.time_variation == "random-walk":
        raise InputError(
            "The members of an ensemble would wander each at a rate of its own; take another "
            "method, or a static or piecewise energy."
        )
    if settings.covariance == "bootstrap" and settings.method != "conjugate":
        raise InputError(
            f"The bootstrap solves every sample in closed form; it cannot be had by "
            f"{settings.method} (leave out the method, or take another covariance)."
        )
    closed = settings.method in ("conjugate", "ensemble")
    if closed and (settings.prior, settings.beta_prior) not in (
        ("normal", "auto"),
        ("normal", "normal"),
    ):
        raise InputError(
            f"There is no closed form under the prior {settings.prior} with a "
            f"{settings.beta_prior} β; take a method that samples (--method nuts), or vi."
        )
    if settings.chains < 1 or settings.warmup < 1:
        raise InputError(
            f"Cannot run {settings.chains} chains with a warm-up of {settings.warmup}; give at "
            "least 1 of both (4 and 500 are usual)."
        )
    if not 1 <= settings.draws <= _MOST_DRAWS:
        raise InputError(
            f"Cannot keep {settings.draws} draws; give at least 1 and at most {_MOST_DRAWS}."
        )
    check_seed(settings.seed)
    for name, value in [("noise", settings.noise), ("prior scale", settings.prior_scale)]:
        if isinstance(value, int | float) and not 0 < value < float("inf"):
            raise InputError(f"The {name} is {value:g}; give a positive number.")


def linear_problem(
    energy: LinearEnergy,
    snapshots: Snapshots,
    settings: FitSettings,
    jobs: int,
    progress: bool = False,
) -> tuple[LinearProblem, str]:
    """What the data, in standard units, say of the coefficients, and by which likelihood."""
    likelihood = settings.likelihood
    few = min(snapshots.counts) < _FEWEST
    many = energy.size > _MOST or isinstance(energy.potential, Tangent)
    again = settings.covariance == "bootstrap"
    piecewise = settings.time_variation == "piecewise"
    by_couplings = (
        snapshots.paired or piecewise or few or many or again or _taking_over(energy, settings)
    )
    if likelihood == "residual" or (likelihood == "auto" and by_couplings):
        return _residual_problem(energy, snapshots, settings, jobs, progress), "residual"
    if snapshots.paired:
        raise InputError(
            f"The {likelihood} likelihood takes every snapshot for a sample of its own, which "
            "paired snapshots are not; use the residual likelihood, or read them as unpaired."
        )
    options = inference_options(settings)

    def search(form: Literal["weak", "flow"], begun: Search | None = None, **how: Any) -> Search:
        return moment_search(
            energy,
            snapshots,
            options,
            replace(moment_options(settings, form), **how),
            time_variation=_variation(settings),
            jobs=jobs,
            begun=begun,
        )

    if likelihood == "flow":
        return _tied(solved(search("flow")), snapshots, settings), "flow"
    if likelihood == "weak":
        problem = _tied(solved(search("weak")), snapshots, settings)
        return with_warning(problem, snapshots, options), "weak"
    weak = search("weak", most_shift=FAR)
    fine = enough = False
    try:
        problem = _tied(solved(weak), snapshots, settings)
        time = discretisation(problem, snapshots, options)
        fine = time.fine
        enough = fine and _diffuses(problem, options)
    except UnsettledError:
        pass
    if enough:
        note = (
            "Likelihood: weak, since simulating between the snapshots moves its forces by only "
            f"{time.shift:.2g} of their standard deviation."
        )
        return _with_note(problem, note), "weak"
    try:
        problem = _tied(solved(search("flow", weak, near=fine)), snapshots, settings)
    except UnsettledError:
        problem = _residual_problem(energy, snapshots, settings, jobs, progress)
        note = (
            "Likelihood: residual, since no energy was found whose simulated moments are those of "
            "the snapshots, which are too far apart or too few: forces may be biased by more than "
            "their intervals say."
        )
        return _with_note(problem, note), "residual"
    note = (
        "Likelihood: flow, since moments that are linear in time are not enough here: "
        "simulating between the snapshots moves their forces, or leaves β no clear sign."
    )
    return _with_note(problem, note), "flow"


def _with_note(problem: LinearProblem, note: str) -> LinearProblem:
    return replace(problem, notes=(*problem.notes, note))


def _variation(settings: FitSettings) -> TimeVariation:
    """How coefficients vary: not at all where it is their features, a network's, that do."""
    return "static" if settings.time_variation == "neural" else settings.time_variation


def _tied(problem: LinearProblem, snapshots: Snapshots, settings: FitSettings) -> LinearProblem:
    """The energies of single intervals to one that wanders, if that is asked for."""
    if settings.time_variation != "random-walk":
        return problem
    found = wandering(problem, snapshots.times, inference_options(settings))
    if not _taking_over(problem.energy, settings):
        return found
    note = (
        "An energy that wanders can do what β does, and moments tell the two apart badly: β may be "
        "too large and intervals too narrow; take the residual likelihood."
    )
    return _with_note(found, note)


def _taking_over(energy: LinearEnergy, settings: FitSettings) -> bool:
    """Whether a potential that wanders may take over what β does."""
    return settings.time_variation == "random-walk" and energy.internal and energy.size > 1


def _residual_problem(
    energy: LinearEnergy, snapshots: Snapshots, settings: FitSettings, jobs: int, progress: bool
) -> LinearProblem:
    problem = residual_problem(
        energy,
        snapshots,
        scheme=_scheme(settings, snapshots),
        time_variation=_variation(settings),
        solver="paired" if snapshots.paired else settings.coupling,
        density=settings.density,
        noise=settings.noise,
        jobs=jobs,
        seed=settings.seed,
        progress=progress,
    )
    if snapshots.paired and settings.internal and settings.time_variation == "static":
        if settings.scheme == "auto":
            problem = without_missed(problem, snapshots, inference_options(settings))
        elif settings.scheme == "explicit":
            note = (
                "Where a followed particle's step begins, the internal energy has no part in its "
                "mean: do not trust this β; leave the scheme out, or take --no-internal."
            )
            problem = _with_note(problem, note)
    if settings.time_variation == "piecewise" and settings.internal:
        note = (
            "Two snapshots cannot tell β from the potential: the β of a single interval rests "
            "on the prior and the density's shape (use --no-internal, or a static energy)."
        )
        problem = _with_note(problem, note)
    return _tied(problem, snapshots, settings)


def _scheme(settings: FitSettings, snapshots: Snapshots) -> Scheme:
    """Where the residual takes the force.

    A coupling of two samples is made of both alike: at either end the force is correlated with the
    errors of that end's cloud, at the midpoint those of both cancel (experiments/calibration).
    The noise of a paired particle comes after its start and is independent of the force there, but
    for that of the internal energy, which is in the middle alone (`without_missed`); and the map of
    a piecewise energy has to be stepped over intervals too long to solve for a midpoint.
    """
    if settings.scheme != "auto":
        return settings.scheme
    piecewise = settings.time_variation == "piecewise"
    followed = snapshots.paired and not settings.internal
    return "explicit" if followed or piecewise else "midpoint"


def _diffuses(problem: LinearProblem, options: InferenceOptions) -> bool:
    """Whether β, if it is sought, is clearly positive: a correction simulated without is none."""
    where = problem.energy.slices.get("internal")
    if where is None:
        return True
    found = conditioned_problem(problem, options)
    covariance = sandwich(found, problem.meat(found.mean))
    spread = np.sqrt(np.diag(covariance)[where.start :: problem.energy.size])
    own = slice(None if problem.walk is None else 1)  # β is that of the walk's beginning
    return bool(np.all((found.mean[:, where.start] > 1.645 * spread)[own]))


def version_of(package: str) -> str:
    """Of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
