"""Which terms the data call for: energies compared by log evidence, then the winner fitted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.linalg import block_diag
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from bayesjko.checkpoint import Checkpoint
from bayesjko.fit import checked_settings, fit, inference_options, linear_problem
from bayesjko.inference.comparison import Candidate, log_evidence, summarise_statistics
from bayesjko.inference.conjugate import conditioned_problem
from bayesjko.inference.problem import LinearProblem
from bayesjko.models.data import Snapshots, Standardisation
from bayesjko.models.energies import LinearEnergy, build_linear_energy
from bayesjko.models.errors import InputError
from bayesjko.readers import read_snapshots
from bayesjko.result import Result
from bayesjko.settings import FitSettings

__all__ = ["Compared", "Comparison", "Selection", "compare", "select"]

_INTERACTION = "fourier:20"  # where the settings name none: cheap for any number of particles
# Kass and Raftery, JASA 90, 1995, §3.2, in natural logarithms
_GRADES = ((1.0, "hardly worse"), (3.0, "worse"), (5.0, "clearly worse"))


@dataclass(frozen=True)
class Compared:
    """One of the energies that were compared.

    Attributes:
        potential: its basis, or none.
        interaction: likewise.
        internal: whether it has a β.
        log_evidence: up to a constant that all share.
        difference: from the best, zero or negative.
    """

    potential: str
    interaction: str
    internal: bool
    log_evidence: float
    difference: float

    @property
    def name(self) -> str:
        """Its terms, as in V (poly:4) + β."""
        terms = [
            f"{letter} ({basis})"
            for letter, basis in (("V", self.potential), ("W", self.interaction))
            if basis != "none"
        ]
        return " + ".join([*terms, "β"] if self.internal else terms)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Energies by log evidence.

    Attributes:
        candidates: the energies, best first.
        likelihood: that they were compared under.
        notes: sentences about the comparison.
    """

    candidates: tuple[Compared, ...]
    likelihood: str
    notes: tuple[str, ...]

    def table(self) -> str:
        """The candidates as text, the winner first."""
        width = max(len("energy"), *(len(one.name) for one in self.candidates))
        lines = [
            f"Energies compared by log evidence ({self.likelihood} likelihood):",
            f"{'energy':<{width}} {'log evidence':>13} {'difference':>11}",
        ]
        for place, one in enumerate(self.candidates):
            said = "wins" if place == 0 else _grade(-one.difference)
            lines.append(
                f"{one.name:<{width}} {one.log_evidence:>13.2f} {one.difference:>11.2f}  {said}"
            )
        return "\n".join([*lines, *self.notes])


@dataclass(frozen=True, eq=False)
class Selection(Comparison):
    """A comparison and the fit of its winner.

    Attributes:
        result: the fit of the first.
    """

    result: Result


def select(
    snapshots: Any,
    settings: FitSettings | None = None,
    *,
    potentials: Sequence[str] | None = None,
    jobs: int | None = None,
    progress: bool = False,
    checkpoint: Checkpoint | None = None,
    **changes: Any,
) -> Selection:
    """Compare energies as `compare` does, and fit the winner.

    Args:
        snapshots: `Snapshots`, or anything `read_snapshots` reads.
        settings: how to learn; the terms they name are those compared, and without an interaction
            a Fourier one is tried.
        potentials: bases of the potential to compare; that of the settings alone if None.
        jobs: threads that solve transport problems at a time; one a core if None.
        progress: show a progress bar on long work.
        checkpoint: of the winner's fit.
        **changes: single settings.

    Raises:
        InputError: the snapshots or the settings cannot be used, or the evidence is not finite.
    """
    settings = checked_settings(settings, changes)
    if not isinstance(snapshots, Snapshots):
        snapshots = read_snapshots(snapshots)
    found = compare(snapshots, settings, potentials=potentials, jobs=jobs, progress=progress)
    winner = found.candidates[0]
    chosen = replace(
        settings,
        potential=winner.potential,
        interaction=winner.interaction,
        internal=winner.internal,
    )
    result = fit(snapshots, chosen, jobs=jobs, progress=progress, checkpoint=checkpoint)
    record = {
        "likelihood": found.likelihood,
        "candidates": [asdict(one) for one in found.candidates],
    }
    result = replace(result, provenance={**result.provenance, "selection": record})
    return Selection(found.candidates, found.likelihood, found.notes, result)


def compare(
    snapshots: Any,
    settings: FitSettings | None = None,
    *,
    potentials: Sequence[str] | None = None,
    jobs: int | None = None,
    progress: bool = False,
    **changes: Any,
) -> Comparison:
    """Compare {V, V + β, V + W, V + W + β} by log evidence.

    The largest energy, with all potentials, the interaction and β, is fitted; the others are it
    with coefficients left out. So all are judged by the same statistics of the same particles,
    tests and weights. What these statistics are worth is counted per particle, for every
    likelihood: the evidence that `residual` has of its own, which a fit reports, takes couplings
    for independent observations and is many times too sure (it calls for every term there is).

    Two things no evidence can mend. Where terms push alike (a quadratic potential and a quadratic
    interaction of a population whose mean stays), the simpler prior wins, not the truth. And where
    a likelihood misses what happens between snapshots, or the potential's basis misses the
    potential, a further term is called for to make up for it: prefer `weak` to `residual`, and
    short sampling intervals, of which `flow` mostly says too little about β to call for it.

    The arguments and errors are those of `select`.
    """
    settings = checked_settings(settings, changes)
    if settings.time_variation == "neural":
        raise InputError(
            "Energies are compared on bases, and a network of time is none; leave --select out, or "
            "take --time-variation static, piecewise or random-walk."
        )
    names = list(dict.fromkeys(name.strip() for name in potentials or [settings.potential]))
    interaction = _INTERACTION if settings.interaction == "none" else settings.interaction
    if not isinstance(snapshots, Snapshots):
        snapshots = read_snapshots(snapshots)
    if settings.holdout:
        snapshots, _ = snapshots.split(settings.holdout, settings.seed)
    standard = Standardisation.of(snapshots).apply(snapshots)
    energy = build_linear_energy(
        standard,
        potential="+".join(name for name in names if name != "none") or "none",
        interaction=interaction,
        internal=True,
        seed=settings.seed,
    )
    largest = replace(settings, internal=True)
    with threadpool_limits(limits=1, user_api="blas"):
        problem, likelihood = linear_problem(
            energy, standard, largest, jobs or os.cpu_count() or 1, progress
        )
        found = _compared(problem, standard, names, interaction, largest)
    notes = tuple(note for note in problem.notes if not note.startswith("Likelihood:"))
    return Comparison(tuple(found), likelihood, notes)


def _compared(
    problem: LinearProblem,
    snapshots: Snapshots,
    potentials: Sequence[str],
    interaction: str,
    settings: FitSettings,
) -> list[Compared]:
    found = conditioned_problem(problem, inference_options(settings))
    summary = summarise_statistics(
        block_diag(*(block.gram for block in problem.blocks)),
        np.concatenate([block.moment for block in problem.blocks]),
        problem.meat(found.mean),
        _particles(snapshots),
    )
    places = _places(problem.energy, potentials)
    values = [
        (
            potential,
            felt,
            internal,
            log_evidence(summary, _candidate(problem, places[potential], felt != "none", internal)),
        )
        for potential, felt, internal in _energies(potentials, interaction)
    ]
    best = max(value for *_, value in values)
    if not np.all(np.isfinite([value for *_, value in values])):
        raise InputError(
            "The evidence of the energies is not finite: the fit of the largest did not settle; "
            "compare smaller bases, or take another likelihood."
        )
    ranked = sorted(values, key=lambda one: -one[-1])
    return [
        Compared(potential, felt, internal, value, value - best)
        for potential, felt, internal, value in ranked
    ]


def _particles(snapshots: Snapshots) -> float:
    """How many independent ones there are: a paired particle is one, however often seen."""
    sizes = snapshots.effective_sizes
    return float(sizes.min() if snapshots.paired else sizes.sum())


def _energies(potentials: Sequence[str], interaction: str) -> Iterator[tuple[str, str, bool]]:
    """Simpler ones first, which also win where the evidence is the same."""
    for potential in potentials:
        for felt in ("none", interaction):
            for internal in (False, True):
                if potential != "none" or felt != "none" or internal:
                    yield potential, felt, internal


def _places(energy: LinearEnergy, potentials: Sequence[str]) -> dict[str, np.ndarray]:
    """Which coefficients of the largest energy's potential are those of each."""
    places = {"none": np.arange(0)}
    named = [name for name in potentials if name != "none"]
    parts = sum(name.count("+") + 1 for name in named)
    if energy.potential is None:
        return places
    basis = energy.potential.basis  # type: ignore[attr-defined]  # Scaled, as it is built
    sizes = [part.size for part in basis.parts] if parts > 1 else [basis.size]
    start, ends = 0, iter(np.cumsum(sizes))
    for name in named:
        for _ in range(name.count("+") + 1):
            end = int(next(ends))
        places[name] = np.arange(start, end)
        start = end
    return places


def _candidate(
    problem: LinearProblem, potential: np.ndarray, interaction: bool, internal: bool
) -> Candidate:
    energy = problem.energy
    shifts = energy.size * np.arange(problem.periods)

    def of_all_periods(positions: np.ndarray) -> np.ndarray:
        return np.add.outer(shifts, positions).ravel()

    everywhere = np.arange(energy.size)
    groups = [potential] if len(potential) else []
    if interaction:
        groups.append(everywhere[energy.slices["interaction"]])
    beta = everywhere[energy.slices["internal"]] if internal else everywhere[:0]
    return Candidate([of_all_periods(group) for group in groups], of_all_periods(beta))


def _grade(behind: float) -> str:
    return next((word for most, word in _GRADES if behind < most), "out of the question")
