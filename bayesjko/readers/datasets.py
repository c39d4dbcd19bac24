"""netCDF and Zarr through xarray, and its objects in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from bayesjko.models.data import Snapshots
from bayesjko.models.errors import SnapshotError
from bayesjko.readers.blocks import from_named
from bayesjko.readers.hdf5 import check_hdf5
from bayesjko.readers.selection import Selection, is_time
from bayesjko.readers.source import existing, reading, where

__all__ = ["check_codecs", "from_dataset", "read_netcdf", "read_zarr"]

# What a Zarr store may ask for to decode its numbers and names; anything else, above all `pickle`,
# is refused before a byte is decoded.
CODECS = frozenset(
    "adler32 astype bitround blosc bytes bz2 cast_value crc32 crc32c delta endian fixedscaleoffset "
    "fletcher32 gzip jenkins_lookup3 lz4 lzma packbits quantize sharding_indexed shuffle transpose "
    "vlen-bytes vlen-utf8 zlib zstd".split()
)
CODEC_KEYS = ("codecs", "compressor", "compressors", "filters", "index_codecs", "serializer")


def read_netcdf(path: Path, selection: Selection) -> Snapshots:
    """NetCDF, version 4 or classic."""
    source = where(existing(path))
    with reading(source, "netCDF"):
        with path.open("rb") as file:
            classic = file.read(3) == b"CDF"
        engine = "scipy" if classic else "h5netcdf"
        if not classic:
            check_hdf5(path)
        opened = xr.open_dataset(path, engine=engine, decode_times=False, cache=False)
    with opened as dataset:
        return from_dataset(dataset, selection, source)


def read_zarr(path: Path, selection: Selection) -> Snapshots:
    """A Zarr store in a directory, once none of its arrays asks for a codec that runs code."""
    source = where(existing(path, folder=True))
    with reading(source, "Zarr"):
        check_codecs(path, source)
        opened = xr.open_dataset(path, engine="zarr", decode_times=False, cache=False)
    with opened as dataset:
        return from_dataset(dataset, selection, source)


def from_dataset(
    data: xr.Dataset | xr.DataArray, selection: Selection, source: str = "the dataset"
) -> Snapshots:
    """A dataset with `x` (particle, feature) and `t`, with x (time, particle, feature), or columns.

    Its attributes say whether the rows are `paired`, hold the `truth` of a simulation as JSON,
    and a `digest` that tells when somebody has changed the data since.

    Raises:
        SnapshotError: arrays are missing or ambiguous, or the truth is no JSON object.
    """
    if isinstance(data, xr.DataArray):
        data = data.to_dataset(name=str(data.name or "x"))
    named: dict[str, Any] = {}
    labels: dict[str, list[str]] = {}
    for key in map(str, data.variables):
        variable = data[key]
        if variable.ndim == 3:
            variable = _in_order(variable, selection)
        named[key] = variable.variable
        names = data.coords.get(variable.dims[-1]) if variable.ndim > 1 else None
        if names is not None and names.ndim == 1 and names.dtype.kind in "OUST":
            with reading(f"the coordinate {names.name!r} of {source}", "names"):
                labels[key] = [str(name) for name in names.values]
    for key in [k for k in named if k in data.dims and k != selection.time and not is_time(k)]:
        del named[key]  # it counts rows or names features
    paired = data.attrs.get("paired") if selection.paired is None else selection.paired
    snapshots = from_named(named, replace(selection, paired=bool(paired)), source, labels)
    notes = snapshots.notes
    digest = data.attrs.get("digest")
    if digest is not None and selection == Selection() and digest != snapshots.digest():
        notes += (f"The data in {source} were changed after their digest was taken.",)
    return replace(snapshots, notes=notes, truth=_truth(data.attrs.get("truth"), source))


def _in_order(variable: xr.DataArray, selection: Selection) -> xr.DataArray:
    """With the time first and the features last, where the names of the axes tell them."""
    dims = [str(dim) for dim in variable.dims]
    times = [dim for dim in dims if dim == selection.time or is_time(dim)]
    features = [dim for dim in dims if dim.lower() in ("feature", "features")]
    first = times[0] if len(times) == 1 else next(d for d in dims if d not in features[:1])
    last = features[0] if len(features) == 1 else [d for d in dims if d != first][-1]
    return variable.transpose(first, ..., last)


def _truth(text: Any, source: str) -> dict[str, Any] | None:
    """The truth of a simulation out of its JSON."""
    if text is None:
        return None
    try:
        truth = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise SnapshotError(
            f"The attribute truth of {source} is no JSON ({str(error)[:80]}); correct or delete it."
        ) from error
    if not isinstance(truth, dict):
        raise SnapshotError(
            f"The attribute truth of {source} is no JSON object; correct or delete it."
        )
    return truth


def check_codecs(path: Path, source: str) -> None:
    """Every codec named anywhere in a store's metadata is known to decode numbers or text only.

    zarr runs all of them, `pickle` included: https://github.com/zarr-developers/numcodecs/issues/706
    """
    for folder, folders, files in os.walk(path):
        linked = [name for name in folders if Path(folder, name).is_symlink()]
        if linked:
            raise SnapshotError(
                f"The {source} has a link to a directory in it ({linked[0]!r}); replace it by what "
                "it points to."
            )
        for name in {".zarray", ".zmetadata", "zarr.json"}.intersection(files):
            metadata = json.loads(Path(folder, name).read_text(encoding="utf-8"))
            for codec in _codecs(metadata):
                if codec.removeprefix("numcodecs.") not in CODECS:
                    raise SnapshotError(
                        f"The {source} asks for the codec {codec[:40]!r}, which is not among those "
                        "known to decode nothing but numbers and text; save it again with another."
                    )


def _codecs(metadata: Any) -> Iterator[str]:
    """The name of every codec anywhere in JSON."""
    if isinstance(metadata, list):
        for item in metadata:
            yield from _codecs(item)
    elif isinstance(metadata, dict):
        for key, value in metadata.items():
            if key in CODEC_KEYS:
                for codec in value if isinstance(value, list) else [value]:
                    if isinstance(codec, dict):
                        yield str(codec.get("id", codec.get("name")))
                    elif codec is not None:
                        yield str(codec)
            yield from _codecs(value)
