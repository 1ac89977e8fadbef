"""PyBullet, imported without the line that its C code prints (`pybullet build time: ...`).

Everything here takes it from this module: `from mivla_drivers.bullet import pybullet`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STDERR = 2


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Send what C code prints to nowhere; a process whose stderr is closed has nothing to hide."""
    try:
        kept = os.dup(STDERR)
    except OSError:
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, STDERR)
        yield
    finally:
        os.dup2(kept, STDERR)
        os.close(kept)
        os.close(nowhere)


with _without_stderr():
    import pybullet

__all__ = ["pybullet"]
