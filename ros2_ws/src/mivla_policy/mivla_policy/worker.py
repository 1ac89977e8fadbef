"""What every process of a pool does first."""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing import parent_process


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
