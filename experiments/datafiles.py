"""Data that are not ours to ship: found in a folder that the user names."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from bayesjko.models.errors import InputError

__all__ = ["FOLDER", "DataFile"]

FOLDER = "BAYESJKO_DATA"
"""Environment variable that names the folder; `--data` sets it."""


@dataclass(frozen=True)
class DataFile:
    """A file in the user's folder.

    Attributes:
        name: of the file.
        origin: what is in it and where to get it, in the middle of a sentence.
    """

    name: str
    origin: str

    def path(self) -> Path:
        """Where it is.

        Raises:
            InputError: no folder was named, or it has no such file.
        """
        folder = os.environ.get(FOLDER)
        path = Path(folder or ".") / self.name
        if folder is None or not path.is_file():
            looked = f"is not in '{folder}'" if folder else "is needed"
            raise InputError(
                f"The file {self.name} {looked}: {self.origin}; put it into a folder and name that "
                f"with --data FOLDER or in {FOLDER}."
            )
        return path

    def digest(self) -> str:
        """SHA-256 in hexadecimal."""
        return hashlib.sha256(self.path().read_bytes()).hexdigest()
