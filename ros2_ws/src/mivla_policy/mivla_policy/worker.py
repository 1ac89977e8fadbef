"""A pool of processes: how work is handed out, and what each of them does first."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import parent_process
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_processes(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int | None
) -> Iterator[Result]:
    """What `work` returns for each of `items`, in their order, from `workers` processes (None: one per core).

    An end before the last one drops what no process has begun. `Executor.map` would cancel it from this thread, and
    where the processes were ended as well, by a signal, its own thread then fails with a traceback.
    """
    with ProcessPoolExecutor(workers, initializer=_begin) as pool:
        futures = [pool.submit(work, item) for item in items][::-1]
        try:
            while futures:
                yield futures.pop().result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin() -> None:
    """Begin a forked process."""
    end_with_parent()
    if "torch" in sys.modules:
        # The threads of the parent's OpenMP are not in a forked process, which would wait for them for ever.
        sys.modules["torch"].set_num_threads(1)


def end_with_parent() -> None:
    """Have this process end as soon as the one that started it does, also where that one was killed.

    Left alone, it would wait for work for ever, or write beside the next run. A forked process also inherits its
    parent's signal handlers, which must not keep it from ending.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    parent = parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="end with parent", daemon=True).start()
