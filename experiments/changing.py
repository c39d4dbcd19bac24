"""Are the intervals of energies that change in time true? One potential fades into another."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Float

from bayesjko import Snapshots, fit
from bayesjko.experiments.coverage import draw_coverage
from bayesjko.experiments.recovery import force_numbers, recovery_table
from bayesjko.experiments.specification import Experiment, Report, Study
from bayesjko.models.precision import double
from bayesjko.potentials import POTENTIALS

__all__ = ["EXPERIMENT", "Fading"]

_STEPS = 40  # of the true process, an interval
_PROBES = 30  # particles of the start of each interval at which forces are compared


@dataclass(frozen=True)
class Fading:
    """V fades from `first` to `last`, linearly in time: what is simulated and how it is fitted.

    Attributes:
        first: potential at the first snapshot.
        last: potential at the last one.
        times: of the snapshots, equally far apart.
        particles: in each snapshot, all fresh; the population starts as N(0, I).
        dimension: number of coordinates.
        beta: strength of the internal energy.
        settings: of the fit, whatever the method.
    """

    first: str
    last: str
    times: tuple[float, ...]
    particles: int
    dimension: int
    beta: float
    settings: Mapping[str, Any] = field(default_factory=dict)

    def snapshots(self, seed: int) -> Snapshots:
        """One simulated population."""
        rng = np.random.default_rng(seed)
        clouds = []
        for count in range(len(self.times)):
            cloud = rng.normal(size=(self.particles, self.dimension))
            for interval in range(count):
                cloud = self.moved(cloud, interval, rng)
            clouds.append(cloud)
        return Snapshots(np.array(self.times), tuple(clouds))

    def moved(
        self, cloud: Float[np.ndarray, "n d"], interval: int, rng: np.random.Generator | None
    ) -> Float[np.ndarray, "n d"]:
        """Particles at the end of an interval; without noise if no generator is given."""
        start, end = self.times[interval : interval + 2]
        dt = (end - start) / _STEPS
        for step in range(_STEPS):
            cloud = cloud + dt * self.drift(cloud, start + (step + 0.5) * dt)
            if rng is not None and self.beta > 0.0:
                cloud = cloud + np.sqrt(2.0 * self.beta * dt) * rng.normal(size=cloud.shape)
        return cloud

    def drift(self, points: Float[np.ndarray, "n d"], when: float) -> Float[np.ndarray, "n d"]:
        """−∇V at a time."""
        share = (when - self.times[0]) / (self.times[-1] - self.times[0])
        with double():
            return np.asarray(_fading(jnp.asarray(points), share, first=self.first, last=self.last))


@partial(jax.jit, static_argnames=("first", "last"))
def _fading(
    points: Float[Array, "n d"], share: float | Float[Array, ""], *, first: str, last: str
) -> Float[Array, "n d"]:
    before, after = (jax.vmap(jax.grad(POTENTIALS[name]))(points) for name in (first, last))
    return (share - 1.0) * before - share * after


def steps(case: Fading, settings: Mapping[str, Any], replicate: int) -> dict[str, float]:
    """The displacement that a piecewise energy finds for each interval, over its length.

    The flow of a potential that is a sum over coordinates is the optimal map between the clouds
    at its ends, which one explicit step is to describe.

    Args:
        case: what is simulated, without noise.
        settings: the method's: changes of the fit's settings.
        replicate: seed of the simulation, of the probes and of the fit.

    Returns:
        As `recover`.
    """

    def truth(points: np.ndarray, interval: int) -> np.ndarray:
        length = case.times[interval + 1] - case.times[interval]
        return (case.moved(points, interval, None) - points) / length

    return _compared(case, settings, replicate, truth, halfway=0.0)


def drifts(case: Fading, settings: Mapping[str, Any], replicate: int) -> dict[str, float]:
    """The drift of an energy that is known at all times, in the middle of each interval.

    Args:
        case: what is simulated.
        settings: the method's: changes of the fit's settings.
        replicate: seed of the simulation, of the probes and of the fit.

    Returns:
        As `recover`.
    """

    def truth(points: np.ndarray, interval: int) -> np.ndarray:
        return case.drift(points, 0.5 * sum(case.times[interval : interval + 2]))

    return _compared(case, settings, replicate, truth, halfway=0.5)


def _compared(case, settings, replicate, truth, *, halfway):  # type: ignore[no-untyped-def]
    snapshots = case.snapshots(replicate)
    start = time.process_time()
    result = fit(snapshots, jobs=1, seed=replicate, **{**case.settings, **settings})
    seconds = time.process_time() - start
    rng = np.random.default_rng([replicate, case.particles])
    draws, true = [], []
    for k, cloud in enumerate(snapshots.particles[:-1]):
        points = cloud[rng.choice(len(cloud), _PROBES, replace=False)]
        when = case.times[k] + halfway * (case.times[k + 1] - case.times[k])
        draws.append(result.drift(points, when))
        true.append(truth(points, k))
    numbers = force_numbers(np.concatenate(draws, axis=1), np.concatenate(true))
    return {**numbers, "coefficients": float(result.energy.size), "seconds": seconds}


def _times(count: int, interval: float) -> tuple[float, ...]:
    return tuple(round(k * interval, 10) for k in range(count))


def _stepped(particles: int, dimension: int, basis: str) -> Fading:
    """The cloud doubles its width, then halves it and moves away by as much."""
    return Fading(
        "styblinski_tang", "oakley_ohagan", _times(4, 0.05), particles, dimension, 0.0,
        {"potential": basis, "internal": False},
    )  # fmt: skip


def _wandering(particles: int, count: int) -> Fading:
    return Fading(
        "double_well", "quadratic", _times(count, 0.1), particles, 2, 0.1,
        {"potential": "poly:4"},
    )  # fmt: skip


PIECEWISE = {"piecewise": {"time_variation": "piecewise"}}
WALKS = {
    f"walk_{likelihood}": {"time_variation": "random-walk", "likelihood": likelihood}
    for likelihood in ("residual", "flow")
}
"""By couplings, as a fit chooses unless told, and by moments of paths."""

_NETWORK = {"potential": "mlp:32,32", "time_variation": "neural", "likelihood": "residual"}
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "network": _NETWORK,
    "network_ensemble": {**_NETWORK, "method": "ensemble"},
}
"""Of position and time; what one alone takes for known, several tell differently."""


def _report(cells: pd.DataFrame) -> Report:
    table = recovery_table(cells).dropna(axis=1, how="all")
    return Report(
        {"metrics": table},
        lambda folder: draw_coverage(
            table,
            folder / "changing.png",
            "Forces of energies that change, within their 90% intervals",
            [("cover_90", "forces")],
            "share within the interval",
        ),
    )


EXPERIMENT = Experiment(
    question="Do 90% intervals hold the forces of an energy that changes in time: of one for each "
    "interval, in a few dimensions and many coefficients, and of one that wanders?",
    studies=(
        Study(
            {"2d": _stepped(400, 2, "rbf:40"), "5d": _stepped(600, 5, "rbf:100")},
            PIECEWISE,
            50,
            steps,
        ),
        Study({"drifting": _wandering(300, 8)}, WALKS, 50, drifts),
        Study({"drifting": _wandering(300, 8)}, NETWORKS, 20, drifts),
    ),
    smoke=(
        Study({"2d": _stepped(100, 2, "rbf:10")}, PIECEWISE, 1, steps),
        Study(
            {"drifting": _wandering(100, 4)},
            {"walk_residual": WALKS["walk_residual"]},
            1,
            drifts,
        ),
    ),
    report=_report,
)
