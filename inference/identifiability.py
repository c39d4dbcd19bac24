"""What the data can tell of an energy, and what was decided by the prior alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayesjko.inference.movement import Movement, movement_of
from bayesjko.inference.posterior import Posterior
from bayesjko.inference.score import fit_score
from bayesjko.models.data import Snapshots
from bayesjko.models.energies import LinearEnergy, drift_designs, field_of
from bayesjko.models.precision import double

__all__ = ["Gauge", "Identifiability", "identifiability", "marginal_information"]

_PROBES = 200  # particles of each snapshot at which forces are compared
_CROWD = 400  # particles of a snapshot that are looked at: a report needs two digits
_SINGULAR = 1e-10  # relative: below it a covariance of unit diagonal is round-off
_OPPOSED = -0.9  # correlation from which two forces are taken for one another's mirror image
_SHARPER = 0.5  # share of each force's sd below which their sum is known much better
_BLURRED = 0.2  # sd of a force relative to the drift's size that is worth a warning
_UNTOUCHED = 0.5  # share of the prior's variance that is left where the data hardly spoke


@dataclass(frozen=True)
class Gauge:
    """Whether the potential can stand in for the interaction and the other way round.

    A quadratic confinement and a quadratic attraction push a population alike as long as its mean
    does not move; then only their sum is learned. Everything is taken along the one pattern of
    forces, over the particles, in which the two terms trade off most; standard deviations are
    relative to the size of the whole drift.

    Attributes:
        flagged: they trade off, the sum is known at least twice as well as either, and what
            remains unknown matters: it is a fifth of the drift or more, or the prior's own.
        correlation: posterior correlation of the two forces.
        potential_sd: of the potential's force.
        interaction_sd: of the interaction's force.
        total_sd: of their sum.
    """

    flagged: bool
    correlation: float
    potential_sd: float
    interaction_sd: float
    total_sd: float


@dataclass(frozen=True)
class Identifiability:
    """What the data say of an energy beside the prior.

    Attributes:
        spectrum: λ, the data's information relative to the prior's precision in independent
            directions of all periods' coefficients, largest first; below 1 the prior decides.
            None if the posterior names no prior.
        effective_parameters: Σλ/(1 + λ), how many coefficients the data determine.
        prior_dominated: how many of the directions with λ < 1 belong to each term: its share in
            each, summed.
        sizes: root mean square of each term's force (and the `drift`, V and W together) at the
            particles under the posterior mean, in standard units.
        spreads: root mean square of the posterior standard deviation there, likewise.
        correlations: posterior correlation of two terms' forces, by `first-second`.
        gauge: of an energy with both a potential and an interaction.
        movement: of the population.
        warnings: sentences about data that cannot tell what was asked.
    """

    spectrum: tuple[float, ...] | None
    effective_parameters: float | None
    prior_dominated: Mapping[str, float]
    sizes: Mapping[str, float]
    spreads: Mapping[str, float]
    correlations: Mapping[str, float]
    gauge: Gauge | None
    movement: Movement
    warnings: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Identifiability:
        """What `dataclasses.asdict` made JSON types of."""
        spectrum, gauge = plain["spectrum"], plain["gauge"]
        read = {
            "spectrum": None if spectrum is None else tuple(spectrum),
            "gauge": None if gauge is None else Gauge(**gauge),
            "movement": Movement(**plain["movement"]),
            "warnings": tuple(plain["warnings"]),
        }
        return cls(**{**plain, **read})


def identifiability(
    energy: LinearEnergy, snapshots: Snapshots, posterior: Posterior, *, seed: int = 0
) -> Identifiability:
    """The report on a fit; a few matrices of the coefficients' size, whatever the data's.

    Args:
        energy: that was fitted.
        snapshots: in standard units.
        posterior: what was found; its own covariance and information, if it has them, else those
            of its draws.
        seed: of density estimates and of the places of bumps.
    """
    periods = len(posterior.mean)
    covariance = posterior.covariance
    if covariance is None:
        covariance = np.stack(
            [np.atleast_2d(np.cov(posterior.draws[:, p].T)) for p in range(periods)]
        )
    spectrum, effective, dominated = _spectrum(energy, posterior, covariance)
    grams = [_gram(energy, snapshots, index, seed) for index in range(len(snapshots.times))]
    # a period feels the clouds at its two ends; the only one feels all
    each = [grams] if periods == 1 else [grams[p : p + 2] for p in range(periods)]
    means = np.stack([np.mean(members, axis=0) for members in each])
    sizes, spreads, correlations = _forces(energy, posterior.mean, covariance, means)
    return Identifiability(
        spectrum=spectrum,
        effective_parameters=effective,
        prior_dominated=dominated,
        sizes=sizes,
        spreads=spreads,
        correlations=correlations,
        gauge=_gauge(energy, posterior, covariance, means, sizes.get("drift", 0.0)),
        movement=movement_of(snapshots, seed),
        warnings=tuple(_warnings(energy, snapshots, 1 if posterior.walk is not None else periods)),
    )


def marginal_information(
    gram: Float[np.ndarray, "S S"],
    meat: Float[np.ndarray, "S S"],
    precision: Float[np.ndarray, " K"],
) -> Float[np.ndarray, "period K K"]:
    """What the estimating function says of each period's coefficients, the others' unknown.

    b = Aθ + ε with Cov ε = M is informative to AM⁻¹A, of all periods together; the coefficients of
    the other periods are integrated out under their prior. A/s² is the same where the model is
    right (M = s²A), and not where couplings were counted for observations.

    Args:
        gram: A of all periods together.
        meat: M.
        precision: Λ of one period.
    """
    scale = 1.0 / np.sqrt(np.maximum(np.diag(meat), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(scale[:, None] * meat * scale)
    # where M is round-off so is A: such a direction has been seen by no particle
    root = (vectors / np.sqrt(np.maximum(values, _SINGULAR * values[-1]))).T @ (
        scale[:, None] * gram
    )
    joint = root.T @ root
    size = len(precision)
    found = []
    for start in range(0, len(joint), size):
        own = np.arange(start, start + size)
        other = np.setdiff1d(np.arange(len(joint)), own)
        block = joint[np.ix_(own, own)]
        if len(other):
            across = joint[np.ix_(other, own)]
            wide = np.tile(precision, len(other) // size)
            block = block - across.T @ np.linalg.solve(
                joint[np.ix_(other, other)] + np.diag(wide), across
            )
        found.append(block)
    return np.stack(found)


def _spectrum(
    energy: LinearEnergy, posterior: Posterior, covariance: np.ndarray
) -> tuple[tuple[float, ...] | None, float | None, dict[str, float]]:
    if posterior.prior_precision is None:
        return None, None, {}
    root = 1.0 / np.sqrt(posterior.prior_precision)
    values, shares = [], []
    for period, spread in enumerate(covariance):
        if posterior.information is not None:
            information = posterior.information[period]
        else:  # what is known beyond the prior
            unit = spread / np.outer(root, root)
            information = (_inverse(unit) - np.eye(len(root))) / np.outer(root, root)
        found, vectors = np.linalg.eigh(root[:, None] * information * root)
        values.append(np.maximum(found, 0.0))
        shares.append(vectors**2)
    spectrum = np.concatenate(values)
    weak = np.concatenate(shares, axis=1)[:, spectrum < 1.0].sum(axis=1)
    dominated = {term: float(weak[where].sum()) for term, where in energy.slices.items()}
    effective = float(np.sum(spectrum / (1.0 + spectrum)))
    return tuple(map(float, np.sort(spectrum)[::-1])), effective, dominated


def _inverse(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors / np.maximum(values, _SINGULAR * values[-1])) @ vectors.T)


def _gram(
    energy: LinearEnergy, snapshots: Snapshots, index: int, seed: int
) -> Float[np.ndarray, "K K"]:
    """Mean over particles of DᵀD/d: what turns coefficients into the mean square of a force."""
    rng = np.random.default_rng(seed)
    cloud, weight = snapshots.particles[index], snapshots.weights[index]
    if len(cloud) > _CROWD:
        rows = rng.permutation(len(cloud))[:_CROWD]
        cloud, weight = cloud[rows], weight[rows] / weight[rows].sum()
    rows = rng.choice(len(cloud), min(_PROBES, len(cloud)), replace=False)
    points, share = cloud[rows], weight[rows] / weight[rows].sum()
    with double():
        field = field_of(energy.at(snapshots.times[index]), cloud, weight)
        drift = np.asarray(drift_designs(field, jnp.asarray(points)))
    if energy.internal:
        density = -fit_score(cloud, weight, seed=seed)(points)
        drift = np.concatenate([drift, density[:, :, None]], axis=2)
    design = (np.sqrt(share / points.shape[1])[:, None, None] * drift).reshape(-1, energy.size)
    return design.T @ design


def _forces(
    energy: LinearEnergy, mean: np.ndarray, covariance: np.ndarray, grams: np.ndarray
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Mean squares and traces of covariances of forces, by tr(G_ab Cov(θ_b, θ_a))."""
    parts = dict(energy.slices)
    felt = [where for term, where in parts.items() if term != "internal"]
    if felt:
        parts["drift"] = slice(felt[0].start, felt[-1].stop)

    def shared(a: slice, b: slice) -> float:
        return float(np.einsum("pab,pba->", grams[:, a, b], covariance[:, b, a])) / len(grams)

    sizes, spreads = {}, {}
    for term, where in parts.items():
        square = np.einsum("pa,pab,pb->", mean[:, where], grams[:, where, where], mean[:, where])
        sizes[term] = float(np.sqrt(max(square / len(grams), 0.0)))
        spreads[term] = float(np.sqrt(max(shared(where, where), 0.0)))
    names = list(energy.slices)
    correlations = {}
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            scale = spreads[first] * spreads[second]
            value = shared(parts[first], parts[second]) / scale if scale > 0.0 else 0.0
            correlations[f"{first}-{second}"] = float(np.clip(value, -1.0, 1.0))
    return sizes, spreads, correlations


def _gauge(
    energy: LinearEnergy,
    posterior: Posterior,
    covariance: np.ndarray,
    grams: np.ndarray,
    drift: float,
) -> Gauge | None:
    """Of the period in which the two terms trade off most."""
    slices = energy.slices
    if not {"potential", "interaction"} <= set(slices):
        return None
    first, second = slices["potential"], slices["interaction"]
    both = slice(first.start, second.stop)
    worst: tuple[float, Gauge] | None = None
    for spread, gram in zip(covariance, grams, strict=True):
        values, vectors = np.linalg.eigh(gram[both, both])
        root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T  # forces as vectors: ‖Lθ‖
        one, two = root[:, first], root[:, second]
        across = one @ spread[first, second] @ two.T
        traded, patterns = np.linalg.eigh(-(across + across.T))
        pattern = patterns[:, -1]
        v, w, shared = (
            float(pattern @ matrix @ pattern)
            for matrix in (
                one @ spread[first, first] @ one.T,
                two @ spread[second, second] @ two.T,
                across,
            )
        )
        total = float(np.sqrt(max(v + w + 2.0 * shared, 0.0)))
        v, w = float(np.sqrt(max(v, 0.0))), float(np.sqrt(max(w, 0.0)))
        correlation = shared / (v * w) if v * w > 0.0 else 0.0
        lesser = min(v, w)
        size = drift if drift > 0.0 else 1.0
        untouched = False
        if posterior.prior_precision is not None:
            prior = sum(
                float((pattern @ part) ** 2 @ (1.0 / posterior.prior_precision[where]))
                for part, where in ((one, first), (two, second))
            )
            difference = v**2 + w**2 - 2.0 * shared
            untouched = difference > _UNTOUCHED * prior
        gauge = Gauge(
            flagged=bool(
                correlation < _OPPOSED
                and total < _SHARPER * lesser
                and (lesser > _BLURRED * size or untouched)
            ),
            correlation=float(np.clip(correlation, -1.0, 1.0)),
            potential_sd=v / size,
            interaction_sd=w / size,
            total_sd=total / size,
        )
        if worst is None or traded[-1] > worst[0]:
            worst = float(traded[-1]), gauge
    return None if worst is None else worst[1]


def _warnings(energy: LinearEnergy, snapshots: Snapshots, periods: int) -> list[str]:
    found = []
    seen = len(snapshots.times) if periods == 1 else 2
    if energy.internal and energy.size > 1 and seen < 3:
        why = "" if periods == 1 else " (one energy for each interval sees its two ends only)"
        found.append(
            f"β needs three snapshots in general and has two{why}: it is told from the potential "
            "only by what the bases leave out."
        )
    return found
