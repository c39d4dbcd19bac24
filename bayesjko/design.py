"""When to sample next: how much a snapshot at a time to come is expected to tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayesjko.forecast import default_mode, simulate_draws
from bayesjko.models.errors import InputError
from bayesjko.result import Result

__all__ = ["Design", "expected_information"]

_SIMULATED = 2000  # particles of each draw, at the least
_CONFINED = 0.5  # share of draws that have to stay finite


@dataclass(frozen=True, eq=False)
class Design:
    """What a snapshot at each of some times is expected to tell.

    Attributes:
        times: at which it may be taken.
        gain: expected information of the snapshot's moments about the energy, in nats.
        target: the time of the forecast that is to become surer.
        before: standard deviation of that forecast's mean position, by feature, as things are.
        after: what is expected to be left of it, for each time.
    """

    times: Float[np.ndarray, " time"]
    gain: Float[np.ndarray, " time"]
    target: float
    before: Float[np.ndarray, " d"]
    after: Float[np.ndarray, "time d"]

    @property
    def best(self) -> float:
        """The time that leaves least of the forecast's variance."""
        return float(self.times[np.argmin(np.sum(self.after**2, axis=1))])


def expected_information(
    result: Result,
    times: Sequence[float],
    *,
    target: float | None = None,
    particles: int | None = None,
    draws: int = 200,
    seed: int = 0,
) -> Design:
    """Compare times of a next snapshot, in closed form from one set of forecasts.

    A snapshot of n particles measures means and mean squares m of all features with the sampling
    covariance S = Cov(particle)/n; under the posterior m has the covariance C over draws of the
    energy. For a linear energy the posterior is normal and m as good as linear in it, so that the
    gain is ½ log det(1 + S⁻¹C), and what is left of the variance of a forecast q is
    Var q − c(C + S)⁻¹cᵀ with c = Cov(q, m) (Lindley, Ann. Math. Stat. 27, 1956; Chaloner and
    Verdinelli, Stat. Sci. 10, 1995).

    Args:
        result: of a fit.
        times: after the last snapshot.
        target: the time of the forecast that matters; one mean sampling interval after the last of
            the times if None.
        particles: of the new snapshot; as many as the last one's if None.
        draws: of the energy.
        seed: of draws and noise.

    Raises:
        InputError: a time is not after the last snapshot, or particles escape in most draws.
    """
    last = float(result.snapshots.times[-1])
    when = np.sort(np.asarray(times, dtype=np.float64))
    if not len(when) or not np.all(np.isfinite(when)) or when[0] <= last:
        raise InputError(f"Give times after the last snapshot's, {last:g}, to choose among.")
    usual = float(np.mean(result.snapshots.durations))
    goal = float(when[-1]) + usual if target is None else float(target)
    if goal <= last or draws < 3:
        raise InputError(
            f"Cannot forecast time {goal:g} with {draws} draws; give a target after the last "
            f"snapshot's time, {last:g}, and at least 3 draws."
        )
    count = result.snapshots.counts[-1] if particles is None else particles
    if count < 2:
        raise InputError(f"A snapshot of {count} particles tells nothing; give at least 2.")
    d = result.snapshots.dimension
    # twice under other noise of the motion: between the two only what the energy does is shared
    runs = [
        [_ends(result, float(t), draws, seed + 2 * i + twin) for twin in (0, 1)]
        for i, t in enumerate([goal, *when])
    ]
    kept = np.all([np.all(np.isfinite(run), axis=(0, 2, 3)) for run in runs], axis=0)
    if np.mean(kept) < _CONFINED:
        raise InputError(
            f"Particles escape in {np.sum(~kept)} of {len(kept)} draws on the way: the energy is "
            "not known well enough to plan by; choose earlier times, or a basis that confines."
        )
    weight = _weight(result)
    final, *others = [[_moments(twin[kept], weight) for twin in run] for run in runs]
    q = [means[:, :d] - means[:, :d].mean(axis=0) for means, _ in final]
    variance = np.maximum(np.mean(q[0] * q[1], axis=0), 0.0)
    gains, left = [], []
    for twins in others:
        m = [means - means.mean(axis=0) for means, _ in twins]
        sampling = np.mean([covariance for _, covariance in twins], axis=0) / count
        known = _positive(0.5 * (m[0].T @ m[1] + m[1].T @ m[0]) / len(m[0]))
        scale = 1.0 / np.sqrt(np.maximum(np.diag(sampling), np.finfo(float).tiny))
        whitened = np.linalg.solve(_unit(sampling, scale), _unit(known, scale))
        gains.append(0.5 * float(np.linalg.slogdet(np.eye(len(scale)) + whitened)[1]))
        cross = 0.5 * (q[0].T @ m[0] + q[1].T @ m[1]) / len(m[0])
        learned = np.linalg.solve(known + sampling, cross.T).T
        left.append(np.maximum(variance - np.sum(learned * cross, axis=1), 0.0))
    return Design(when, np.array(gains), goal, np.sqrt(variance), np.sqrt(np.array(left)))


def _weight(result: Result) -> Float[np.ndarray, " n"]:
    """Of the simulated particles: whole copies of the last snapshot's."""
    weight = result.snapshots.weights[-1]
    copies = -(-_SIMULATED // len(weight))
    return np.tile(weight, copies) / copies


def _ends(result: Result, time: float, draws: int, seed: int) -> Float[np.ndarray, "draw n d"]:
    """Where they are then, from the data's mean, under the same draws whatever the time."""
    weight = _weight(result)
    cloud = result.snapshots.particles[-1]
    _, clouds = simulate_draws(
        result,
        result.posterior.draws[:draws],
        np.tile(cloud, (len(weight) // len(cloud), 1)),
        weight,
        float(result.snapshots.times[-1]),
        time,
        mode=default_mode(result),
        seed=seed,
        lost="leave",
    )
    return np.asarray(clouds[:, -1] - result.standardisation.mean)


def _moments(
    ends: Float[np.ndarray, "draw n d"], weight: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "draw M"], Float[np.ndarray, "M M"]]:
    """Means and mean squares of the features under each draw, and one particle's covariance."""
    each = np.concatenate([ends, ends**2], axis=2)
    means = np.einsum("n,snm->sm", weight, each)
    within = np.einsum("n,snm,snk->mk", weight, each, each) / len(each)
    within -= means.T @ means / len(means)
    return means, within


def _positive(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


def _unit(matrix: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return scale[:, None] * matrix * scale
