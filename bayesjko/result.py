"""What a fit leaves: one object, one netCDF file that ArviZ opens as it is.

The only module that knows xarray and ArviZ. Inside, everything is plain arrays in standard units;
here it gets names and the user's units back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from bayesjko.command import write_atomically
from bayesjko.diagnostics import Diagnostics
from bayesjko.inference.identifiability import Identifiability, identifiability
from bayesjko.inference.posterior import Posterior
from bayesjko.inference.random_walk import wander
from bayesjko.models.data import Snapshots, Standardisation, middles
from bayesjko.models.energies import Field, LinearEnergy
from bayesjko.models.errors import InputError
from bayesjko.models.likelihoods.moments import GoodnessOfFit
from bayesjko.models.likelihoods.residual import Scheme
from bayesjko.models.precision import double
from bayesjko.models.specification import decode, encode
from bayesjko.netcdf import write_netcdf
from bayesjko.readers.hdf5 import check_hdf5

__all__ = ["Result", "load_result"]

FORMAT = 1
"""Version of the file's layout."""

_BLOCK = 256  # points whose drift is formed for all draws at a time


@dataclass(frozen=True, eq=False)
class Result:
    """A posterior over the energy that drives a population, and all it takes to forecast from it.

    Attributes:
        energy: the terms and their features, in standard units.
        standardisation: the change of units between the user's and the standard ones.
        snapshots: what was fitted, in the user's units.
        posterior: draws of the coefficients, in standard units.
        settings: what the fit was asked for.
        provenance: versions, data hash and wall time.
        scores: held-out scores, if some were asked for.
        told: what the data could tell, if a file says so; asked of the data when needed if None.
        diagnostics: whether draws of a sampler or an approximation can be trusted.
    """

    energy: LinearEnergy
    standardisation: Standardisation
    snapshots: Snapshots
    posterior: Posterior
    settings: Mapping[str, Any]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    told: Identifiability | None = None
    diagnostics: Diagnostics | None = None

    @cached_property
    def identifiability(self) -> Identifiability:
        """What the data could tell beside the prior."""
        return self.told or identifiability(
            self.energy,
            self.standardisation.apply(self.snapshots),
            self.posterior,
            seed=int(self.settings.get("seed", 0)),
        )

    @property
    def scheme(self) -> Scheme:
        """Where between source and target the fit took the force."""
        return cast(Scheme, self.settings.get("scheme", "explicit"))

    @property
    def beta(self) -> Float[np.ndarray, " draws"] | None:
        """Draws of β for the last period, in the user's units; None without an internal term."""
        betas = self.betas
        return None if betas is None else betas[:, -1]

    @property
    def betas(self) -> Float[np.ndarray, "draws period"] | None:
        """Draws of β for each period, in the user's units; None without an internal term."""
        where = self.energy.slices.get("internal")
        if where is None:
            return None
        return self.posterior.draws[:, :, where.start] * self.standardisation.energy

    def snapshot_index(self, time: float | None) -> int:
        """The snapshot at this time (the last if None).

        Raises:
            InputError: no snapshot was taken then.
        """
        if time is None:
            return len(self.snapshots.times) - 1
        gap = np.abs(self.snapshots.times - time)
        if not gap.min() <= 1e-9 * max(1.0, np.abs(self.snapshots.times).max()):
            times = ", ".join(f"{t:g}" for t in self.snapshots.times)
            raise InputError(f"No snapshot at time {time:g}; there are snapshots at {times}.")
        return int(np.argmin(gap))

    def snapshot_near(self, time: float | None) -> int:
        """The snapshot at this time, or the nearest one for an energy that is known at all times.

        Raises:
            InputError: no snapshot was taken then, and the energy is none that is known at others.
        """
        known = self.energy.timed or self.posterior.walk is not None
        if not known or time is None:
            return self.snapshot_index(time)
        return int(np.argmin(np.abs(self.snapshots.times - time)))

    def coefficients(self, time: float | None = None) -> Float[np.ndarray, "draws K"]:
        """Draws of θ in force at a time, in standard units.

        An energy that wanders has other ones at every time, between the snapshots and beyond them,
        the less certain the farther. Those of a network of time are the same at all times: its
        features change. Any other energy is known at the snapshots' times only.

        Args:
            time: the last snapshot's if None.

        Raises:
            InputError: no snapshot was taken then, and the energy is none that is known at others.
        """
        if self.posterior.walk is None:
            return self.posterior.draws[:, self.period(self.snapshot_near(time))]
        when = np.array([self.snapshots.times[-1] if time is None else float(time)])
        return self.path(self.posterior.draws, when)[:, 0]

    def path(
        self,
        draws: Float[np.ndarray, "draws period K"],
        times: Float[np.ndarray, " time"],
        *,
        certain: int = 0,
        seed: int = 0,
    ) -> Float[np.ndarray, "draws time K"]:
        """Coefficients of an energy that wanders along these (increasing) times."""
        assert self.posterior.walk is not None
        knots, unit = middles(self.snapshots.times), self.standardisation.duration
        return wander(
            draws, self.posterior.walk, knots / unit, times / unit, certain=certain, seed=seed
        )

    def period(self, snapshot: int) -> int:
        """The period in force after this snapshot, or before it if it is the last."""
        return min(snapshot, self.posterior.mean.shape[0] - 1)

    @property
    def periods(self) -> int:
        """In how many parts of the observed time there is an energy of its own: 1 if it stays."""
        if self.energy.timed:
            return len(self.snapshots.durations)
        return self.posterior.mean.shape[0]

    def in_force(self, time: float | None = None) -> LinearEnergy:
        """The energy whose features `coefficients` weigh at a time; the last snapshot's if None."""
        when = self.snapshots.times[-1] if time is None else time
        return self.energy.at(when / self.standardisation.duration)

    def field(self, time: float | None = None) -> Field:
        """The energy's first variation around the cloud of the snapshot at a time.

        In standard units; the last snapshot's if None, and the nearest one's, as for `drift`.

        Raises:
            InputError: no snapshot was taken then.
        """
        snapshot = self.snapshot_near(time)
        cloud = self.standardisation.points(self.snapshots.particles[snapshot])
        with double():
            return self.in_force(time).around(
                jnp.asarray(cloud), jnp.asarray(self.snapshots.weights[snapshot])
            )

    def drift(
        self, points: Float[np.ndarray, "n d"], time: float | None = None
    ) -> Float[np.ndarray, "draws n d"]:
        """Draws of the drift −∇V − ∇W∗ρ at points, ρ being the snapshot at `time`.

        Args:
            points: in the user's units.
            time: of the snapshot whose cloud and period are meant; the last if None. Any time for
                an energy that wanders or is a network of time, with the cloud of the nearest
                snapshot.

        Raises:
            InputError: no snapshot was taken then.
        """
        draws = self.coefficients(time)
        draws = draws[:, : draws.shape[1] - int(self.energy.internal)]
        blocks = [
            np.einsum("ndj,sj->snd", design, draws)
            for design in self._blocks(Field.drift_design, points, time)
        ]
        return np.concatenate(blocks, axis=1) * self.standardisation.velocity

    def potential(
        self, points: Float[np.ndarray, "n d"], time: float | None = None
    ) -> Float[np.ndarray, "draws n"]:
        """Draws of V at points, its free constant fixed by V = 0 at the data's mean.

        Args:
            points: in the user's units.
            time: of the snapshot whose period is meant; the last if None.

        Raises:
            InputError: the energy has no potential, or no snapshot was taken then.
        """
        where = self.energy.slices.get("potential")
        if where is None:
            raise InputError(
                "This energy has no potential term; fit with a potential to ask for V."
            )
        draws = self.coefficients(time)[:, where]
        origin = self.standardisation.mean[None]
        values = np.concatenate(
            list(self._blocks(_potential_features, np.concatenate([origin, points]), time))
        )
        return draws @ (values[1:] - values[0]).T * self.standardisation.energy

    def barrier(
        self, a: Float[np.ndarray, " d"], b: Float[np.ndarray, " d"], time: float | None = None
    ) -> Float[np.ndarray, " draws"]:
        """Draws of V(b) − V(a)."""
        values = self.potential(np.stack([a, b]), time)
        return values[:, 1] - values[:, 0]

    def save(self, path: str | Path) -> None:
        """Write the netCDF file, whole or not at all.

        Raises:
            InputError: the folder does not exist or cannot be written to.
        """
        with write_atomically(Path(path)) as temporary:
            write_netcdf(self.to_datatree(), temporary)

    def to_datatree(self) -> xr.DataTree:
        """The groups of the result file, named as ArviZ names them."""
        groups = {
            "/": xr.Dataset(attrs={"title": "bayesjko result", "format": FORMAT}),
            "posterior": self._posterior_group(),
            "sample_stats": self._sample_stats_group(),
            "observed_data": self._observed_group(),
            "constant_data": self._constant_group(),
        }
        pointwise = self.posterior.log_likelihood
        if pointwise is not None:
            groups["log_likelihood"] = xr.Dataset(
                {"interval": (("chain", "draw", "interval_start"), pointwise)},
                {
                    "chain": np.arange(pointwise.shape[0]),
                    "draw": np.arange(pointwise.shape[1]),
                    "interval_start": self.snapshots.times[:-1],
                },
                {"tempering": self.posterior.tempering},
            )
        return xr.DataTree.from_dict(groups)

    def _blocks(self, feature, points, time):  # type: ignore[no-untyped-def]
        """A feature of the field at points, a block of points at a time."""
        points = self.standardisation.points(points)
        with double():
            around = self.field(time)
            for start in range(0, len(points), _BLOCK):
                block = points[start : start + _BLOCK]
                padded = np.pad(block, ((0, _BLOCK - len(block)), (0, 0)))
                yield np.asarray(_at_points(feature, around, padded))[: len(block)]

    def _posterior_group(self) -> xr.Dataset:
        posterior = self.posterior
        coordinates: dict[str, Any] = {"period": self._period_starts()}
        variables: dict[str, Any] = {}
        for term, where in self.energy.slices.items():
            values = posterior.coefficients[..., where]
            if term == "internal":
                variables["beta"] = (
                    ("chain", "draw", "period"),
                    values[..., 0] * self.standardisation.energy,
                    {"long_name": "strength of the internal energy, user's units"},
                )
                continue
            variables[f"{term}_coefficients"] = (
                ("chain", "draw", "period", f"{term}_feature"),
                values,
                {"long_name": f"coefficients of the {term}, standard units"},
            )
        if posterior.noise is not None:
            square = self.standardisation.length**2 / self.standardisation.duration
            variables["noise"] = (
                ("chain", "draw"),
                posterior.noise * square,
                {"long_name": "residual variance per unit time, user's units"},
            )
        coordinates["chain"] = np.arange(posterior.coefficients.shape[0])
        coordinates["draw"] = np.arange(posterior.coefficients.shape[1])
        attributes = {
            "method": posterior.method,
            "uncertainty": posterior.uncertainty,
            "complete": int(posterior.complete),
        }
        return xr.Dataset(variables, coordinates, attributes)

    def _standard_draws(self) -> dict[str, Any]:
        """Draws that the posterior group has in the user's units only: read back to the bit."""
        posterior = self.posterior
        variables: dict[str, Any] = {}
        if "internal" in self.energy.slices:
            values = posterior.coefficients[..., self.energy.slices["internal"]]
            variables["standard_beta"] = (("chain", "draw", "period"), values[..., 0])
        if posterior.noise is not None:
            variables["standard_noise"] = (("chain", "draw"), posterior.noise)
        return variables

    def _period_starts(self) -> np.ndarray:
        return self.snapshots.times[: self.posterior.mean.shape[0]]

    def _sample_stats_group(self) -> xr.Dataset:
        chains, draws = self.posterior.coefficients.shape[:2]
        return xr.Dataset(
            {name: (("chain", "draw"), v) for name, v in self.posterior.sample_stats.items()},
            {"chain": np.arange(chains), "draw": np.arange(draws)},
        )

    def _observed_group(self) -> xr.Dataset:
        snapshots = self.snapshots
        return xr.Dataset(
            {
                "x": (("particle", "feature"), np.concatenate(snapshots.particles)),
                "snapshot": (
                    "particle",
                    np.repeat(np.arange(len(snapshots.times)), snapshots.counts),
                ),
                "w": ("particle", np.concatenate(snapshots.weights)),
                "t": ("time", snapshots.times),
            },
            {"feature": list(snapshots.features)},
            {"paired": int(snapshots.paired), "truth": json.dumps(snapshots.truth)},
        )

    def _constant_group(self) -> xr.Dataset:
        posterior = self.posterior
        variables: dict[str, Any] = {
            "energy": ((), json.dumps(encode(self.energy))),
            "settings": ((), json.dumps(dict(self.settings))),
            "provenance": ((), json.dumps(dict(self.provenance))),
            "scores": ((), json.dumps(dict(self.scores))),
            "notes": ((), json.dumps([list(posterior.notes), list(self.snapshots.notes)])),
            "mean": ("feature", self.standardisation.mean),
            "length": ((), self.standardisation.length),
            "duration": ((), self.standardisation.duration),
            "posterior_mean": (("period", "coefficient"), posterior.mean),
        }
        variables |= self._standard_draws()
        optional = {
            "posterior_covariance": (
                ("period", "coefficient", "coefficient_too"),
                posterior.covariance,
            ),
            "information": (("period", "coefficient", "coefficient_too"), posterior.information),
            "prior_precision": (("coefficient",), posterior.prior_precision),
            "walk": (("coefficient",), posterior.walk),
            "log_evidence": ((), posterior.log_evidence),
        }
        variables |= {name: v for name, v in optional.items() if v[1] is not None}
        variables["identifiability"] = ((), json.dumps(asdict(self.identifiability)))
        if self.diagnostics is not None:
            variables["diagnostics"] = ((), json.dumps(asdict(self.diagnostics)))
        if posterior.goodness_of_fit is not None:
            variables["goodness_of_fit"] = (
                "goodness",
                list(astuple(posterior.goodness_of_fit)),
                {"long_name": "chi-square, degrees of freedom, p-value"},
            )
        return xr.Dataset(variables, {"feature": list(self.snapshots.features)})


def load_result(path: str | Path) -> Result:
    """Read a result file.

    Raises:
        InputError: there is no such file, or it is not a whole result file.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"There is no file {path}; give the result file that a fit wrote.")
    try:
        check_hdf5(path)
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            tree.load()
            return _from_datatree(tree)
    except Exception as error:  # damaged bytes can make the libraries raise anything at all
        raise InputError(
            f"{path} is not a whole result file of bayesjko ({_first_line(error)}); "
            "fit again, or copy the file again if it was cut short."
        ) from error


def _from_datatree(tree: xr.DataTree) -> Result:
    version = tree.attrs.get("format")
    if version != FORMAT:
        raise ValueError(f"its format is {version}, this version reads {FORMAT}")
    draws, observed, constant, stats = (
        tree.children[name].to_dataset()
        for name in ("posterior", "observed_data", "constant_data", "sample_stats")
    )
    energy = decode(json.loads(str(constant["energy"].item())))
    standardisation = Standardisation(
        constant["mean"].values, float(constant["length"]), float(constant["duration"])
    )
    posterior_notes, snapshot_notes = json.loads(str(constant["notes"].item()))
    edges = np.flatnonzero(np.diff(observed["snapshot"].values)) + 1
    snapshots = Snapshots(
        times=observed["t"].values,
        particles=tuple(np.split(observed["x"].values, edges)),
        weights=tuple(np.split(observed["w"].values, edges)),
        features=tuple(map(str, observed["feature"].values)),
        notes=tuple(snapshot_notes),
        paired=bool(observed.attrs["paired"]),
        truth=json.loads(observed.attrs["truth"]),
    )
    parts = []
    for term in energy.sizes:
        if term == "internal":
            parts.append(constant["standard_beta"].values[..., None])
        else:
            parts.append(draws[f"{term}_coefficients"].values)
    posterior = Posterior(
        coefficients=np.concatenate(parts, axis=-1),
        mean=constant["posterior_mean"].values,
        covariance=_optional(constant, "posterior_covariance"),
        noise=_optional(constant, "standard_noise"),
        log_evidence=float(constant["log_evidence"]) if "log_evidence" in constant else None,
        method=str(draws.attrs["method"]),
        uncertainty=str(draws.attrs["uncertainty"]),
        prior_precision=_optional(constant, "prior_precision"),
        information=_optional(constant, "information"),
        goodness_of_fit=(
            GoodnessOfFit(*map(float, constant["goodness_of_fit"].values))
            if "goodness_of_fit" in constant
            else None
        ),
        notes=tuple(posterior_notes),
        log_likelihood=(
            tree.children["log_likelihood"].to_dataset()["interval"].values
            if "log_likelihood" in tree.children
            else None
        ),
        tempering=(
            float(tree.children["log_likelihood"].attrs["tempering"])
            if "log_likelihood" in tree.children
            else 1.0
        ),
        complete=bool(draws.attrs.get("complete", True)),
        sample_stats={str(name): values.values for name, values in stats.data_vars.items()},
        walk=_optional(constant, "walk"),
    )
    return Result(
        energy,
        standardisation,
        snapshots,
        posterior,
        settings=json.loads(str(constant["settings"].item())),
        provenance=json.loads(str(constant["provenance"].item())),
        scores=json.loads(str(constant["scores"].item())),
        told=(
            Identifiability.from_json(json.loads(str(constant["identifiability"].item())))
            if "identifiability" in constant
            else None
        ),
        diagnostics=(
            Diagnostics.from_json(json.loads(str(constant["diagnostics"].item())))
            if "diagnostics" in constant
            else None
        ),
    )


def _optional(group: xr.Dataset, name: str) -> np.ndarray | None:
    return group[name].values if name in group else None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _potential_features(around: Field, x: Float[Array, " d"]) -> Float[Array, " J"]:
    assert around.potential is not None
    return around.potential.value(x)


@eqx.filter_jit
def _at_points(feature, around, points):  # type: ignore[no-untyped-def]
    return jax.vmap(lambda x: feature(around, x))(jnp.asarray(points))
