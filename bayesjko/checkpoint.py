"""Finished blocks of a long run, kept beside its result file so that it can go on after a stop."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bayesjko.inference.sharding import first_process, same_everywhere
from bayesjko.models.errors import InputError

__all__ = ["Block", "Checkpoint"]

Block = Mapping[str, np.ndarray]
"""Named arrays that a run adds at a time; what it must know to go on is among them."""

_FORMAT = 1
_META = "meta.json"


class Checkpoint:
    """The folder `RESULT.checkpoint` with one file a block and a record of what the run is.

    Nothing is on disk before the first block, and every block is there whole or not at all, however
    the run ends. `load` comes first: it says what the run is. Once the result file is written, the
    run's owner calls `discard`.

    Attributes:
        folder: where the blocks are.
    """

    def __init__(self, result: str | os.PathLike[str], *, resume: bool = False) -> None:
        """Beside a result file that need not exist yet.

        Args:
            result: the file that the run ends with.
            resume: go on with the blocks that are there; without any, start.

        Raises:
            InputError: there is a checkpoint and it is not to be resumed.
        """
        path = Path(result).expanduser()
        self.folder = path.parent / f"{path.name}.checkpoint"
        self._fingerprint: Any = None
        self._count = 0
        if self.folder.exists() and not resume:
            raise InputError(
                f"An interrupted run left its work in '{self.folder}'; resume it (--resume), or "
                "delete that folder to start over."
            )

    def load(self, fingerprint: Mapping[str, Any]) -> list[dict[str, np.ndarray]]:
        """The blocks that are done, in order; none if the run has yet to start.

        Args:
            fingerprint: all that decides what the blocks are (settings, data hash, versions), of
                JSON types.

        Raises:
            InputError: the blocks are of another run, or cannot be read.
        """
        self._fingerprint = json.loads(json.dumps(fingerprint, allow_nan=False))
        self._count = 0
        if not self.folder.exists():
            return self._agreed([])
        self._check()
        blocks: list[dict[str, np.ndarray]] = []
        while self._path(len(blocks)).exists():
            blocks.append(_read(self._path(len(blocks))))
        return self._agreed(blocks)

    def append(self, block: Block) -> None:
        """Keep one more block.

        Raises:
            InputError: another run keeps its blocks here at the same time.
        """
        assert self._fingerprint is not None, "load comes before append"
        for name, array in block.items():
            if np.asarray(array).dtype.hasobject:
                raise TypeError(f"The block's {name} holds objects, which only pickle could write.")
        if not first_process():
            return
        if not self.folder.exists():
            self._make()
        target = self._path(self._count)
        if target.exists():
            raise InputError(
                f"Another run writes to '{self.folder}'; let it finish, or name another result."
            )
        handle, fresh = tempfile.mkstemp(dir=self.folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **block)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, target)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
        self._count += 1

    def discard(self) -> None:
        """Delete the blocks: the result is written."""
        if self._fingerprint is not None and first_process():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _agreed(self, blocks: list[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
        """The blocks, if all processes have found as many; none writes before all have looked."""
        if not same_everywhere(len(blocks)):
            raise InputError(
                f"The processes of this run find different blocks in '{self.folder}'; give them a "
                "folder that all of them see."
            )
        self._count = len(blocks)
        return blocks

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:06d}.npz"

    def _make(self) -> None:
        """The folder with its record in it, or no folder."""
        work = Path(
            tempfile.mkdtemp(prefix=f".{self.folder.name}.", suffix=".tmp", dir=self.folder.parent)
        )
        try:
            meta = {"format": _FORMAT, "fingerprint": self._fingerprint}
            (work / _META).write_text(json.dumps(meta, indent=1), "utf-8")
            os.replace(work, self.folder)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise

    def _check(self) -> None:
        try:
            meta = json.loads((self.folder / _META).read_text("utf-8"))
            found = meta["fingerprint"] if meta["format"] == _FORMAT else None
        except (OSError, ValueError, TypeError, KeyError):
            found = None
        if not isinstance(found, dict):
            raise InputError(
                f"'{self.folder}' is no checkpoint of this version; delete it or name another "
                "result."
            )
        for name, ours, theirs in _differences(self._fingerprint, found):
            raise InputError(
                f"The checkpoint '{self.folder}' is of another run: its {name} is {theirs} and "
                f"this one's {ours}; ask for the same again, or delete that folder to start over."
            )


def _differences(ours: Any, theirs: Any, name: str = "record") -> Iterator[tuple[str, Any, Any]]:
    """Where two fingerprints differ, each named by its innermost key."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            yield from _differences(ours.get(key), theirs.get(key), key)
    elif ours != theirs:
        yield name.replace("_", " "), ours, theirs


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"Cannot read '{path}' of an interrupted run; delete its folder to start over."
        ) from error
