"""Where an operator's requests come from: keys of a terminal, a foot pedal, or messages of any other device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from std_msgs.msg import String

from mivla_bringup.record.dialogue import Intent
from mivla_bringup.stop_key.terminal import ENTER, STOP, Terminal, TerminalError
from mivla_drivers.errors import MivlaError
from mivla_drivers.ros.robot_client import RobotClient

TOPIC = "record/request"
KEYS = {
    ENTER: Intent.GO,
    "s": Intent.SUCCESS,
    "f": Intent.FAILURE,
    "u": Intent.UNJUDGED,
    "r": Intent.REDO,
    "d": Intent.DISCARD,
    "p": Intent.PAUSE,
    "q": Intent.QUIT,
    STOP: Intent.STOP,
}


class InputError(MivlaError):
    """Nobody could say anything to the session."""


class RequestSource(Protocol):
    """Something that an operator presses, squeezes or says; one file or class per kind."""

    def take(self) -> list[Intent]:
        """Requests since the last call, oldest first; returns at once."""


class KeySource:
    """Keys of a terminal, also over SSH; a pedal is a keyboard to the system, and sends one key."""

    def __init__(self, terminal: Terminal, pedal: str = "") -> None:
        """`pedal`: the key that the foot pedal sends.

        Raises:
            InputError: that key means something else.
        """
        if pedal and (len(pedal) != 1 or pedal.lower() in KEYS):
            letters = " ".join(key for key in KEYS if key.isalpha())
            raise InputError(
                f"--pedal: expected one character that is no other key ({letters}, Enter, space), got {pedal!r}"
            )
        self._terminal = terminal
        self._keys = {**KEYS, pedal.lower(): Intent.PEDAL} if pedal else KEYS

    def take(self) -> list[Intent]:
        """As `RequestSource`.

        Raises:
            TerminalError: the terminal is gone.
        """
        return [self._keys[key] for key in self._terminal.take_keys() if key in self._keys]


class TopicSource:
    """Requests as messages on `record/request`: a leader's gripper, a headset's gesture, a button in Foxglove.

    A `std_msgs/String` holds one of: go, pedal, success, failure, unjudged, redo, discard, pause, quit, stop.
    """

    def __init__(self, client: RobotClient, say: Callable[[str], None]) -> None:
        """`say` tells the operator of a message that means nothing."""
        self._taken: list[Intent] = []
        self._say = say
        client.node.create_subscription(String, TOPIC, self._receive, 10)

    def take(self) -> list[Intent]:
        """As `RequestSource`."""
        taken, self._taken = self._taken, []
        return taken

    def _receive(self, message: String) -> None:
        try:
            self._taken.append(Intent(message.data.strip().lower()))
        except ValueError:
            words = ", ".join(intent.value for intent in Intent)
            self._say(f"  {TOPIC}: expected one of {words}, got {message.data[:40]!r}")


class Requests:
    """What all sources have asked for and nobody has taken yet.

    Attributes:
        terminal_may_go: a terminal that is gone is no error any more, since the session ends anyway.
    """

    def __init__(self, sources: Sequence[RequestSource]) -> None:
        self._sources = sources
        self._asked: list[Intent] = []
        self.terminal_may_go = False

    def poll(self) -> None:
        """Hear every source; returns at once.

        Raises:
            TerminalError: the terminal is gone.
        """
        for source in self._sources:
            try:
                self._asked += source.take()
            except TerminalError:
                if not self.terminal_may_go:
                    raise

    def waiting(self, intent: Intent) -> bool:
        """Whether it was asked for and not taken yet."""
        return intent in self._asked

    def take(self) -> list[Intent]:
        """All since the last call, in the order in which they came."""
        asked, self._asked = self._asked, []
        return asked

    def clear(self) -> None:
        """Forget what was asked for."""
        self._asked.clear()
