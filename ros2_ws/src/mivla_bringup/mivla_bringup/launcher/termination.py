"""Ends every process of a launch: children, their children, and those that tried to slip away."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection
from dataclasses import dataclass

import psutil

MARK = "MIVLA_LAUNCH"  # environment variable that every process of a launch inherits
POLL_S = 0.05


@dataclass(frozen=True)
class Deadlines:
    """How long processes get to end after SIGINT, then after SIGTERM, then after SIGKILL [s]."""

    interrupt_s: float = 8.0
    terminate_s: float = 3.0
    kill_s: float = 3.0


def members(mark: str, sessions: Collection[int] = ()) -> list[psutil.Process]:
    """Live processes that carry `mark` in their environment, or stand in one of `sessions`.

    The mark finds grandchildren that opened a session of their own, the session those whose environment
    was emptied.
    """
    return [process for process in psutil.process_iter() if _belongs(process, mark, sessions)]


def end_all(mark: str, sessions: Collection[int] = (), deadlines: Deadlines | None = None) -> bool:
    """Ask the members to end, then insist; whether all of them are gone.

    Each gets SIGINT once, SIGTERM where that was not enough, and SIGKILL at the end.
    """
    deadlines = deadlines or Deadlines()
    for number, seconds in (
        (signal.SIGINT, deadlines.interrupt_s),
        (signal.SIGTERM, deadlines.terminate_s),
        (signal.SIGKILL, deadlines.kill_s),
    ):
        found = members(mark, sessions)
        for process in found:
            _signal(process, number)
        _await_end(found, seconds)
        if not members(mark, sessions):
            return True
    return False


def _belongs(process: psutil.Process, mark: str, sessions: Collection[int]) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return os.getsid(process.pid) in sessions or process.environ().get(MARK, "").startswith(mark)
    except (psutil.Error, OSError):
        return False  # it is gone, or another user's and so none of ours


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return  # it ended by itself


def _await_end(processes: list[psutil.Process], seconds: float) -> None:
    """Wait without reaping: the exit status belongs to whoever started the process."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        processes = [process for process in processes if _runs(process)]
        if not processes:
            return
        time.sleep(POLL_S)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
