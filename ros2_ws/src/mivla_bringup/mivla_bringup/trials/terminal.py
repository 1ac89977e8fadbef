"""Single keys from a terminal, and lines to it, for an operator beside a robot."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
from types import TracebackType

from mivla_bringup.trials.errors import TrialError

ESCAPES = re.compile(r"\x1b(\[[0-9;]*[A-Za-z~]|O.)?")  # arrows and the like are no keys here
DISABLED = b"\x00"


class Terminal:
    """The terminal of this process, read key by key; a context manager.

    Ctrl-C interrupts as ever. Ctrl-Z and Ctrl-S do nothing: either would keep a stop from being heard.
    """

    def __enter__(self) -> Terminal:
        """Read single keys from here on.

        Raises:
            TrialError: stdin and stdout are no terminal.
        """
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise TrialError(
                "--on-robot: expected a terminal, since an operator judges by keys, got a pipe or a file. "
                "Over SSH: ssh -t"
            )
        self._input = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._input)
        attributes = termios.tcgetattr(self._input)
        attributes[0] &= ~termios.IXON
        attributes[3] &= ~(termios.ICANON | termios.ECHO)
        attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
        attributes[6][termios.VSUSP] = DISABLED
        termios.tcsetattr(self._input, termios.TCSANOW, attributes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            termios.tcflush(self._input, termios.TCIFLUSH)  # keys typed ahead are no shell commands
            termios.tcsetattr(self._input, termios.TCSANOW, self._before)
        except termios.error:  # the terminal is gone
            return

    def keys(self) -> str:
        """Keys pressed since the last call, lower case, Enter as a line feed; returns at once.

        Raises:
            TrialError: the terminal is gone.
        """
        try:
            if not select.select([self._input], [], [], 0.0)[0]:
                return ""
            read = os.read(self._input, 256)
        except OSError as error:
            raise TrialError(f"terminal: expected keys, got: {error.strerror}") from None
        if not read:
            raise TrialError("terminal: expected keys, it was closed")
        return ESCAPES.sub("", read.decode(errors="replace")).replace("\r", "\n").lower()

    def say(self, text: str) -> None:
        """Print lines, below a line that is being written over."""
        print(f"\r\033[K{text}", flush=True)
