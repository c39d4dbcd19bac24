"""Which columns are the time, the features and the weight: asked for, or the plausible ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from bayesjko.models.errors import SnapshotError
from bayesjko.readers.source import listing

__all__ = ["WEIGHTS", "Selection", "is_time"]

TIMES = frozenset(
    "t time times timepoint timepoints day days hour hours minute minutes week weeks month months "
    "year years date stage sample samples samplelabels snapshot snapshots experimentaltime "
    "collectionday".split()
)
WEIGHTS = ("w", "weight", "weights")


@dataclass(frozen=True)
class Selection:
    """What the user asked for; None leaves the choice to the reader.

    Attributes:
        time: name of the times.
        features: names, patterns such as `x*`, or the key of an array (`X_pca:5` its first five).
        weight: name of the particles' weights.
        paired: row i is the same particle in every snapshot.
    """

    time: str | None = None
    features: str | tuple[str, ...] | None = None
    weight: str | None = None
    paired: bool | None = None

    def __post_init__(self) -> None:
        if self.features is not None and not self.wanted():
            raise SnapshotError(
                "The option features names none; give names or patterns separated by commas, or "
                "leave it out to take all."
            )

    def time_name(self, names: Sequence[str], source: str) -> str:
        """The column of times.

        Raises:
            SnapshotError: it is not there, or which it is cannot be told.
        """
        if self.time is not None:
            return _present(self.time, names, source, "time")
        plausible = [name for name in names if is_time(name)]
        if not plausible:
            raise SnapshotError(
                f"No time found in {source}; say which it is with the option time, one of "
                f"{listing(names)}."
            )
        if len(plausible) > 1:
            raise SnapshotError(
                f"More than one time is possible in {source}; choose one with the option time: "
                f"{listing(plausible)}."
            )
        return plausible[0]

    def weight_name(self, names: Sequence[str], source: str) -> str | None:
        """The column of weights: `w` where none was asked for and `w` is not a feature by name.

        Raises:
            SnapshotError: it is not there, or a column may be the weights or a feature.
        """
        if self.weight is not None:
            return _present(self.weight, names, source, "weight")
        if "w" in names and "w" not in self.wanted(names):
            return "w"
        doubtful = [name for name in names if name.lower() in WEIGHTS]
        if doubtful and self.features is None:
            raise SnapshotError(
                f"Column {doubtful[0]!r} of {source} may be the particles' weights or a feature; "
                "name it with the option weight, or name the features."
            )
        return None

    def feature_names(self, names: Sequence[str], source: str) -> list[str]:
        """The names asked for, each once: exact ones in their order, patterns in the input's.

        Raises:
            SnapshotError: a name or pattern fits nothing.
        """
        chosen: dict[str, None] = {}
        for wanted in self.wanted(names):
            fitting = [wanted] if wanted in names else [n for n in names if fnmatchcase(n, wanted)]
            if not fitting:
                raise SnapshotError(
                    f"No feature {wanted!r} in {source}; the features are {listing(names)}."
                )
            chosen.update(dict.fromkeys(fitting))
        return list(chosen)

    def wanted(self, names: Sequence[str] = ()) -> tuple[str, ...]:
        """The features asked for one by one; a comma separates, unless a name has it."""
        if self.features is None or self.features in names:
            return () if self.features is None else (str(self.features),)
        if isinstance(self.features, str):
            return tuple(part.strip() for part in self.features.split(",") if part.strip())
        return self.features

    def block(self, keys: Sequence[str]) -> tuple[str, int | None] | None:
        """The array asked for by its key, and how many of its columns; None if not by key."""
        wanted = self.wanted(keys)
        if len(wanted) != 1:
            return None
        if wanted[0] in keys:
            return wanted[0], None
        key, _, count = wanted[0].rpartition(":")
        return (key, int(count)) if key in keys and re.fullmatch(r"0*[1-9]\d{0,8}", count) else None


def is_time(name: str) -> bool:
    """Whether a column of this name is plausibly the time."""
    return re.sub(r"[\W_]", "", name.lower()) in TIMES


def _present(name: str, names: Sequence[str], source: str, option: str) -> str:
    if name not in names:
        raise SnapshotError(
            f"No {option} {name!r} in {source}; choose one of {listing(names)} with the option "
            f"{option}."
        )
    return name
