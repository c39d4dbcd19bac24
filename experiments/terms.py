"""Which term of an energy is found again, and do we say so where one cannot be?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from bayesjko import Result, Snapshots, fit, simulate
from bayesjko.experiments.onestep import one_step_scores
from bayesjko.experiments.recovery import Truth, beta_numbers, force_numbers, probes
from bayesjko.experiments.tables import mean_table
from bayesjko.forecast.interventions import intervene
from bayesjko.models.precision import double
from bayesjko.potentials import POTENTIALS
from bayesjko.simulate import true_drift

__all__ = ["recover_terms", "terms_table"]

_DRAWS = 5  # of a W1's interval
_TERMS = ("potential", "interaction")
_KINDS = ("cover_90", "error", "spread")
_MEANS = (
    "w1",
    *_KINDS,
    *(f"{term}_{kind}" for term in _TERMS for kind in _KINDS),
    "beta",
    "beta_covered",
)
_SHARES = (
    "beta_true",
    "beta_spread",
    "beta_excludes_zero",
    "unidentified",
    "gauge",
    "still",
    "warned",
    "unsettled",
    "movement",
)


def recover_terms(truth: Truth, settings: Mapping[str, Any], replicate: int) -> dict[str, float]:
    """Fit half of a simulated population's particles and compare each term with its truth.

    Of an interaction only its even part is an energy; the push of its odd part, the same for all
    particles where that part is linear, belongs to the potential. Forces are compared at particles,
    around the last snapshot.

    Args:
        truth: what is simulated.
        settings: the method's: changes of the fit's settings.
        replicate: seed of the simulation, the split, the fit and the scores.

    Returns:
        `cover_90`, `error` and `spread` of the drift, and of each term's force as `potential_error`
        and so on (relative to its own size); of β; `w1`, one step ahead, of the other half where
        particles were followed. What the fit says of itself, as 0 or 1: `gauge`, V and W trade off;
        `still`, the population hardly moves; `warned`, β needs another snapshot; `unsettled`, its
        intervals are not to be trusted; `unidentified`, any of these, or a term's force known to no
        better than its own size. `movement` is the distance from standing still.
    """
    snapshots = simulate(**truth.simulation, seed=replicate)
    train, test = snapshots.split(0.5, replicate)
    start = time.process_time()
    result = fit(train, jobs=1, seed=replicate, **{**truth.settings, **settings})
    seconds = time.process_time() - start
    points = probes(truth, train, replicate)
    numbers = _forces(result, points, train)
    numbers |= beta_numbers(result) | _said(result)
    if truth.simulation.get("paired"):
        numbers["w1"] = one_step_scores(result, test, draws=_DRAWS, seed=replicate)["w1"]
    return numbers | {"seconds": seconds}


def terms_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Means over replicates, a row for each case and method, without columns that nobody has."""
    table = mean_table(cells, _MEANS, (*_SHARES, "seconds"))
    shares = mean_table(cells, _SHARES)[list(_SHARES)]  # of zeros and ones no median
    table[list(_SHARES)] = shares
    empty = [name for name in table if table[str(name).removesuffix("_se")].isna().all()]
    return table.drop(columns=empty)


def _forces(
    result: Result, points: Float[np.ndarray, "n d"], snapshots: Snapshots
) -> dict[str, float]:
    truth, cloud = snapshots.truth, snapshots.particles[-1]
    assert truth is not None, "simulated snapshots know their truth"
    whole = true_drift(truth, points, cloud)
    numbers = _named("", result, points, whole)
    even = np.zeros_like(points)
    if truth["interaction"] != "none":
        even = _even_push(truth, points, cloud)
    both = {"potential", "interaction"} <= set(result.energy.slices)
    if both:
        alone = intervene(result, {"interaction": 0.0})
        numbers |= _named("potential_", alone, points, whole - even)
        felt = intervene(result, {"potential": 0.0})
        if np.any(even):
            numbers |= _named("interaction_", felt, points, even)
        else:
            spread = np.sqrt(np.mean(felt.drift(points).var(axis=0)) / np.mean(whole**2))
            numbers["interaction_spread"] = float(spread)
    return numbers


def _named(
    prefix: str, result: Result, points: Float[np.ndarray, "n d"], true: Float[np.ndarray, "n d"]
) -> dict[str, float]:
    found = force_numbers(result.drift(points), true)
    return {f"{prefix}{kind}": float(found[kind]) for kind in _KINDS}


def _even_push(
    truth: Mapping[str, Any], points: Float[np.ndarray, "n d"], cloud: Float[np.ndarray, "m d"]
) -> Float[np.ndarray, "n d"]:
    """−∇W_even∗ρ, with W_even(z) = ½(W(z) + W(−z))."""
    slope = jax.grad(POTENTIALS[truth["interaction"]])

    def at(point: Float[Array, " d"]) -> Float[Array, " d"]:
        away = point - others
        each = jax.vmap(lambda z: 0.5 * (slope(z) - slope(-z)))(away)
        return -truth.get("interaction_scale", 1.0) * jnp.mean(each, axis=0)

    with double():
        others = jnp.asarray(cloud)
        return np.asarray(jax.lax.map(at, jnp.asarray(points)))


def _said(result: Result) -> dict[str, float]:
    report = result.identifiability
    assert report is not None, "every fit reports on itself"
    sizes = report.sizes
    unknown = any(report.spreads[term] >= sizes[term] for term in result.energy.slices)
    said = {
        "gauge": report.gauge is not None and report.gauge.flagged,
        "still": report.movement.still,
        "warned": bool(report.warnings),
        "unsettled": any("do not trust" in note for note in result.posterior.notes),
    }
    numbers = {name: float(value) for name, value in said.items()}
    return numbers | {
        "unidentified": float(unknown or any(said.values())),
        "movement": report.movement.ratio,
    }
