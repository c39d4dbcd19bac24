"""Where chains run: side by side on the cores of this machine."""

from __future__ import annotations

import os

import jax

from bayesjko.settings import FitSettings

__all__ = ["SAMPLING", "spread_chains"]

SAMPLING = ("nuts", "blackjax-nuts", "mclmc")
"""Methods that run Markov chains."""


def spread_chains(settings: FitSettings, jobs: int | None = None) -> int:
    """Make as many devices of the processor as share the chains evenly.

    JAX asks for that before its first computation; after it, nothing changes. Accelerators are
    devices already.

    Args:
        settings: of the fit.
        jobs: cores to use; all if None.

    Returns:
        How many devices there will be.
    """
    if settings.method not in SAMPLING:
        return 1
    cores = min(jobs or os.cpu_count() or 1, settings.chains)
    most = max(n for n in range(1, max(cores, 1) + 1) if settings.chains % n == 0)
    try:
        jax.config.update("jax_num_cpu_devices", most)
    except RuntimeError:  # somebody has computed already
        return 1
    return most
