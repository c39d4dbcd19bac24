"""Work shared out over threads, or over fresh processes of one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

__all__ = ["one_thread", "threaded", "workers"]

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")

# Read by the libraries when they are first imported, so set before a worker starts.
_ONE_THREAD: Mapping[str, str] = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NPROC": "1",  # XLA's own pools on a CPU
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "MPLBACKEND": "agg",
}


def threaded(work: Callable[[_Item], _Found], items: Iterable[_Item], jobs: int) -> list[_Found]:
    """What work makes of each item, in their order, by so many threads: of work outside Python."""
    if jobs == 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(work, items))


def workers(
    jobs: int, prepare: Callable[..., None] | None = None, given: tuple[Any, ...] = ()
) -> ProcessPoolExecutor:
    """A pool of processes that know nothing of this one's state, and die with it.

    They start when work is submitted, which has to be within `one_thread`.

    Args:
        jobs: how many.
        prepare: called in each before its first work.
        given: with these.
    """
    return ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(prepare, given),
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """The environment in which a process that starts keeps to one thread."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    flags = " ".join(filter(None, [before["XLA_FLAGS"], _ONE_THREAD["XLA_FLAGS"]]))
    os.environ.update({**_ONE_THREAD, "XLA_FLAGS": flags})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin(prepare: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    """A worker dies silently when it is interrupted, and when the parent has died."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    tqdm.set_lock(threading.RLock())  # not its own semaphore, which a death would leave behind
    if prepare is not None:
        prepare(*given)
