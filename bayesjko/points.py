"""Points at which something is asked of a result: tables with a column for each feature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayesjko.models.errors import InputError

__all__ = ["read_points"]


def read_points(path: str | Path, features: Sequence[str]) -> Float[np.ndarray, "n d"]:
    """Points from a CSV, TSV or Parquet table with columns named like the features.

    Raises:
        InputError: there is no such table, a feature's column is missing, or a value is no finite
            number.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            f"There is no file {path}; give a table with columns {', '.join(features)}."
        )
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    except (OSError, ValueError) as error:  # what pandas and pyarrow raise on damaged tables
        first = (str(error).splitlines() or [""])[0]
        raise InputError(
            f"Cannot read {path} as a table ({first}); give CSV, TSV or Parquet."
        ) from error
    missing = [name for name in features if name not in table.columns]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]!r}; it needs one for each feature: "
            f"{', '.join(features)}."
        )
    values = table[list(features)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if not len(values):
        raise InputError(f"{path} has no rows; give at least one point.")
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        raise InputError(
            f"{path} has {len(bad)} values that are no finite numbers, the first in row {row + 1} "
            f"of column {features[column]!r}; mend or drop them."
        )
    return values
