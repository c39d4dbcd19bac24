"""Damage in HDF5 files that its library would not survive."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import h5py

__all__ = ["check_hdf5"]

HEAP = b"GCOL\x01\x00\x00\x00"  # a global heap, where text and references of any length are
OBJECT = struct.Struct("<HHIQ")  # index, references, nothing, size


def check_hdf5(path: Path) -> None:
    """Fails on what the libraries below would loop over for ever or complain of on stderr.

    HDF5 guards its metadata by checksums, all but the global heap, on whose damaged sizes it
    never ends: https://github.com/HDFGroup/hdf5/issues/1707. Its layout is in section III.E of
    the HDF5 file format specification.

    Raises:
        ValueError: the sizes in a heap do not add up.
        OSError: it is no HDF5 file.
    """
    with h5py.File(path, "r") as file:
        file.attrs.get("_nc3_strict")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(HEAP)
        while start >= 0:
            _check_heap(content, start)
            start = content.find(HEAP, start + len(HEAP))


def _check_heap(content: mmap.mmap, start: int) -> None:
    """The objects of a heap, each after the other, fill it exactly."""
    (size,) = struct.unpack_from("<Q", content, start + 8) if start + 16 <= len(content) else (0,)
    end = start + size
    if not 16 <= size <= len(content) - start:
        raise ValueError("a heap is larger than the file")
    place = start + 16
    while place + OBJECT.size <= end:
        index, _, _, size = OBJECT.unpack_from(content, place)
        # Object 0 is the free rest, its size with its head.
        place += size if index == 0 else OBJECT.size + (size + 7) // 8 * 8
        if place > end or (index == 0 and size < OBJECT.size):
            raise ValueError("the sizes in a heap do not add up")
