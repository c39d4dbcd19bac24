"""A result written into the AnnData object that was fitted, where scanpy's pictures find it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bayesjko.energy import drift_spread, potential_spread
from bayesjko.fates import fate_probabilities
from bayesjko.models.errors import InputError
from bayesjko.readers import read_snapshots
from bayesjko.readers.blocks import read_column
from bayesjko.readers.selection import Selection
from bayesjko.result import Result

__all__ = ["annotate"]

_SOURCE = "the AnnData object"


def annotate(
    adata: Any,
    result: Result,
    *,
    time: str | None = None,
    features: str | Sequence[str] | None = None,
    fates: Mapping[str, ArrayLike] | None = None,
    horizon: float | None = None,
    copies: int = 20,
    draws: int = 50,
    seed: int = 0,
) -> None:
    """Write what a fit says of each cell into `obsm`, `obs` and `uns`, under `bayesjko_…`.

    In `obsm`: `bayesjko_force`, what drives a cell in the coordinates that were fitted (the drift
    −∇V − ∇W∗ρ at its own time), and `bayesjko_force_sd`. In `obs`: `bayesjko_potential` and
    `bayesjko_potential_sd` (V = 0 at the data's mean), `bayesjko_force_norm`, and for each fate
    `bayesjko_fate_NAME` with `_low` and `_high` (90%). In `uns`: `bayesjko`, with β, its interval,
    the settings and the hash of the data. Cells of a time that was not fitted get the nearest
    snapshot's energy.

    Args:
        adata: the cells; changed in place.
        result: of a fit to their coordinates.
        time: the column of `obs` with their times; that of the fit if None.
        features: the array of `obsm` that was fitted; that of the fit if None.
        fates: a target for each fate, as of `fate_probabilities`.
        horizon: for how long cells are followed to their fates.
        copies: of each cell.
        draws: of the energy, for the fates.
        seed: of draws and noise.

    Raises:
        InputError: the cells do not have the features of the fit.
    """
    read_with = result.settings.get("reading", {})
    time = time or read_with.get("time")
    data = read_snapshots(adata, time=time, features=features or read_with.get("features"))
    if data.features != result.snapshots.features:
        raise InputError(
            f"The cells have the features {', '.join(data.features)} and the fit "
            f"{', '.join(result.snapshots.features)}; name the array that was fitted with the "
            "option features."
        )
    columns = [str(name) for name in adata.obs.columns]
    name = Selection(time=time).time_name(columns, _SOURCE)
    order = np.argsort(read_column(adata.obs[name], name, _SOURCE).values, kind="stable")
    parts = [
        _of_snapshot(result, cloud, float(t), fates, horizon, copies, draws, seed)
        for t, cloud in zip(data.times, data.particles, strict=True)
    ]
    for key in parts[0]:
        values = np.concatenate([part[key] for part in parts])
        placed = np.empty_like(values)
        placed[order] = values
        (adata.obsm if placed.ndim == 2 else adata.obs)[f"bayesjko_{key}"] = placed
    adata.uns["bayesjko"] = _about(result)


def _of_snapshot(
    result: Result,
    cloud: np.ndarray,
    time: float,
    fates: Mapping[str, ArrayLike] | None,
    horizon: float | None,
    copies: int,
    draws: int,
    seed: int,
) -> dict[str, np.ndarray]:
    known = result.snapshots.times
    nearest = float(known[np.argmin(np.abs(known - time))])
    force = drift_spread(result, cloud, nearest)
    found = {
        "force": force.mean,
        "force_sd": force.sd,
        "force_norm": np.linalg.norm(force.mean, axis=1),
    }
    if "potential" in result.energy.slices:
        potential = potential_spread(result, cloud, nearest)
        found |= {"potential": potential.mean, "potential_sd": potential.sd}
    if fates is not None:
        ends = fate_probabilities(
            result,
            cloud,
            fates,
            start_time=time,
            horizon=horizon,
            copies=copies,
            draws=draws,
            seed=seed,
        )
        for column, fate in enumerate(ends.names):
            found |= {
                f"fate_{fate}": ends.mean[:, column],
                f"fate_{fate}_low": ends.low[:, column],
                f"fate_{fate}_high": ends.high[:, column],
            }
    return found


def _about(result: Result) -> dict[str, Any]:
    about: dict[str, Any] = {
        "features": list(result.snapshots.features),
        "settings": json.dumps(dict(result.settings)),
        "provenance": json.dumps(dict(result.provenance)),
    }
    if result.beta is not None:
        low, high = np.quantile(result.beta, [0.05, 0.95])
        about["beta"] = {
            "mean": float(result.beta.mean()),
            "low": float(low),
            "high": float(high),
            "level": 0.9,
        }
    return about
