"""Mistakes a user can mend: each message is one sentence saying what, where and what to do."""

__all__ = ["InputError", "SnapshotError", "UnsettledError", "check_seed"]


class InputError(ValueError):
    """Something a user gave cannot be used."""


class SnapshotError(InputError):
    """Snapshots that cannot be used."""


class UnsettledError(InputError):
    """Equations that have no solution that a search finds from where it can start."""


def check_seed(seed: int) -> None:
    """Refuses a seed that some generator of random numbers cannot take.

    Raises:
        InputError: it is negative, or has more than 32 bits.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"The seed is {seed}; give a whole number from 0 to 2³² − 1.")
