"""PyBullet, imported without the line that its C code prints (`pybullet build time: ...`).

Everything here takes it from this module: `from mivla_drivers.bullet import pybullet`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STDOUT = 1


@contextmanager
def _without_stdout() -> Iterator[None]:
    """Send what C code prints to nowhere; a process whose stdout is closed has nothing to hide."""
    try:
        kept = os.dup(STDOUT)
    except OSError:
        yield
        return
    if sys.stdout is not None:
        sys.stdout.flush()
    c = ctypes.CDLL(None)
    c.fflush(None)  # what was printed before belongs to its reader
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, STDOUT)
        yield
        c.fflush(None)  # the line waits in C's buffer while stdout is no terminal
    finally:
        os.dup2(kept, STDOUT)
        os.close(kept)
        os.close(nowhere)


with _without_stdout():
    import pybullet

__all__ = ["pybullet"]
