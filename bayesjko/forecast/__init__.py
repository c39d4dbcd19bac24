"""Posterior predictive trajectories: where particles go, and how sure we are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float

from bayesjko.command import write_atomically
from bayesjko.forecast.interventions import intervene
from bayesjko.forecast.stepping import choose_substeps
from bayesjko.inference.sharding import over_devices
from bayesjko.models.data import Standardisation
from bayesjko.models.dynamics import advance
from bayesjko.models.errors import InputError, check_seed
from bayesjko.models.likelihoods.residual import Scheme
from bayesjko.models.precision import double
from bayesjko.netcdf import write_netcdf
from bayesjko.result import Result

__all__ = ["Forecast", "Mode", "Push", "forecast", "simulate_draws"]

Push = Callable[[np.ndarray, float], np.ndarray]
"""A drift from outside: (points, time) ↦ a velocity for each point, in the user's units."""

Mode = Literal["map", "sde"]
"""`map`: one step of the fit's scheme an interval; `sde`: Euler–Maruyama with substeps."""

_TRIED = 500  # particles on which steps are tried out
_MOST_STOPS = 100_000  # of a forecast, so that a slip of the horizon is told and not simulated
_ESCAPE = 1e6  # standard units beyond which a particle counts as lost
_SPARE = 0.05  # of the draws, instead of those whose particles are lost


@dataclass(frozen=True, eq=False)
class Forecast:
    """Simulated trajectories, one cloud a draw of the energy, in the user's units.

    Attributes:
        times: when, the start included.
        trajectories: where each particle is.
        weights: of each particle.
        features: names of the coordinates.
        settings: how it was simulated.
    """

    times: Float[np.ndarray, " time"]
    trajectories: Float[np.ndarray, "draw time particle feature"]
    weights: Float[np.ndarray, " particle"]
    features: tuple[str, ...]
    settings: dict[str, Any]

    def to_dataset(self) -> xr.Dataset:
        """Dimensions (draw, time, particle, feature)."""
        return xr.Dataset(
            {
                "trajectories": (("draw", "time", "particle", "feature"), self.trajectories),
                "weight": ("particle", self.weights),
            },
            {"time": self.times, "feature": list(self.features)},
            {"title": "bayesjko forecast", "settings": json.dumps(self.settings)},
        )

    def save(self, path: str | Path) -> None:
        """Write a netCDF file, whole or not at all.

        Raises:
            InputError: the folder does not exist or cannot be written to.
        """
        with write_atomically(path) as temporary:
            write_netcdf(self.to_dataset(), temporary)


def forecast(
    result: Result,
    *,
    start: float | np.ndarray | None = None,
    start_time: float | None = None,
    horizon: float | None = None,
    mode: Mode | None = None,
    scheme: Scheme | None = None,
    substeps: int | Literal["auto"] = "auto",
    draws: int = 100,
    seed: int = 0,
    fixed: Mapping[str, float] | None = None,
    scale: Mapping[str, float] | None = None,
    push: Push | None = None,
) -> Forecast:
    """Simulate the population forward under draws of the energy.

    The population is known to stay: of the draws, up to one in twenty whose particles escape give
    way to others, and `settings["escaped"]` counts them.

    Args:
        result: of a fit.
        start: time of the snapshot to start from (the last if None), or a cloud (n, d) of one's
            own in the user's units.
        start_time: when a cloud of one's own is; the last snapshot's time if None.
        horizon: how long, in the user's unit of time; one mean sampling interval if None.
        mode: `map`, the one-step map of the fit's scheme for every sampling interval, or `sde`;
            by default the map for a fit by couplings, whose force is per interval.
        scheme: of the map; the fit's own if None.
        substeps: of the stochastic equation, per sampling interval; `auto` doubles them until
            halving the step moves no more than 1% of the distance (see `settings` of the forecast).
        draws: how many draws of the energy.
        seed: of the draws and of the noise.
        fixed: terms of the energy set to another value: `{"beta": 0}`; 0 removes any term.
        scale: terms of the energy scaled by a factor: `{"potential": 0.5}`.
        push: a drift from outside, added to the energy's own at the beginning of each step.

    Raises:
        InputError: the start is no snapshot or no cloud of these features, the horizon is not
            positive, a term cannot be changed so, or the energy does not confine the particles.

    Examples:
        >>> import bayesjko
        >>> cells = bayesjko.simulate("quadratic", particles=500, snapshots=3, tau=0.1, paired=True)
        >>> result = bayesjko.fit(cells, potential="poly:2")
        >>> future = bayesjko.forecast(result, horizon=0.2, draws=20)
        >>> future.times.round(2)
        array([0.2, 0.3, 0.4])
        >>> future.trajectories.shape  # (draws, times, particles, features)
        (20, 3, 500, 2)
    """
    result = intervene(result, fixed, scale)
    horizon = float(np.mean(result.snapshots.durations)) if horizon is None else float(horizon)
    if not 0 < horizon < np.inf:
        raise InputError(f"The horizon is {horizon:g}; give a positive duration.")
    if draws < 1 or (substeps != "auto" and substeps < 1):
        raise InputError(
            f"Cannot simulate {draws} draws with {substeps} substeps; give at least 1."
        )
    check_seed(seed)
    cloud, weight, begin = _start(result, start, start_time)
    rng = np.random.default_rng(seed)
    available = result.posterior.draws
    chosen = np.sort(rng.permutation(len(available))[: draws + int(_SPARE * draws)])
    mode = mode or default_mode(result)
    step_error = None
    if substeps == "auto":
        substeps, step_error = 1, None
        if mode == "sde":
            substeps, step_error = choose_substeps(
                lambda steps: simulate_draws(
                    result,
                    result.posterior.mean[None],
                    cloud[:_TRIED],
                    weight[:_TRIED] / weight[:_TRIED].sum(),
                    begin,
                    begin + horizon,
                    mode="sde",
                    substeps=steps,
                    noisy=False,
                    lost="leave",
                    certain=1,
                    push=push,
                )[1][0]
            )
    times, clouds = simulate_draws(
        result,
        available[chosen],
        cloud,
        weight,
        begin,
        begin + horizon,
        mode=mode,
        scheme=scheme,
        substeps=substeps,
        seed=seed,
        lost="leave",
        push=push,
    )
    escaped = ~np.all(np.isfinite(clouds), axis=(2, 3))
    stays = ~escaped[:, -1]
    if np.sum(stays) < (1.0 - _SPARE) * len(stays):
        first = int(np.argmax(np.any(escaped, axis=0)))
        raise _escape(~stays, float(times[first]))
    settings = {
        "start_time": begin,
        "horizon": horizon,
        "mode": mode,
        "scheme": scheme or result.scheme,
        "substeps": substeps,
        "step_error": step_error,
        "seed": seed,
        "data": result.provenance.get("data_hash"),
        "fixed": dict(fixed or {}),
        "scale": dict(scale or {}),
        "push": push is not None,
        "escaped": int(np.sum(~stays)),
    }
    return Forecast(times, clouds[stays][:draws], weight, result.snapshots.features, settings)


def default_mode(result: Result) -> Mode:
    """The simulation that a fit's likelihood stands for."""
    return "map" if result.settings.get("likelihood", "residual") == "residual" else "sde"


def simulate_draws(
    result: Result,
    coefficients: Float[np.ndarray, "draw period K"],
    cloud: Float[np.ndarray, "n d"],
    weight: Float[np.ndarray, " n"],
    begin: float,
    end: float,
    *,
    mode: Mode,
    scheme: Scheme | None = None,
    substeps: int = 20,
    seed: int = 0,
    noisy: bool = True,
    lost: Literal["refuse", "leave"] = "refuse",
    certain: int = 0,
    push: Push | None = None,
) -> tuple[Float[np.ndarray, " time"], Float[np.ndarray, "draw time n d"]]:
    """Clouds at the start and at the end of every sampling interval until `end`, user's units.

    Without noise the drift alone moves them. Draws whose particles escape are refused, or left to
    the caller as clouds that are infinite from then on. Of an energy that wanders the first
    `certain` coefficients follow the mean of their path.

    Raises:
        InputError: particles escape: the energy does not confine them.
    """
    scheme = scheme or result.scheme
    observed, units = result.snapshots.times, result.standardisation
    times = _stops(observed, begin, end)
    usual = float(np.mean(result.snapshots.durations))
    states = [np.broadcast_to(units.points(cloud), (len(coefficients), *cloud.shape))]
    key = jax.random.PRNGKey(seed)
    if result.posterior.walk is not None:
        halfway = 0.5 * (times[:-1] + times[1:])
        along = result.path(coefficients, halfway, certain=certain, seed=seed)
    else:
        before = np.searchsorted(observed, times[:-1] + 1e-9 * usual) - 1
        along = coefficients[:, [result.period(max(int(k), 0)) for k in before]]
    with double():
        for index, (t, after) in enumerate(zip(times[:-1], times[1:], strict=True)):
            steps = 1 if mode == "map" else max(1, round(substeps * (after - t) / usual))
            # a push from outside is a Python function: then every step is a call of its own
            calls = 1 if push is None else steps
            span = (after - t) / calls
            state, own = states[-1], jax.random.fold_in(key, index)
            energy = result.in_force(0.5 * (t + after))
            for call in range(calls):
                noise = own if push is None else jax.random.fold_in(own, call)
                moved = _advance(
                    (along[:, index], state, jax.random.split(noise, len(state))),
                    energy,
                    weight,
                    np.asarray(span / units.duration),
                    np.asarray(steps // calls),
                    "explicit" if mode == "sde" else scheme,
                    noisy,
                )
                shift = 0.0 if push is None else _pushed(push, state, t + call * span, span, units)
                state = moved + shift
            escaped = ~np.all(np.abs(state) < _ESCAPE, axis=(1, 2))
            if escaped.any() and lost == "refuse":
                raise _escape(escaped, after)
            states.append(np.where(escaped[:, None, None], np.inf, state))
    return times, np.stack([units.restore(s) for s in states], axis=1)


@over_devices
def _advance(draws, energy, weight, duration, steps, scheme, noisy):  # type: ignore[no-untyped-def]
    """Each draw's cloud after a time."""
    coefficients, clouds, keys = draws
    return advance(energy, coefficients, clouds, weight, duration, steps, keys, scheme, noisy=noisy)


def _pushed(
    push: Push, state: np.ndarray, time: float, span: float, units: Standardisation
) -> np.ndarray:
    """How far a push moves each particle of each draw in a step, in standard units."""
    points = units.restore(state.reshape(-1, state.shape[2]))
    velocity = np.asarray(push(points, time), dtype=np.float64)
    if velocity.shape != points.shape or not np.all(np.isfinite(velocity)):
        raise InputError(
            f"The push gave an array of shape {velocity.shape} for points of shape "
            f"{points.shape}; it must return finite velocities, one a point."
        )
    return velocity.reshape(state.shape) * (span / units.length)


def _start(
    result: Result, start: float | np.ndarray | None, start_time: float | None
) -> tuple[np.ndarray, np.ndarray, float]:
    if isinstance(start, np.ndarray) and start.ndim:
        cloud = np.asarray(start, dtype=np.float64)
        d = result.snapshots.dimension
        if cloud.ndim != 2 or cloud.shape[1] != d or not np.all(np.isfinite(cloud)):
            raise InputError(
                f"The starting cloud has shape {cloud.shape}; give finite values of shape "
                f"(particles, {d}), the features being {', '.join(result.snapshots.features)}."
            )
        begin = float(result.snapshots.times[-1] if start_time is None else start_time)
        if not np.isfinite(begin):
            raise InputError(f"The start's time is {begin}; give a finite time.")
        return cloud, np.full(len(cloud), 1.0 / len(cloud)), begin
    if start_time is not None:
        raise InputError(
            "A start's time is told of a cloud of your own; give that as the start, or the time "
            "of a snapshot instead."
        )
    index = result.snapshot_index(None if start is None else float(start))
    snapshots = result.snapshots
    return snapshots.particles[index], snapshots.weights[index], float(snapshots.times[index])


def _stops(observed: np.ndarray, begin: float, end: float) -> np.ndarray:
    """The start, every snapshot's time on the way, then steps of the last interval, the end."""
    last = observed[-1] - observed[-2]
    small = 1e-9 * last
    if end - begin > _MOST_STOPS * last:
        raise InputError(
            f"The horizon is {end - begin:g} and the last interval between snapshots {last:g}; "
            f"give less than {_MOST_STOPS} times that."
        )
    beyond = np.arange(max(observed[-1], begin) + last, end + small, last)
    between = np.concatenate([observed, beyond])
    inner = between[(between > begin + small) & (between < end - small)]
    return np.concatenate([[begin], inner, [end]])


def _escape(escaped: np.ndarray, time: float) -> InputError:
    return InputError(
        f"Particles escape in {int(escaped.sum())} of {len(escaped)} draws, the first of them "
        f"before time {time:g}: the energy does not confine them there; shorten the horizon, take "
        "more substeps, or fit a basis that confines (rbf, or poly of an even degree on more data)."
    )
