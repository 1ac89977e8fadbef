"""How much memory this process has held."""

from __future__ import annotations

from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_resident_mib() -> float:
    """Largest resident memory of this program so far [MiB], on Linux.

    `getrusage` would also count what the parent held: a child starts in its parent's memory.
    """
    for line in STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"{STATUS}: expected a line VmHWM, found none")
