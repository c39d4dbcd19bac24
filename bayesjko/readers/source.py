"""Where an input comes from: its name in messages, and how its failures are told."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bayesjko.models.errors import SnapshotError

__all__ = ["existing", "listing", "reading", "where"]

DAMAGED = "it may be cut short, damaged, or of another format than its ending says"


def where(path: Path) -> str:
    """What messages call a file."""
    return f"file '{path}'"


def existing(path: Path, *, folder: bool = False) -> Path:
    """The path, once it is known to hold something of the right kind.

    Raises:
        SnapshotError: nothing is there, it is empty, or a directory where a file belongs.
    """
    try:
        there = path.exists()
    except (OSError, ValueError):  # no file can have this name
        there = False
    if not there:
        raise SnapshotError(
            f"The {where(path)} does not exist; check its path (looked from '{Path.cwd()}')."
        )
    if path.is_dir() != folder:
        expected, found = ("directory", "file") if folder else ("file", "directory")
        raise SnapshotError(f"'{path}' is a {found}; a {expected} is needed for its ending.")
    if not (any(path.iterdir()) if folder else path.stat().st_size):
        raise SnapshotError(f"The {where(path)} is empty; make it again or choose another.")
    return path


@contextmanager
def reading(source: str, kind: str, advice: str = DAMAGED) -> Iterator[None]:
    """Turns whatever a library raises at damaged bytes into one sentence, its warnings into none.

    Only calls into a format's library belong inside: it is there that bytes nobody vouches for
    can raise anything at all.

    Raises:
        SnapshotError: the library failed; the message gives its first line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except SnapshotError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = lines[0].replace(". ", "; ")[:160].rstrip(". ")
        raise SnapshotError(f"Cannot read {source} as {kind} ({reason}); {advice}.") from error


def listing(names: Sequence[str], most: int = 12) -> str:
    """Names in a sentence; many are cut to the first ones and a count."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
