"""The energy at points of one's choice: potential and drift, with their uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bayesjko.models.bases import Basis
from bayesjko.models.errors import InputError
from bayesjko.models.precision import double
from bayesjko.result import Result

__all__ = ["Spread", "drift_spread", "energy_at", "interaction_spread", "potential_spread"]

_HELD = 2**23  # numbers of all draws held at once: 64 MB an array
_BLOCK = 2**13  # points at a time at most, whose features are held however few draws there are


@dataclass(frozen=True, eq=False)
class Spread:
    """What the draws of a quantity say, one entry a point (and a component).

    Attributes:
        mean: over the draws.
        sd: their standard deviation.
        low: where the central interval starts.
        high: where it ends.
    """

    mean: Float[np.ndarray, "n *d"]
    sd: Float[np.ndarray, "n *d"]
    low: Float[np.ndarray, "n *d"]
    high: Float[np.ndarray, "n *d"]


def energy_at(
    result: Result,
    points: Float[np.ndarray, "n d"],
    time: float | None = None,
    level: float = 0.9,
) -> dict[str, np.ndarray]:
    """Potential and drift −∇V − ∇W∗ρ at points, as the columns of a table.

    The points' own features come first, then `potential` and `potential_sd` (where the energy has
    a potential; its free constant is fixed by V = 0 at the data's mean), then for each feature c
    `drift_c`, `drift_c_sd`, `drift_c_low` and `drift_c_high`. All are taken over the posterior's
    draws, in the user's units.

    Args:
        result: of a fit.
        points: in the user's units.
        time: of the snapshot whose cloud ρ and period are meant; the last if None.
        level: how much of the posterior an interval holds.

    Raises:
        InputError: no snapshot was taken then, the points are not finite or have other features,
            the level is not between 0 and 1, or a feature is called like a column of the table.

    Examples:
        >>> import bayesjko
        >>> cells = bayesjko.simulate(
        ...     "quadratic", particles=1000, snapshots=3, tau=0.1, paired=True
        ... )
        >>> result = bayesjko.fit(cells, potential="poly:2")
        >>> table = bayesjko.energy_at(result, np.array([[1.0, 0.0]]))
        >>> [name for name in table if name.startswith("drift_x1")]
        ['drift_x1', 'drift_x1_sd', 'drift_x1_low', 'drift_x1_high']
        >>> bool(table["drift_x1_low"][0] < -1.0 < table["drift_x1_high"][0])
        True
    """
    points = _check_points(result, points)
    features = result.snapshots.features
    columns = {name: points[:, c] for c, name in enumerate(features)}
    found: dict[str, np.ndarray] = {}
    if "potential" in result.energy.slices:
        potential = potential_spread(result, points, time, level)
        found |= {"potential": potential.mean, "potential_sd": potential.sd}
    drift = drift_spread(result, points, time, level)
    for c, name in enumerate(features):
        found |= {
            f"drift_{name}": drift.mean[:, c],
            f"drift_{name}_sd": drift.sd[:, c],
            f"drift_{name}_low": drift.low[:, c],
            f"drift_{name}_high": drift.high[:, c],
        }
    table = columns | found
    if len(table) < 5 * len(features) + 2 * ("potential" in result.energy.slices):
        raise InputError(
            f"The features {', '.join(features)} are called like the table's own columns "
            "(potential, drift_… or a name that ends in _sd, _low or _high); rename them."
        )
    return table


def drift_spread(
    result: Result,
    points: Float[np.ndarray, "n d"],
    time: float | None = None,
    level: float = 0.9,
) -> Spread:
    """The drift −∇V − ∇W∗ρ at points over the posterior's draws; arguments as of `energy_at`."""
    return _spread(result, result.drift, points, time, level, points.shape[1])


def potential_spread(
    result: Result,
    points: Float[np.ndarray, "n d"],
    time: float | None = None,
    level: float = 0.9,
) -> Spread:
    """V at points over the posterior's draws, V = 0 at the data's mean; as of `energy_at`."""
    return _spread(result, result.potential, points, time, level, 1)


def interaction_spread(
    result: Result,
    displacements: Float[np.ndarray, "n d"],
    time: float | None = None,
    level: float = 0.9,
) -> Spread:
    """W at displacements of two particles over the posterior's draws, W = 0 at no displacement.

    Args:
        result: of a fit.
        displacements: in the user's units.
        time: of the snapshot whose period is meant; the last if None.
        level: how much of the posterior an interval holds.

    Raises:
        InputError: the energy has no interaction, no snapshot was taken then, or the level is not
            between 0 and 1.
    """
    return _spread(result, partial(_interaction, result), displacements, time, level, 1)


def _interaction(
    result: Result, displacements: Float[np.ndarray, "n d"], time: float | None
) -> Float[np.ndarray, "draws n"]:
    where, basis = result.energy.slices.get("interaction"), result.energy.interaction
    if where is None or basis is None:
        raise InputError(
            "This energy has no interaction term; fit with an interaction to ask for W."
        )
    draws = result.coefficients(time)[:, where]
    with_none = np.concatenate([np.zeros_like(displacements[:1]), displacements])
    with double():
        features = np.asarray(_features(basis, with_none / result.standardisation.length))
    return draws @ (features[1:] - features[0]).T * result.standardisation.energy


@eqx.filter_jit
def _features(basis: Basis, points: Float[Array | np.ndarray, "n d"]) -> Float[Array, "n K"]:
    return jax.vmap(basis.value)(jnp.asarray(points))


def _spread(
    result: Result,
    quantity: Callable[..., np.ndarray],
    points: np.ndarray,
    time: float | None,
    level: float,
    components: int,
) -> Spread:
    """Mean, standard deviation and interval of the draws, a block of points at a time."""
    if not 0.0 < level < 1.0:
        raise InputError(f"The level is {level:g}; give a number between 0 and 1, such as 0.9.")
    block = max(1, min(_BLOCK, _HELD // (len(result.posterior.draws) * components)))
    ends = [0.5 - level / 2, 0.5 + level / 2]
    parts = []
    for start in range(0, len(points), block):
        draws = quantity(points[start : start + block], time)
        parts.append((draws.mean(axis=0), draws.std(axis=0), *np.quantile(draws, ends, axis=0)))
    return Spread(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _check_points(result: Result, points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    d = result.snapshots.dimension
    if points.ndim != 2 or points.shape[1] != d or not len(points):
        raise InputError(
            f"The points have shape {points.shape}; give at least one, of shape (points, {d}), the "
            f"features being {', '.join(result.snapshots.features)}."
        )
    bad = np.argwhere(~np.isfinite(points))
    if len(bad):
        raise InputError(
            f"{len(bad)} values of the points are no finite numbers, the first in row "
            f"{bad[0][0] + 1}; mend or drop them."
        )
    return points
