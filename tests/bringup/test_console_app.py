"""Keys and window of `mivla console`, with Textual's own pilot: no terminal, no robot."""

from __future__ import annotations

import asyncio
import re
import time

import pytest
from rich.style import Style
from textual.widgets import Static

from mivla_bringup.console.app import Console
from mivla_bringup.console.state import ConsoleState, Reach
from mivla_bringup.console.view import view
from mivla_bringup.stop_key.sender import StopStatus

SIZE = (80, 24)


class Bench:
    """A window whose keys are noted, over a state that tests fill."""

    def __init__(self) -> None:
        self.pressed: list[str] = []
        self.stop = StopStatus()
        self.state = ConsoleState("piper")
        self.state.set_reach(Reach.SOCKET, time.monotonic(), 0.001)
        self.app = Console(
            "/piper",
            lambda: view(self.state.snapshot(), self.stop, time.monotonic()),
            lambda: self.pressed.append("stop"),
            lambda action: self.pressed.append(action.label),
        )

    def press(self, *keys: str) -> None:
        """Press keys in a window of 80 by 24; keep what it shows then in `screen`."""

        async def run() -> None:
            async with self.app.run_test(size=SIZE) as pilot:
                await pilot.press(*keys)
                await pilot.pause()
                self.running = self.app.is_running and self.app.return_code is None
                self.svg = self.app.export_screenshot()
                self.screen = "\n".join(
                    str(self.app.query_one(f"#{name}", Static).render())
                    for name in ("head", "stop", "told", "keys")
                )
                self.sizes = {
                    name: self.app.query_one(f"#{name}", Static).size for name in ("alarm", "table", "keys")
                }

        asyncio.run(run())


@pytest.fixture
def bench():
    return Bench()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("space", "stop"),
        ("alt+space", "stop"),
        ("e", "enable"),
        ("E", "enable"),
        ("h", "home"),
        ("p", "source policy"),
        ("t", "source teleop"),
        ("n", "source none"),
    ],
)
def test_each_key_does_one_thing(bench, key, expected):
    bench.press(key)
    assert bench.pressed == [expected]
    assert bench.running


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
def test_quitting_asks_nothing_and_touches_nothing(bench, key):
    bench.press(key)
    assert bench.pressed == []
    assert not bench.running


@pytest.mark.parametrize("key", ["a", "enter", "escape", "tab", "up", "f1", "ctrl+z", "ctrl+p", "ctrl+s"])
def test_other_keys_do_nothing(bench, key):
    bench.press(key)
    assert bench.pressed == []
    assert bench.running


def test_the_keys_and_the_way_of_a_stop_are_on_the_screen(bench):
    bench.press()
    assert "SPACE stop   e enable   h home" in bench.screen
    assert "stop goes by: socket of this machine" in bench.screen


def test_a_long_answer_to_a_stop_does_not_hide_what_another_key_came_to(bench):
    now = time.monotonic()
    bench.stop = StopStatus(pressed=now - 0.1, acknowledged=now, way="socket", message="x " * 200)
    bench.state.begin("source policy", now)
    bench.state.end("source policy", False, "it came within 1 s of the stop", now)
    bench.press()
    assert "source policy: NOT DONE" in bench.svg.replace("&#160;", " ")


def test_an_alarm_leaves_room_for_parts_and_keys_in_80_by_24(bench):
    now = time.monotonic()
    bench.stop = StopStatus(pressed=now - 5.0, message="x" * 400)
    for number in range(30):
        bench.state.hear(f"piper/part{number}", 2, "y" * 400, {}, now)
    bench.press()
    assert bench.sizes["alarm"].height >= 5
    assert bench.sizes["table"].height >= 4
    assert bench.sizes["keys"].height == 1


def test_without_colours_every_word_can_still_be_read(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    bench = Bench()
    assert [Style.parse(style).color for style in bench.app.styles_of_levels.values()] == [None] * 4
    bench.stop = StopStatus(pressed=time.monotonic() - 5.0)
    bench.press()
    fills = {int(fill[:2], 16) for fill in re.findall(r"-r\d+ { fill: #([0-9a-f]{6})", bench.svg)}
    assert min(fills) < 0x30 < 0xC0 < max(fills)  # dark letters on a light bar, light ones on the dark window
    assert not {fill for fill in fills if 0x30 <= fill < 0xC0}


def test_a_message_cannot_style_the_window(bench):
    bench.state.hear("piper/policy", 0, "[bold]\x1b[31mtext[/]", {}, time.monotonic())
    bench.press()
    assert "?[31mtext" in bench.svg.replace("&#160;", " ")
