"""Populations whose energy is known: simulated snapshots to test inference against.

From Python, `simulate(...)`; from a shell, `python -m bayesjko.simulate --out snaps.nc`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from bayesjko.models.data import SnapshotError, Snapshots
from bayesjko.models.errors import check_seed
from bayesjko.models.precision import double
from bayesjko.potentials import CHAINED, POTENTIALS

__all__ = ["simulate", "true_drift", "true_potential"]

BOX = 4.0  # half the side of the cube of the uniform start, the benchmark's
ESCAPED = 1e6  # a coordinate beyond this has left for infinity
PART = 2**17  # particles simulated at a time, where they do not feel each other
CHUNK = 2**21  # numbers held at once for the pairs of an interaction: 16 MB an array


STARTS: Mapping[str, Callable[[Key[Array, ""], tuple[int, int]], Float[Array, "n d"]]] = {
    "uniform": partial(jax.random.uniform, dtype=jnp.float64, minval=-BOX, maxval=BOX),
    "normal": partial(jax.random.normal, dtype=jnp.float64),
}


def simulate(
    potential: str = "styblinski_tang",
    interaction: str = "none",
    beta: float = 0.1,
    *,
    particles: int = 1000,
    snapshots: int = 6,
    tau: float = 0.01,
    times: Sequence[float] | None = None,
    substeps: int = 20,
    paired: bool = False,
    dimension: int = 2,
    start: str = "uniform",
    interaction_scale: float = 1.0,
    seed: int = 0,
) -> Snapshots:
    """Snapshots of dX = −(∇V + ∇W∗ρ)(X) dt + √(2β) dB by Euler–Maruyama, with their truth.

    W∗ρ is the mean over the simulated population, each particle's self included, of W(x − x′)
    as its formula stands, as in the benchmark; the energy ½∬W dρdρ′ itself knows only W's even
    part, so an interaction that is not even pushes the population's mean as well.

    Args:
        potential: V, a name of `POTENTIALS` or `none`.
        interaction: W, a name of `POTENTIALS` or `none`.
        beta: β, the strength of the internal energy, hence of the noise.
        particles: how many in each snapshot.
        snapshots: how many, τ apart from time 0, where `times` are not given.
        tau: τ, the time between two snapshots, where `times` are not given.
        times: when to look, increasing; the population starts at the first.
        substeps: Euler–Maruyama steps in the shortest interval; longer ones take as many as
            keep their step no longer. One substep and β = 0 is the benchmark's x − τ∇V(x).
        paired: follow the same particles; else every snapshot is a fresh population, simulated
            from the start: what destructive measurement gives.
        dimension: number of coordinates.
        start: the first population, `uniform` on [−4, 4]^d as in the benchmark or `normal` N(0, I).
        interaction_scale: a factor on W.
        seed: of the start and the noise; the same seed gives the same snapshots.

    Returns:
        Snapshots whose `truth` rebuilds the drift (`true_drift`).

    Raises:
        InputError: an argument is out of its range, or particles escape to infinity.

    Examples:
        >>> import bayesjko
        >>> cells = bayesjko.simulate("double_well", beta=0.2, particles=100, times=[0, 0.1, 0.4])
        >>> cells.counts
        (100, 100, 100)
        >>> cells.truth["potential"]
        'double_well'
    """
    return Simulation.planned(**locals()).snapshots()


@dataclass(frozen=True, eq=False)
class Simulation:
    """Snapshots that are simulated when they are asked for, as many particles at a time as fit.

    Attributes:
        times: when to look.
        truth: what is simulated, as `simulate` keeps it.
        note: the same in a sentence.
    """

    times: Float[np.ndarray, " T"]
    truth: Mapping[str, Any]
    note: str

    @classmethod
    def planned(
        cls,
        *,
        potential: str,
        interaction: str,
        beta: float,
        particles: int,
        snapshots: int,
        tau: float,
        times: Sequence[float] | None,
        substeps: int,
        paired: bool,
        dimension: int,
        start: str,
        interaction_scale: float,
        seed: int,
    ) -> Simulation:
        """What `simulate` says of its arguments.

        Raises:
            SnapshotError: one is out of its range.
        """
        with np.errstate(invalid="ignore"):  # an infinite tau is told below
            when = np.ravel(tau * np.arange(snapshots) if times is None else times).astype(
                np.float64
            )
        truth: dict[str, Any] = {
            "potential": potential,
            "interaction": interaction,
            "interaction_scale": float(interaction_scale),
            "beta": float(beta),
            "particles": int(particles),
            "dimension": int(dimension),
            "times": when.tolist(),
            "start": start,
            "paired": bool(paired),
            "seed": int(seed),
            "scheme": "euler-maruyama",
        }
        _check(truth, substeps)
        steps, lengths = _grid(when, substeps)
        note = (
            f"Simulated: potential {potential}, interaction {interaction}, beta {beta:g}, "
            f"{'paired' if paired else 'unpaired'}, step {lengths.max():g}, seed {seed}."
        )
        full = truth | {"substeps": steps.tolist(), "dt": lengths.tolist()}
        return cls(when, full, note)

    @property
    def divisible(self) -> bool:
        """Whether particles come in parts: those that neither feel nor follow each other can."""
        return self.truth["interaction"] == "none" and not self.truth["paired"]

    def parts(self) -> Iterator[tuple[int, Float[np.ndarray, "n d"]]]:
        """Position of a snapshot and some of its particles, snapshot after snapshot.

        Raises:
            SnapshotError: particles escape to infinity.
        """
        truth = self.truth
        steps, lengths = np.array(truth["substeps"]), np.array(truth["dt"])
        with double():
            keys = [
                jax.random.fold_in(jax.random.key(truth["seed"]), k) for k in range(len(self.times))
            ]
        most = PART if self.divisible else truth["particles"]
        if truth["paired"]:
            with double():
                clouds = list(_follow(truth, keys[0], steps, lengths))
            _check_escape(clouds, self.times, truth)
            yield from enumerate(clouds)
            return
        for k, key in enumerate(keys):
            for part, start in enumerate(range(0, truth["particles"], most)):
                own = {**truth, "particles": min(most, truth["particles"] - start)}
                with double():
                    # the first part's key is the whole one's: small simulations have no other part
                    stream = key if part == 0 else jax.random.fold_in(key, part)
                    cloud = list(_follow(own, stream, steps[:k], lengths[:k]))[-1]
                _check_escape([cloud], self.times[k : k + 1], truth)
                yield k, cloud

    def snapshots(self) -> Snapshots:
        """All of them in memory.

        Raises:
            SnapshotError: particles escape to infinity.
        """
        clouds: list[list[np.ndarray]] = [[] for _ in self.times]
        for k, cloud in self.parts():
            clouds[k].append(cloud)
        return Snapshots(
            self.times,
            tuple(map(np.concatenate, clouds)),
            notes=(self.note,),
            paired=self.truth["paired"],
            truth=self.truth,
        )


def true_potential(
    truth: Mapping[str, Any], x: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, " n"]:
    """V of a simulation at points, both in the units it was made in."""
    if truth["potential"] == "none":
        return np.zeros(len(x))
    with double():
        points = jnp.asarray(x, dtype=jnp.float64)
        return np.asarray(jax.vmap(POTENTIALS[truth["potential"]])(points))


def true_drift(
    truth: Mapping[str, Any],
    x: Float[np.ndarray, "n d"],
    cloud: Float[np.ndarray, "m d"] | None = None,
) -> Float[np.ndarray, "n d"]:
    """The drift −∇V − ∇W∗ρ of a simulation at points, in the units it was made in.

    Args:
        truth: what `simulate` left in the snapshots.
        x: where.
        cloud: the population ρ; needed where the truth has an interaction.

    Raises:
        SnapshotError: the truth has an interaction and no population was given.

    Examples:
        Of V = |x|²/2, whose force is −x:

        >>> import numpy as np
        >>> true_drift({"potential": "quadratic", "interaction": "none"}, np.array([[1.0, -2.0]]))
        array([[-1.,  2.]])
    """
    if cloud is None and truth["interaction"] != "none":
        raise SnapshotError(
            f"The true drift has an interaction ({truth['interaction']}), so it depends on the "
            "population; give the cloud it acts from."
        )
    with double():
        points = jnp.asarray(x, dtype=jnp.float64)
        return np.asarray(
            _drift(
                points,
                points if cloud is None else jnp.asarray(cloud, dtype=jnp.float64),
                truth.get("interaction_scale", 1.0),
                potential=truth["potential"],
                interaction=truth["interaction"],
            )
        )


@partial(jax.jit, static_argnames=("potential", "interaction"))
def _drift(
    x: Float[Array, "n d"],
    cloud: Float[Array, "m d"],
    scale: float | Float[Array, ""],
    *,
    potential: str,
    interaction: str,
) -> Float[Array, "n d"]:
    drift = jnp.zeros_like(x)
    if potential != "none":
        drift = drift - jax.vmap(jax.grad(POTENTIALS[potential]))(x)
    if interaction != "none":
        gradient = jax.vmap(jax.grad(POTENTIALS[interaction]))
        rows = max(1, min(len(x), CHUNK // cloud.size))
        drift = drift - scale * jax.lax.map(
            lambda point: jnp.mean(gradient(point - cloud), axis=0), x, batch_size=rows
        )
    return drift


@partial(jax.jit, static_argnames=("potential", "interaction"))
def _advance(
    cloud: Float[Array, "n d"],
    key: Key[Array, ""],
    steps: int | Int[Array, ""],
    dt: float | Float[Array, ""],
    beta: float | Float[Array, ""],
    scale: float | Float[Array, ""],
    *,
    potential: str,
    interaction: str,
) -> Float[Array, "n d"]:
    # The number of steps is data, not shape: one compilation serves every interval.
    def step(i: Int[Array, ""], x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        noise = jax.random.normal(jax.random.fold_in(key, i), x.shape, x.dtype)
        drift = _drift(x, x, scale, potential=potential, interaction=interaction)
        return x + dt * drift + jnp.sqrt(2.0 * beta * dt) * noise

    return jax.lax.fori_loop(0, steps, step, cloud)


def _follow(
    truth: Mapping[str, Any],
    key: Key[Array, ""],
    steps: Int[np.ndarray, " k"],
    lengths: Float[np.ndarray, " k"],
) -> Iterator[Float[np.ndarray, "n d"]]:
    """One population at its start and after each interval of so many steps of such length."""
    start_key, noise_key = jax.random.split(key)
    cloud = STARTS[truth["start"]](start_key, (truth["particles"], truth["dimension"]))
    yield np.asarray(cloud)
    for k, (count, dt) in enumerate(zip(steps, lengths, strict=True)):
        cloud = _advance(
            cloud,
            jax.random.fold_in(noise_key, k),
            count,
            dt,
            truth["beta"],
            truth["interaction_scale"],
            potential=truth["potential"],
            interaction=truth["interaction"],
        )
        yield np.asarray(cloud)


def _grid(
    times: Float[np.ndarray, " T"], substeps: int
) -> tuple[Int[np.ndarray, " T-1"], Float[np.ndarray, " T-1"]]:
    """How many steps each interval takes, and how long they are."""
    durations = np.diff(times)
    # The slack keeps intervals that are equal but for rounding equal in steps.
    steps = np.ceil(durations / (durations.min() / substeps) - 1e-6).astype(np.int64)
    return steps, durations / steps


def _check(truth: Mapping[str, Any], substeps: int) -> None:
    for role in ("potential", "interaction"):
        name = truth[role]
        if name != "none" and name not in POTENTIALS:
            raise SnapshotError(
                f"There is no {role} {name!r}; choose one of {', '.join((*POTENTIALS, 'none'))}."
            )
        if name in CHAINED and truth["dimension"] < 2:
            raise SnapshotError(
                f"The {role} {name} needs a dimension of at least 2; choose another."
            )
    if truth["start"] not in STARTS:
        raise SnapshotError(f"There is no start {truth['start']!r}; choose {' or '.join(STARTS)}.")
    least = {"particles": 2, "dimension": 1, "beta": 0, "substeps": 1}
    for name, low in least.items():
        value = {**truth, "substeps": substeps}[name]
        if not low <= value < np.inf:
            raise SnapshotError(f"{name} is {value}; it must be finite and at least {low}.")
    check_seed(truth["seed"])
    if not np.isfinite(truth["interaction_scale"]):
        raise SnapshotError("interaction_scale is not a finite number; give one.")
    times = np.array(truth["times"])
    if len(times) < 2 or not np.all(np.isfinite(times)) or not np.all(np.diff(times) > 0):
        raise SnapshotError(
            f"The times {times.tolist()} are not at least two, finite and increasing; give others "
            "(or 2 snapshots or more and a tau above 0)."
        )


def _check_escape(
    clouds: Sequence[Float[np.ndarray, "n d"]],
    times: Float[np.ndarray, " T"],
    truth: Mapping[str, Any],
) -> None:
    for t, cloud in zip(times, clouds, strict=True):
        escaped = int(np.sum(~np.all(np.abs(cloud) < ESCAPED, axis=1)))  # NaN escapes too
        if escaped:
            raise SnapshotError(
                f"{escaped} of {len(cloud)} particles escape to infinity by time {t:g} under "
                f"potential {truth['potential']} and interaction {truth['interaction']}; shorten "
                "tau, or take more substeps if the energy is bounded below."
            )
