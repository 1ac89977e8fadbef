"""The console's window, with Textual: it draws what `view` says and hands keys on; nothing is decided here."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import App, ComposeResult
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Key
from textual.message import Message
from textual.widgets import Static

from mivla_bringup.console.keys import ACTIONS, QUIT_KEYS, STOP_KEYS, Action
from mivla_bringup.console.view import ERROR, KEYS, OK, STALE, TROUBLE, WARNING, Row, View
from mivla_bringup.interruption import SIGNALS
from mivla_bringup.stop_key.sender import ACKNOWLEDGED_WITHIN_S

NAME_WIDTH = 18
DRAW_PERIOD_S = 0.25
GIL_TURN_S = 0.0005  # drawing must not hold up the key's threads
STYLES = {OK: "green", WARNING: "bold yellow", ERROR: "bold red", STALE: "bold magenta"}
STYLES_WITHOUT_COLOUR = {OK: "", WARNING: "bold", ERROR: "bold reverse", STALE: "reverse"}


def driver_of(stop: Callable[[], None]) -> type[LinuxDriver]:
    """A Textual driver that stops the robot from the thread which reads the terminal, before anything is drawn."""

    class StopFirst(LinuxDriver):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            """As Textual's own, but drawing on standard output: ROS writes its warnings to the other one."""
            super().__init__(*arguments, **options)
            assert sys.__stdout__ is not None
            self._file = sys.__stdout__

        def process_message(self, message: Message) -> None:
            if isinstance(message, Key) and is_stop(message):
                stop()
            super().process_message(message)

        def _request_terminal_sync_mode_support(self) -> None:
            """Ask nothing: Apple's terminal would answer over SSH with the letter p, which is a key here."""

    return StopFirst


def is_stop(key: Key) -> bool:
    """Whether a key is the space bar, however a terminal names it."""
    return key.key in STOP_KEYS or key.character == " "


class Console(App[None]):
    """Shows `see()` four times a second, and at each key.

    Attributes:
        signalled: the signal that ended it, None where none did.
    """

    CSS = """
    Screen { layout: vertical; overflow: hidden; }
    #alarm { display: none; height: auto; padding: 0 1; background: red; color: white; text-style: bold; }
    #alarm.shown { display: block; }
    #head { height: auto; max-height: 4; padding: 0 1; }
    #table { height: 1fr; padding: 0 1; overflow: hidden; }
    #stop { height: auto; max-height: 3; padding: 0 1; }
    #told { height: auto; max-height: 2; padding: 0 1; }
    #keys { height: 1; padding: 0 1; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[Any]] = []

    def __init__(
        self,
        namespace: str,
        see: Callable[[], View],
        stop: Callable[[], None],
        call: Callable[[Action], None],
    ) -> None:
        super().__init__(driver_class=driver_of(stop))
        self._namespace, self._see, self._stop, self._call = namespace, see, stop, call
        self.signalled: int | None = None
        # The terminal's own colours; where none are wanted, Textual would make black on black of them.
        self.theme = "textual-dark" if self.no_color else "ansi-dark"
        self.styles_of_levels = STYLES_WITHOUT_COLOUR if self.no_color else STYLES

    def compose(self) -> ComposeResult:
        """An alarm, the driver's mode, the table, what a stop and another key came to, and the keys."""
        for name in ("alarm", "head", "table", "stop", "told", "keys"):
            yield Static(id=name, markup=False)

    def on_mount(self) -> None:
        """Draw now, and from now on; a signal closes the window as a key does."""
        sys.setswitchinterval(GIL_TURN_S)
        if not self.is_headless:
            # Raised in the midst of one of the window's tasks, an exception would leave the others waiting.
            for number in SIGNALS:
                asyncio.get_running_loop().add_signal_handler(number, self._end, number)
        self.query_one("#keys", Static).update(Text(KEYS, style="reverse"))
        self.draw()
        self.set_interval(DRAW_PERIOD_S, self.draw)

    def _end(self, number: int) -> None:
        self.signalled = number
        self.exit()

    def on_key(self, event: Key) -> None:
        """A key; the thread that read it has sent a stop already, except where there is no terminal."""
        event.stop()
        if is_stop(event):
            if self.is_headless:
                self._stop()
            self.set_timer(ACKNOWLEDGED_WITHIN_S, self.draw)  # a stop that is late by then is told at once
        elif event.key.lower() in QUIT_KEYS:
            self.exit()
        elif action := ACTIONS.get(event.key.lower()):
            self._call(action)
        self.draw()

    def draw(self) -> None:
        """Show what is known now."""
        if not self.query("#alarm"):
            return  # the window is closing
        seen = self._see()
        alarm = self.query_one("#alarm", Static)
        alarm.set_class(seen.alarm is not None, "shown")
        if seen.alarm is not None:
            lines = "\n".join((*seen.alarm.letters, *seen.alarm.lines))
            alarm.update(Text(lines))
        clock = time.strftime("%H:%M:%S")
        head = Text.assemble(
            (self._namespace, "bold"),
            f"  {clock}  ",
            (seen.mode, self.styles_of_levels.get(seen.level, "bold")),
        )
        head.append(f"\n{seen.reason}")
        self.query_one("#head", Static).update(head)
        self.query_one("#table", Static).update(_table(seen.rows, self.styles_of_levels))
        self.query_one("#stop", Static).update(Text(seen.stop))
        told = self.query_one("#told", Static)
        told.display = bool(seen.told)
        told.update(Text(seen.told))


def _table(rows: tuple[Row, ...], styles: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, width=NAME_WIDTH, overflow="ellipsis")
    table.add_column(no_wrap=True, width=7)
    table.add_column()
    for row in rows:
        whole = row.level in TROUBLE or row.name == "driver"
        text = Text(row.text, no_wrap=not whole, overflow="ellipsis")
        table.add_row(Text(row.name), Text(row.level, style=styles.get(row.level, "")), text)
    return table
