"""Clouds that a result predicts at the times of snapshots it is scored on."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from bayesjko.forecast import Mode, simulate_draws
from bayesjko.models.data import Snapshots
from bayesjko.models.errors import InputError, check_seed
from bayesjko.potentials import POTENTIALS
from bayesjko.result import Result
from bayesjko.simulate import true_drift

__all__ = ["check_questions", "coefficients_of", "moved", "unexplained"]

_TRUE_STEPS = 40  # of the true drift's path, per interval


def check_questions(result: Result, test: Snapshots, draws: int, substeps: int, seed: int) -> None:
    """Whether a result can be scored on these snapshots.

    Raises:
        InputError: it cannot.
    """
    if test.features != result.snapshots.features:
        raise InputError(
            f"The test snapshots have the features {', '.join(test.features)} and the fit "
            f"{', '.join(result.snapshots.features)}; give the same ones in the same order."
        )
    if draws < 1 or substeps < 1:
        raise InputError(f"Cannot score {draws} draws with {substeps} substeps; give at least 1.")
    check_seed(seed)


def coefficients_of(
    result: Result, draws: int, seed: int
) -> Float[np.ndarray, "draw_and_mean period K"]:
    """The posterior mean, then some of the draws."""
    chosen = np.random.default_rng(seed).permutation(len(result.posterior.draws))[:draws]
    return np.concatenate([result.posterior.mean[None], result.posterior.draws[chosen]])


def moved(
    result: Result,
    coefficients: Float[np.ndarray, "draw period K"],
    snapshots: Snapshots,
    start: int,
    times: Float[np.ndarray, " time"],
    *,
    mode: Mode,
    substeps: int,
    seed: int = 0,
    noisy: bool = True,
) -> Float[np.ndarray, "draw time n d"]:
    """A snapshot's particles at later times, each on the way to the last if the fit stops there.

    Draws (after the first, the posterior mean) whose particles escape are infinite.

    Raises:
        InputError: particles escape under the posterior mean.
    """

    def simulated(until: float) -> tuple[np.ndarray, np.ndarray]:
        return simulate_draws(
            result,
            coefficients,
            snapshots.particles[start],
            snapshots.weights[start],
            float(snapshots.times[start]),
            until,
            mode=mode,
            substeps=substeps,
            seed=seed,
            noisy=noisy,
            lost="leave",
            certain=1,
        )

    stops, clouds = simulated(float(times[-1]))
    found = []
    for t in times:
        nearest = int(np.argmin(np.abs(stops - t)))
        on_the_way = np.isclose(stops[nearest], t, rtol=1e-9, atol=0.0)
        found.append(clouds[:, nearest] if on_the_way else simulated(float(t))[1][:, -1])
    together = np.stack(found, axis=1)
    if not np.all(np.isfinite(together[0])):
        raise InputError(
            f"Particles of the snapshot at time {snapshots.times[start]:g} escape under the "
            "posterior mean: the energy does not confine them there; fit with fewer coefficients, "
            "a basis that confines (rbf), or another scheme or likelihood."
        )
    return together


def unexplained(
    result: Result,
    coefficients: Float[np.ndarray, "draw period K"],
    snapshots: Snapshots,
    start: int,
    time: float,
    *,
    mode: Mode,
    substeps: int,
    variance_of: int,
) -> Float[np.ndarray, " draw_and_still"] | None:
    """L²-UVP in percent of each draw's displacements, then of none: 100 E‖T̂ − T‖²/Var.

    T moves a particle by the drift alone, without noise, which no forecast can know; Var is the
    variance of the snapshot that is predicted (Korotin et al., Do neural optimal transport solvers
    work?, NeurIPS 2021). None where the truth is not known.
    """
    truth = snapshots.truth
    known = {*POTENTIALS, "none"}
    if truth is None or truth.get("dimension") != snapshots.dimension:
        return None
    if not {truth.get("potential"), truth.get("interaction")} <= known:
        return None
    weight, cloud = snapshots.weights[start], snapshots.particles[start]
    if np.ptp(weight) > 1e-9 / len(weight):
        return None  # the simulation's particles all count the same
    drifted = moved(
        result,
        coefficients,
        snapshots,
        start,
        np.array([time]),
        mode=mode,
        substeps=substeps,
        noisy=False,
    )[:, 0]
    target = cloud
    step = (time - float(snapshots.times[start])) / _TRUE_STEPS
    for _ in range(_TRUE_STEPS):
        halfway = target + 0.5 * step * true_drift(truth, target, target)
        target = target + step * true_drift(truth, halfway, halfway)
    seen = snapshots.particles[variance_of]
    variance = float(np.sum(np.var(seen, axis=0)))
    guesses = np.concatenate([drifted, cloud[None]])  # escaped draws stay infinitely wrong
    return 100.0 * np.mean(np.sum((guesses - target) ** 2, axis=2), axis=1) / variance
