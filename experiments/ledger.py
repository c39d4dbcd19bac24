"""Finished cells on disk: one line of JSON each, whole or not there."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Ledger"]


class Ledger:
    """A file that grows by one line a cell and survives being killed at any moment.

    A line cut short by a crash is dropped when the file is opened again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists():
            whole = path.read_bytes()
            kept = whole.rfind(b"\n") + 1
            if kept < len(whole):
                os.truncate(path, kept)

    def rows(self) -> list[dict[str, Any]]:
        """All rows, oldest first."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row, by one write; a number that is not finite is written as null."""
        finite = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in row.items()
        }
        line = json.dumps(finite, allow_nan=False) + "\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)
