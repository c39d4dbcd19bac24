"""Where a fit is computed: on an accelerator or the processor, chains side by side on its cores."""

from __future__ import annotations

import os
from typing import Literal

import jax

from bayesjko.inference.sharding import same_everywhere
from bayesjko.models.errors import InputError
from bayesjko.settings import FitSettings

__all__ = ["SAMPLING", "Device", "join_processes", "spread_chains", "use_device"]

SAMPLING = ("nuts", "blackjax-nuts", "mclmc")
"""Methods that run Markov chains."""

Device = Literal["auto", "cpu", "gpu"]


def use_device(device: Device) -> None:
    """Compute there from now on; before JAX's first computation, where the processor is meant.

    Args:
        device: `auto` is what JAX would take: an accelerator if it was installed for one.

    Raises:
        InputError: there is no GPU that JAX can use.
    """
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    elif device == "gpu":
        try:
            jax.devices("gpu")
        except RuntimeError as error:
            raise InputError(
                "JAX sees no GPU here; install JAX for one (pip install 'jax[cuda12]'), unset "
                "JAX_PLATFORMS, or leave out --device gpu."
            ) from error


def join_processes(
    address: str | None = None, count: int | None = None, number: int | None = None
) -> None:
    """Join the processes that run the same program, on this machine or others.

    By `jax.distributed`, before JAX's first computation. Then all meet once: on processors a first
    meeting fails for who is half a minute late, and later ones wait for whoever compiles.

    Args:
        address: `host:port` at which the first process listens; None where JAX can find out all
            three by itself (Slurm, Open MPI, Kubernetes, TPUs).
        count: how many processes there are.
        number: which of them this one is, from 0.

    Raises:
        InputError: JAX cannot join them.
    """
    try:
        jax.distributed.initialize(address, count, number)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"JAX cannot join this process to others ({str(error).splitlines()[0]}); call "
            "join_processes before anything else of JAX, in every process with the same address "
            "and count and a number of its own."
        ) from error
    same_everywhere(0)


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
