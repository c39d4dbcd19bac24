"""AnnData: cells with their times in `obs` and their features in `obsm`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bayesjko.models.data import Snapshots
from bayesjko.models.errors import SnapshotError
from bayesjko.readers.blocks import from_block, read_column
from bayesjko.readers.hdf5 import check_hdf5
from bayesjko.readers.particles import as_numbers
from bayesjko.readers.selection import Selection
from bayesjko.readers.source import existing, listing, reading, where

__all__ = ["from_anndata", "is_anndata", "read_h5ad"]

DEFAULT = "X_pca"


def read_h5ad(path: Path, selection: Selection) -> Snapshots:
    """An AnnData file; only `obs` and the one array of `obsm` are loaded.

    Raises:
        SnapshotError: it is damaged, or the package anndata is not installed.
    """
    source = where(existing(path))
    try:
        with reading("the package", "anndata"):
            import h5py
            from anndata.io import read_elem
    except SnapshotError as error:
        raise SnapshotError(
            f"Reading {source} needs the package anndata; install it with "
            "pip install 'bayesjko[anndata]'."
        ) from error
    with reading(source, "AnnData"):
        check_hdf5(path)
        file = h5py.File(path, "r")
    with file, reading(source, "AnnData"):
        obs, obsm = file["obs"], file.get("obsm", {})
        if isinstance(obs, h5py.Dataset) or "__categories" in obs:  # written before anndata 0.8
            obs = read_elem(obs)
            columns = [str(name) for name in obs.columns]
        else:
            columns = [name for name in obs if name != obs.attrs.get("_index")]

        def column(name: str) -> Any:
            return read_elem(obs[name]) if isinstance(obs, h5py.Group) else obs[name]

        def array(key: str) -> Any:
            return read_elem(file["X"] if key == "X" else obsm[key])

        return _from_cells(columns, column, list(obsm), array, selection, source)


def from_anndata(data: Any, selection: Selection) -> Snapshots:
    """An AnnData object in memory."""
    return _from_cells(
        [str(name) for name in data.obs.columns],
        lambda name: data.obs[name],
        list(data.obsm),
        lambda key: data.X if key == "X" else data.obsm[key],
        selection,
        "the AnnData object",
    )


def is_anndata(data: Any) -> bool:
    """Whether this is an AnnData object, told without importing a package it may not need."""
    return type(data).__name__ == "AnnData" and isinstance(getattr(data, "obsm", None), Mapping)


def _key(keys: list[str], selection: Selection, source: str) -> tuple[str, int | None]:
    """The array of `obsm` to read, or `X`, and how many of its columns."""
    if selection.features is None:
        if DEFAULT in keys:
            return DEFAULT, None
        raise SnapshotError(
            f"There is no {DEFAULT!r} in obsm of {source}; name another array with the option "
            f"features: X or one of {listing(keys) or 'none'}."
        )
    asked = selection.block([*keys, "X"])
    if asked is None:
        raise SnapshotError(
            f"No array {', '.join(selection.wanted())!r} in obsm of {source}; name one with the "
            f"option features, such as X_pca or X_pca:5 for its first five: there are X, "
            f"{listing(keys)}."
        )
    return asked


def _from_cells(
    columns: Sequence[str],
    column: Callable[[str], Any],
    keys: Sequence[str],
    array: Callable[[str], Any],
    selection: Selection,
    source: str,
) -> Snapshots:
    """Snapshots from the columns of `obs` and the arrays of `obsm`, only those needed loaded."""
    key, first = _key(list(keys), selection, source)
    time = selection.time_name(columns, source)
    times = read_column(column(time), time, source)
    weights = None
    if selection.weight is not None:
        weight = selection.weight_name(columns, source)
        weights = as_numbers(column(selection.weight), f"Column {weight!r}", source)
    positions = as_numbers(array(key), f"Array {key!r}", source)
    stem = key.removeprefix("X_") or key
    return from_block(
        positions,
        times,
        source,
        weights=weights,
        names=[f"{stem}{i + 1}" for i in range(positions.shape[-1])],
        asked=Selection(paired=selection.paired),
        first=first,
    )
