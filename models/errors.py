"""Mistakes a user can mend: each message is one sentence saying what, where and what to do."""

__all__ = ["InputError", "SnapshotError", "UnsettledError"]


class InputError(ValueError):
    """Something a user gave cannot be used."""


class SnapshotError(InputError):
    """Snapshots that cannot be used."""


class UnsettledError(InputError):
    """Equations that have no solution that a search finds from where it can start."""
