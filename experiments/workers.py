"""Cells in parallel: fresh processes of one thread each, whose failures are rows like others."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from typing import Any

from bayesjko.experiments.specification import Cell, Study
from bayesjko.inference.parallel import one_thread, workers

__all__ = ["measured", "one_thread"]

Task = tuple[Study, Cell]

_CELLS_A_WORKER = 200  # then it gives way to a fresh one, which bounds what libraries hold on to


def measured(tasks: Iterable[Task], jobs: int) -> Iterator[dict[str, Any]]:
    """Rows of cells in the order in which they finish.

    Args:
        tasks: what to measure.
        jobs: how many processes, each of one thread; with one, this process does it all.
    """
    if jobs == 1:
        for study, cell in tasks:
            yield _row(study, cell)
        return
    queue = deque(tasks)
    with one_thread():
        while queue:
            yield from _by_one_pool(queue, jobs)


def _by_one_pool(queue: deque[Task], jobs: int) -> Iterator[dict[str, Any]]:
    """Rows of the queue's first tasks, until a worker dies or all have worked for long."""
    pool = workers(jobs)
    most = jobs * _CELLS_A_WORKER
    running: dict[Future[dict[str, Any]], Task] = {}
    try:
        while True:
            while queue and most and len(running) < jobs:
                future = pool.submit(_row, *queue[0])
                running[future] = queue.popleft()
                most -= 1
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                row = future.result()
                del running[future]
                yield row
    except BrokenProcessPool:
        if not running:  # not a cell's doing: processes cannot even start
            raise
        for _, cell in running.values():
            yield asdict(cell) | {"failure": "The process that measured this cell died."}
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _row(study: Study, cell: Cell) -> dict[str, Any]:
    start = time.process_time()
    try:
        found: dict[str, Any] = study.run(cell)
    except Exception as error:  # whatever a cell does, the others go on
        found = {"failure": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    return asdict(cell) | found | {"cpu_seconds": time.process_time() - start}
