"""Ctrl-C, SIGTERM and a closed terminal end a command the same way: what it opened is closed, nothing is left."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_S = 0.02


class Interrupted(KeyboardInterrupt):
    """A signal asks the command to end; `code` is the exit code that shells expect then."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` at the first signal; those that follow must not cut the closing short.

    Python swallows what is raised in a destructor or in a callback of C; then it is raised again a moment later.
    A signal that whoever started this process had it ignore, as `nohup` does with SIGHUP, stays ignored.
    Outside the main thread, which alone hears signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]

    def interrupt(number: int, _: FrameType | None) -> None:
        for other in heard:
            signal.signal(other, signal.SIG_IGN)
        _end_workers()
        raise Interrupted(number)

    def raise_again(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, Interrupted):
            hook_before(unraisable)
            return
        number = unraisable.exc_value.code - 128
        signal.signal(number, interrupt)
        threading.Timer(AGAIN_S, os.kill, (os.getpid(), number)).start()

    hook_before = sys.unraisablehook
    sys.unraisablehook = raise_again
    for number in heard:
        signal.signal(number, interrupt)
    try:
        yield
    except RuntimeError as error:
        raise _interruption_behind(error) or error from error.__cause__
    finally:
        sys.unraisablehook = hook_before
        for number in heard:
            signal.signal(number, before[number])


def _interruption_behind(error: RuntimeError) -> Interrupted | None:
    """The signal that broke a wait's lock: one that comes as it has just been released is told as that."""
    behind = error.__context__
    return behind if isinstance(behind, Interrupted) and "lock" in str(error) else None


def _end_workers() -> None:
    """End the processes of pools, which are waited for otherwise; what they write is whole or not there."""
    if (multiprocessing := sys.modules.get("multiprocessing")) is not None:
        for worker in multiprocessing.active_children():
            worker.kill()  # one that has just been forked still hears signals as its parent does
