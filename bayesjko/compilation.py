"""Compiled programs kept between runs: a command compiles only what none before it did."""

from __future__ import annotations

import contextlib
import os

import jax
from platformdirs import user_cache_path

__all__ = ["VARIABLE", "keep_compiled"]

VARIABLE = "BAYESJKO_CACHE"
"""Environment variable: a folder to keep compiled programs in, or `off`."""

_MOST = 8192  # programs, of some 20 kB each; past that the older half of them leaves


def keep_compiled() -> str | None:
    """Tell JAX to keep what it compiles in the user's cache folder, or where the variable says.

    Every command does; importing the package changes nothing of JAX, so programs of one's own call
    this, or set JAX up themselves: a folder that JAX has been told of already stays. Processes
    started from here keep theirs in the same place.

    Returns:
        The folder; None where nothing is kept.
    """
    told = os.environ.get(VARIABLE, "")
    if told.lower() in ("off", "0", "no", "none"):
        return None
    known = jax.config.values["jax_compilation_cache_dir"]
    if known:
        return str(known)
    folder = told or str(user_cache_path("bayesjko") / "compiled")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)  # nobody else's: JAX runs what it finds
        usable = os.access(folder, os.W_OK)
    except OSError:
        usable = False
    if not usable:  # a home that cannot be written to is no reason to refuse a fit
        return None
    _make_room(folder)
    settings: dict[str, str | int | float] = {
        # with a bound JAX reads all that is kept, a second for 10,000 programs, to keep one more
        "jax_compilation_cache_max_size": -1,
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
        "jax_compilation_cache_dir": folder,
    }
    for name, value in settings.items():
        os.environ[name.upper()] = str(value)
        jax.config.update(name, value)
    return folder


def _make_room(folder: str) -> None:
    """Forget the older half of the programs where there are too many."""
    with contextlib.suppress(OSError):  # another process is about the same, or it cannot be listed
        kept = list(os.scandir(folder))
        if len(kept) > _MOST:
            kept.sort(key=lambda entry: entry.stat().st_mtime)
            for entry in kept[: len(kept) // 2]:
                os.unlink(entry.path)
