"""netCDF files, written by way of memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr

__all__ = ["write_netcdf"]


def write_netcdf(data: xr.Dataset | xr.DataTree, path: Path, **options: Any) -> None:
    """Writes a file at once: HDF5 ends the whole process where a disk fills up under it.

    Args:
        data: what to write.
        path: where to.
        **options: of xarray's `to_netcdf`.

    Raises:
        OSError: the file cannot be written.
    """
    path.write_bytes(data.to_netcdf(engine="h5netcdf", **options))
