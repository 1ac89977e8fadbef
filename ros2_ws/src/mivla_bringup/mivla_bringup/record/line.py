"""The line that an operator sees while an episode is recorded."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping

from mivla_bringup.record.recorder_watch import RecorderWatch

RATE = "rate "
WARN_MB = 5000
LINE_S = 0.25
PLAIN_LINE_S = 5.0  # where nobody's eyes are on a terminal
WELL = ("ready", "recording")  # what a recorder says that needs nobody


class LiveLine:
    """Prints the line, in its place on a terminal and seldom elsewhere."""

    def __init__(self) -> None:
        self._shown_at = 0.0

    def show(self, recorder: RecorderWatch, number: int, wanted: int) -> None:
        """Print it where it is time to; `number` of `wanted` episodes is being recorded."""
        now, tty = time.monotonic(), sys.stdout.isatty()
        if now < self._shown_at + (LINE_S if tty else PLAIN_LINE_S):
            return
        self._shown_at = now
        message = recorder.message
        text = live_line(recorder.values(now) or {}, number, wanted, "" if message in WELL else message)
        if tty:
            columns = shutil.get_terminal_size().columns
            print(f"\r\033[K{text[: columns - 1]}", end="", flush=True)
        else:
            print(text, flush=True)


def live_line(values: Mapping[str, str], number: int, wanted: int, message: str) -> str:
    """One line: episode, seconds, achieved of expected rates, losses and free disk.

    Args:
        values: of the recorder's diagnostics.
        number, wanted: of the episode, and how many there are to be.
        message: what the recorder says where it is not well; empty where it is.
    """
    rates = [f"{_short(key)} {value}" for key, value in values.items() if key.startswith(RATE)]
    free_mb = int(values.get("free_mb") or 0)
    disk = f"disk {free_mb / 1000:.0f} GB" + (" LOW" if free_mb < WARN_MB else "")
    parts = [
        f"episode {number}/{wanted}",
        f"{float(values.get('seconds') or 0):.1f} s",
        f"lost {values.get('dropped', '0')}",
        disk,
        *rates,
    ]
    return "  ".join([*parts[:3], *([message.upper()] if message else []), *parts[3:]])


def _short(key: str) -> str:
    """A topic by the one word that tells it from the others: its camera, or joints."""
    name = key.removeprefix(RATE).removesuffix("/image_raw/compressed")
    return name.rsplit("/", 1)[-1].replace("joint_states", "joints")
