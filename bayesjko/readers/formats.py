"""Anything a population may come in, to snapshots: the one table of formats."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from bayesjko.models.data import Snapshots
from bayesjko.models.errors import SnapshotError
from bayesjko.readers.arrays import from_arrays, read_npy, read_npz
from bayesjko.readers.cells import from_anndata, is_anndata, read_h5ad
from bayesjko.readers.datasets import from_dataset, read_netcdf, read_zarr
from bayesjko.readers.particles import features_note
from bayesjko.readers.selection import Selection
from bayesjko.readers.tables import from_frame, read_parquet, read_text

__all__ = ["FORMATS", "read_snapshots"]

FORMATS: Mapping[str, Callable[[Path, Selection], Snapshots]] = {
    ".csv": read_text,
    ".csv.gz": read_text,
    ".tsv": read_text,
    ".tsv.gz": read_text,
    ".parquet": read_parquet,
    ".npz": read_npz,
    ".npy": read_npy,
    ".h5ad": read_h5ad,
    ".nc": read_netcdf,
    ".zarr": read_zarr,
}


def read_snapshots(
    source: Any,
    *,
    time: str | None = None,
    features: str | Sequence[str] | None = None,
    weight: str | None = None,
    paired: bool | None = None,
) -> Snapshots:
    """Snapshots out of a file or an object; their notes say how it was read.

    Files, by their ending: CSV and TSV (also .gz) and Parquet with one row a particle, NPZ with
    `x` and `t`, NPY, AnnData (.h5ad), netCDF and Zarr. Objects: a data frame, an AnnData object,
    an xarray dataset, a list of arrays (at times 0, 1, 2, …), `(arrays, times)`, a dict from time
    to array, one array (time, particle, feature), and snapshots themselves.

    Times are numbers, dates, ordered categories or text with a number such as "day 3". Nothing
    is ever unpickled.

    Args:
        source: a path or an object.
        time: the name of the times; by default the only one that is called like a time.
        features: names or patterns, separated by commas (`x1,x2` or `PC*`), or the key of an
            array, `X_pca:5` for its first five; by default every other column of numbers, the
            array `x`, or `X_pca` of AnnData. It gives the names where an array has none.
        weight: the name of the particles' weights; by default `w`, if there is one.
        paired: whether row i is the same particle in every snapshot; by default what a file
            says of itself, else no.

    Raises:
        SnapshotError: the input cannot be used; one sentence says what, where and what to do.

    Examples:
        >>> import bayesjko
        >>> table = pd.DataFrame(
        ...     {"day": [0, 0, 2, 2, 2], "height": [1.0, 2.0, 1.5, 2.5, 2.0], "name": list("abcde")}
        ... )
        >>> cells = bayesjko.read_snapshots(table)
        >>> cells.times, cells.counts, cells.features
        (array([0., 2.]), (2, 3), ('height',))
    """
    chosen = features if features is None or isinstance(features, str) else tuple(features)
    selection = Selection(time, chosen, weight, paired)
    if isinstance(source, Snapshots):
        return _again(source, selection)
    if isinstance(source, str | os.PathLike):
        path = Path(source).expanduser()
        return _format(path)(path, selection)
    if isinstance(source, pd.DataFrame):
        return from_frame(source, selection)
    if isinstance(source, xr.Dataset | xr.DataArray):
        return from_dataset(source, selection)
    if is_anndata(source):
        return from_anndata(source, selection)
    return from_arrays(source, selection)


def _format(path: Path) -> Callable[[Path, Selection], Snapshots]:
    """The reader of a file's ending, the longest that is known."""
    name = path.name.lower()
    endings = [ending for ending in FORMATS if name.endswith(ending)]
    if not endings:
        raise SnapshotError(
            f"The format of '{path}' is unknown; its ending must be one of {', '.join(FORMATS)}."
        )
    return FORMATS[max(endings, key=len)]


def _again(snapshots: Snapshots, selection: Selection) -> Snapshots:
    """Snapshots as they are, or some of their features."""
    if selection.time is not None or selection.weight is not None:
        raise SnapshotError(
            "Snapshots have their times and weights already; leave the options time and weight out."
        )
    if selection.paired is not None:
        snapshots = replace(snapshots, paired=selection.paired)
    if selection.features is None:
        return snapshots
    read = selection.feature_names(snapshots.features, "the snapshots")
    columns = [snapshots.features.index(name) for name in read]
    left = tuple(name for name in snapshots.features if name not in read)
    return replace(
        snapshots,
        particles=tuple(cloud[:, columns] for cloud in snapshots.particles),
        features=tuple(read),
        notes=(*snapshots.notes, features_note(tuple(read), left)),
    )
