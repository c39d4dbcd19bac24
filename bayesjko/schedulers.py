"""Who works on the parts of a population: this process, others of this machine, or other machines.

A task reads its part, and only what it makes of it travels: sums are added pairwise where they are,
as a tree. A worker that dies costs the tasks whose results died with it, which Dask does again.
"""

from __future__ import annotations

import logging
import operator
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bayesjko.inference.whole import Reduce, in_turn
from bayesjko.models.errors import InputError

__all__ = ["DaskSums", "scheduled"]

_RETRIES = 3  # of a task that fails in other ways than by the death of its worker
_PATIENCE = 20  # seconds for a scheduler to answer
_LOST = "1 hour"  # until a worker that dies is given up; Dask's 15 s are less than a busy restart


@dataclass(frozen=True)
class DaskSums:
    """Sums over parts by the workers of a Dask client.

    Attributes:
        client: a `distributed.Client`.
    """

    client: Any

    def __call__(self, work: Callable[[Any], Any], items: Sequence[Any]) -> Any:
        """Σ work(item), neighbours first."""
        tasks = self.client.map(work, items, pure=False, retries=_RETRIES)
        while len(tasks) > 1:
            left, right = tasks[0::2], tasks[1::2]
            sums = [
                self.client.submit(operator.add, a, b, pure=False, retries=_RETRIES)
                for a, b in zip(left, right, strict=False)
            ]
            tasks = sums + left[len(right) :]
        return tasks[0].result()


@contextmanager
def scheduled(name: str, jobs: int | None = None) -> Iterator[Reduce]:
    """Sums over parts by a scheduler.

    Args:
        name: `here`; `processes`, of this machine; or the address of a Dask scheduler, tcp://….
        jobs: how many processes; one a core if None.

    Raises:
        InputError: there is no such scheduler, it does not answer, or Dask is not installed.
    """
    if name == "here":
        yield in_turn
        return
    if name != "processes" and "://" not in name:
        raise InputError(
            f"There is no scheduler {name!r}; write here, processes, or the address of a Dask "
            "scheduler such as tcp://10.0.0.1:8786."
        )
    try:
        import dask
        from distributed import Client, LocalCluster
        from distributed.comm import get_address_host_port
    except ImportError as error:
        raise InputError(
            f"The scheduler {name} needs Dask, which is not installed: pip install "
            "'bayesjko[dask]', or take the scheduler here."
        ) from error
    if name == "processes":
        with (
            dask.config.set({"distributed.deploy.lost-worker-timeout": _LOST}),
            LocalCluster(
                n_workers=jobs or os.cpu_count() or 1,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield DaskSums(client)
        return
    try:
        # asked first without Dask, whose client leaves a traceback where nobody answers
        socket.create_connection(get_address_host_port(name), _PATIENCE).close()
        client = Client(name, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        raise InputError(
            f"The scheduler at {name} does not answer; start one there with `dask scheduler`, and "
            "workers that have bayesjko and see the data under the same path."
        ) from error
    with client:
        yield DaskSums(client)
