"""One energy's features for several conditions, for programs that tie their coefficients."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Array, Float

from bayesjko.fit import checked_settings, inference_options, linear_problem
from bayesjko.inference.conjugate import conditioned_problem
from bayesjko.inference.posterior import Posterior
from bayesjko.models.data import Snapshots, Standardisation
from bayesjko.models.energies import LinearEnergy, build_linear_energy
from bayesjko.models.errors import InputError
from bayesjko.result import Result
from bayesjko.settings import FitSettings

if TYPE_CHECKING:
    from bayesjko.models.program import EnergyLikelihood

__all__ = ["SharedEnergy", "share_energy"]


@dataclass(frozen=True, eq=False)
class SharedEnergy:
    """What the snapshots of each condition say of coefficients that mean the same in all of them.

    Attributes:
        energy: the terms and their features, placed on all conditions' particles.
        standardisation: the change of units, the same for all conditions.
        conditions: their snapshots, in the user's units.
        likelihoods: one a condition, of θ in standard units.
        scale: of the coefficients under the prior that the conditions' own evidence calls most
            probable, widened; their median.
        settings: that the likelihoods were made with.
    """

    energy: LinearEnergy
    standardisation: Standardisation
    conditions: tuple[Snapshots, ...]
    likelihoods: tuple[EnergyLikelihood, ...]
    scale: Float[np.ndarray, " K"]
    settings: FitSettings

    def result(
        self, condition: int, coefficients: Float[np.ndarray | Array, "chain draw K"]
    ) -> Result:
        """Draws of one condition's coefficients as a result: to plot, save and forecast from."""
        draws = np.asarray(coefficients, dtype=np.float64)[:, :, None, :]
        posterior = Posterior(
            coefficients=draws,
            mean=draws.mean(axis=(0, 1)),
            covariance=None,
            noise=None,
            log_evidence=None,
            method="program",
            uncertainty=self.settings.covariance,
        )
        used = {**asdict(self.settings), "likelihood": self.settings.likelihood}
        provenance = {"data_hash": self.conditions[condition].digest()}
        return Result(
            self.energy,
            self.standardisation,
            self.conditions[condition],
            posterior,
            used,
            provenance,
        )


def share_energy(
    conditions: Sequence[Snapshots],
    settings: FitSettings | None = None,
    *,
    jobs: int | None = None,
    **changes: Any,
) -> SharedEnergy:
    """The likelihoods of one energy's coefficients, one a condition.

    Args:
        conditions: snapshots of each, with the same features.
        settings: as of a fit; the likelihood has to be named, and the energy static.
        jobs: threads that solve transport problems at a time; one a core if None.
        **changes: single settings.

    Raises:
        InputError: the conditions or the settings cannot be used.
    """
    from bayesjko.inference.target import energy_likelihood

    settings = checked_settings(settings, changes)
    if settings.likelihood == "auto" or settings.time_variation != "static":
        raise InputError(
            "Conditions are compared under one static energy and one likelihood; name it "
            "(likelihood='residual', 'weak' or 'flow')."
        )
    features = {snapshots.features for snapshots in conditions}
    if len(features) != 1:
        raise InputError(
            f"The conditions have {len(features)} different sets of features; give at least one "
            "condition, and the same features for all."
        )
    clouds = [cloud for snapshots in conditions for cloud in snapshots.particles]
    weights = [weight for snapshots in conditions for weight in snapshots.weights]
    interval = float(np.mean(np.concatenate([each.durations for each in conditions])))
    pooled = Snapshots(interval * np.arange(len(clouds)), tuple(clouds), tuple(weights))
    standardisation = Standardisation.of(pooled)
    energy = build_linear_energy(
        standardisation.apply(pooled),
        potential=settings.potential,
        interaction=settings.interaction,
        internal=settings.internal,
        seed=settings.seed,
    )
    options = inference_options(settings)
    likelihoods, scales = [], []
    for snapshots in conditions:
        problem, _ = linear_problem(
            energy, standardisation.apply(snapshots), settings, jobs or os.cpu_count() or 1
        )
        found = conditioned_problem(problem, options)
        likelihoods.append(energy_likelihood(problem, options, found))
        scales.append(found.precision**-0.5)
    return SharedEnergy(
        energy,
        standardisation,
        tuple(conditions),
        tuple(likelihoods),
        np.median(scales, axis=0),
        settings,
    )
