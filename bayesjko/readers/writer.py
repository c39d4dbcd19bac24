"""Snapshots to files, each read back bit for bit."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from bayesjko.command import check_ending, write_atomically
from bayesjko.models.data import Snapshots
from bayesjko.models.errors import SnapshotError
from bayesjko.netcdf import write_netcdf

__all__ = ["WRITERS", "to_dataset", "write_snapshots", "write_zarr_parts"]

_ROWS = 2**16  # of a chunk of a store that is written in parts


def write_snapshots(snapshots: Snapshots, path: str | os.PathLike[str]) -> None:
    """Writes the format of the path's ending: .nc, .zarr, .npz, .csv or .parquet.

    Times, particles, weights and feature names are kept bit for bit by all of them; the pairing
    and a simulation's truth only by netCDF and Zarr. The file appears whole or not at all.

    Raises:
        InputError: the ending is unknown, the directory is not there, or a table cannot hold
            these feature names.

    Examples:
        >>> import tempfile
        >>> import bayesjko
        >>> cells = bayesjko.simulate("quadratic", particles=10, snapshots=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     bayesjko.write_snapshots(cells, f"{folder}/cells.parquet")
        ...     again = bayesjko.read_snapshots(f"{folder}/cells.parquet")
        >>> again.digest() == cells.digest()
        True
    """
    target = Path(path)
    write = WRITERS[check_ending(target, WRITERS)]
    with write_atomically(target) as fresh:
        write(snapshots, fresh)


def to_dataset(snapshots: Snapshots) -> xr.Dataset:
    """`x` (particle, feature), `t` and `w` (particle), pairing, truth and digest as attributes."""
    attributes: dict[str, str | int] = {
        "paired": int(snapshots.paired),
        "digest": snapshots.digest(),
    }
    if snapshots.truth is not None:
        attributes["truth"] = json.dumps(dict(snapshots.truth))
    return xr.Dataset(
        {
            "x": (("particle", "feature"), np.concatenate(snapshots.particles)),
            "t": ("particle", _rows(snapshots)),
            "w": ("particle", np.concatenate(snapshots.weights)),
        },
        coords={"feature": np.array(snapshots.features, dtype=np.str_)},
        attrs=attributes,
    )


def write_zarr_parts(
    times: Float[np.ndarray, " T"],
    parts: Iterable[tuple[int, Float[np.ndarray, "n d"]]],
    count: int,
    truth: Mapping[str, Any],
    path: Path,
) -> None:
    """A Zarr store as of whole snapshots of `count` particles each, written part after part.

    Without the digest, which would take all of them at once.

    Args:
        times: of the snapshots.
        parts: a snapshot's position and some of its particles, in the order of the snapshots.
        count: particles of each snapshot.
        truth: of the simulation.
        path: of the store.
    """
    written = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k, cloud in parts:
            names = [f"x{i + 1}" for i in range(cloud.shape[1])]
            data = xr.Dataset(
                {
                    "x": (("particle", "feature"), cloud),
                    "t": ("particle", np.full(len(cloud), times[k])),
                    "w": ("particle", np.full(len(cloud), 1.0 / count)),
                },
                coords={"feature": np.array(names, dtype=np.str_)},
                attrs={"paired": 0, "truth": json.dumps(dict(truth))},
            )
            if written:
                data.to_zarr(path, append_dim="particle", zarr_format=2, consolidated=True)
            else:
                chunks = {"x": (_ROWS, cloud.shape[1]), "t": (_ROWS,), "w": (_ROWS,)}
                encoding = {name: {"chunks": chunk} for name, chunk in chunks.items()}
                data.to_zarr(path, encoding=encoding, zarr_format=2, consolidated=True)
            written = True


def _write_netcdf(snapshots: Snapshots, path: Path) -> None:
    encoding = {name: {"_FillValue": None} for name in "xtw"}
    write_netcdf(to_dataset(snapshots), path, encoding=encoding)


def _write_zarr(snapshots: Snapshots, path: Path) -> None:
    # Version 2: names in version 3 still have no settled type, and zarr warns of it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        to_dataset(snapshots).to_zarr(path, zarr_format=2, consolidated=True)


def _write_npz(snapshots: Snapshots, path: Path) -> None:
    arrays: dict[str, Any] = {
        "x": np.concatenate(snapshots.particles),
        "t": _rows(snapshots),
        "features": np.array(snapshots.features, dtype=np.str_),
    }
    if not _equal(snapshots):
        arrays["w"] = np.concatenate(snapshots.weights)
    np.savez(path, **arrays)


def _write_csv(snapshots: Snapshots, path: Path) -> None:
    from pyarrow import csv

    csv.write_csv(_table(snapshots, path), path)


def _write_parquet(snapshots: Snapshots, path: Path) -> None:
    from pyarrow import parquet

    parquet.write_table(_table(snapshots, path), path)


def _table(snapshots: Snapshots, path: Path) -> Any:
    import pyarrow as pa

    taken = {"t", "w"}.intersection(snapshots.features)
    if taken:
        raise SnapshotError(
            f"Cannot write '{path.name}': the feature {taken.pop()!r} is called like a table's "
            "time or weight; write .nc or .npz instead."
        )
    x = np.concatenate(snapshots.particles)
    columns = {"t": _rows(snapshots)} | {
        name: np.ascontiguousarray(x[:, i]) for i, name in enumerate(snapshots.features)
    }
    if not _equal(snapshots):
        columns["w"] = np.concatenate(snapshots.weights)
    return pa.table(columns)


def _rows(snapshots: Snapshots) -> np.ndarray:
    """The time of each particle, snapshot after snapshot."""
    return np.repeat(snapshots.times, snapshots.counts)


def _equal(snapshots: Snapshots) -> bool:
    """Whether the weights are those every reader gives where there are none."""
    return all(np.array_equal(w, np.ones(len(w)) / len(w)) for w in snapshots.weights)


WRITERS: Mapping[str, Callable[[Snapshots, Path], None]] = {
    ".nc": _write_netcdf,
    ".zarr": _write_zarr,
    ".npz": _write_npz,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
