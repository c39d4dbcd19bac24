"""Figures that others published, to stand beside ours: small tables, each row with its source."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

__all__ = ["published"]


def published(name: str) -> pd.DataFrame:
    """One of the tables beside this file.

    Its columns are `method`, `setting` (how data were made or left out), `case` (a potential, or a
    time), `measure` and `value`, `resolution` (the last digit that was printed; 0 where all are
    known) and `source`.
    """
    table = pd.read_csv(Path(__file__).parent / f"{name}.csv")
    return table.astype({"value": float, "resolution": float})
