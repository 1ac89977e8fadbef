"""Real-time scheduling of a control thread, where the machine's owner allows it."""

from __future__ import annotations

import getpass
import os

PRIORITY = 40  # below the kernel's own interrupt threads at 50


def request_realtime(priority: int = PRIORITY) -> str:
    """Schedule the calling thread as SCHED_FIFO; how it is scheduled now, for an operator.

    Without permission it stays as it is, and the text holds the command that gives the permission.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        return (
            f"ordinary (a busy machine delays it); to allow real time: echo '{_user()} - rtprio 50' | "
            "sudo tee /etc/security/limits.d/mivla.conf, then log in again"
        )
    except OSError as error:
        return f"ordinary: {error.strerror}"
    return f"real time (SCHED_FIFO {priority})"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"#{os.getuid()}"
