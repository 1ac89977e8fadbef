"""`mivla console`: one window beside a running robot, with a key that stops it."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from mivla_bringup.console.listener import Listener
from mivla_bringup.console.operator import Operator
from mivla_bringup.console.state import ConsoleState
from mivla_bringup.console.view import view
from mivla_bringup.interruption import Interrupted
from mivla_bringup.plain_text import plain
from mivla_bringup.stop_key.sender import HARDWARE_STOP
from mivla_bringup.stop_key.ways import stop_ways
from mivla_drivers.errors import MivlaError
from mivla_drivers.robots import DEFAULT_ROBOT
from mivla_drivers.ros import network

if TYPE_CHECKING:
    from mivla_bringup.console.app import Console

STDERR = 2
MOST_KEPT = 20_000  # bytes
PICTURE_S = 6.0  # within which everybody has been discovered and has spoken
PICTURE_SIZE = (100, 24)
FONT_FROM_THE_NETWORK = re.compile(r"@font-face *{[^}]*}")  # whoever opens the picture asks nobody
NOT_ACKNOWLEDGED = 1  # exit code of an operator who leaves while a stop was not acknowledged


class ConsoleError(MivlaError):
    """The console cannot be shown here."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mivla console`."""
    parser.epilog = (
        "keys: SPACE stop, e enable, h home, p policy, t teleoperation, n none, q quit (the robot is not touched). "
        "It is no emergency stop."
    )
    parser.add_argument(
        "--namespace", default=DEFAULT_ROBOT, metavar="NAME", help="the robot's (%(default)s)"
    )
    parser.add_argument(
        "--interface",
        metavar="NAME",
        help="reach a robot on this interface's network, opened by network:=true",
    )
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="write what the window shows as an SVG, and end; no keys"
    )


def run(args: argparse.Namespace) -> int:
    """Show the robot until `q`; 1 where a stop was not acknowledged by then.

    Raises:
        ConsoleError: stdin and stdout are no terminal, and no picture is wanted; or the window failed.
        NetworkError: there is no such interface.
        OSError: the picture cannot be written.
    """
    if args.picture is None and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConsoleError(
            "console: expected a terminal, got a pipe or a file. Over SSH: ssh -t. "
            "Without one: mivla robot stop, mivla robot status"
        )
    network.apply(network=args.interface is not None, interface=args.interface)
    state = ConsoleState(args.namespace)
    listener = Listener(state)
    operator = Operator(state, *stop_ways(args.namespace), listener.call)
    try:
        app = _window(state, operator)
        listener.start()
        if args.picture is None:
            with _stderr_kept():
                app.run(mouse=False)
            if app.signalled is not None:
                raise Interrupted(app.signalled)
            if app.return_code:
                raise ConsoleError("the window ended by an error of its own: it stands above. Start it again")
        else:
            args.picture.write_text(asyncio.run(_picture(app)))
        stop = operator.sender.status
    finally:
        operator.close()
        listener.close()
    if stop.pending:
        print(f"mivla: NOT STOPPED: {plain(stop.message) or 'no answer'}. {HARDWARE_STOP}", file=sys.stderr)
        return NOT_ACKNOWLEDGED
    return 0


@contextmanager
def _stderr_kept() -> Iterator[None]:
    """What this process and its libraries write to standard error would spoil the window; it is shown afterwards."""
    sys.stderr.flush()
    before = os.dup(STDERR)
    with TemporaryFile() as kept:
        os.dup2(kept.fileno(), STDERR)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, STDERR)
            os.close(before)
            kept.seek(0)
            print(kept.read(MOST_KEPT).decode(errors="replace"), end="", file=sys.stderr)


def _window(state: ConsoleState, operator: Operator) -> Console:
    # A terminal that reports each key as a sequence of its own has nothing to add here, and more to go wrong.
    os.environ["TEXTUAL_DISABLE_KITTY_KEY"] = "1"
    from mivla_bringup.console.app import Console

    return Console(
        state.namespace,
        lambda: view(state.snapshot(), operator.sender.status, time.monotonic()),
        operator.stop,
        operator.call,
    )


async def _picture(app: Console) -> str:
    """The window as an SVG, once there was time to hear everybody."""
    async with app.run_test(size=PICTURE_SIZE):
        await asyncio.sleep(PICTURE_S)
        return FONT_FROM_THE_NETWORK.sub("", app.export_screenshot(title="mivla console"))
