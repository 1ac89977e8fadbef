"""What the driver node tells of itself: the driver's state, and what only the node sees."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.publisher import Publisher

from mivla_drivers.control.driver_report import Diagnostics
from mivla_drivers.control.driver_thread import DriverThread
from mivla_drivers.ros.clock_watch import ClockWatch
from mivla_drivers.ros.conversions import diagnostic_message
from mivla_drivers.ros.instruction import InstructionKeeper
from mivla_drivers.text import shortened

PERIOD_S = 0.5
QUIET_S = 2.5  # without joint states, of which the slowest rate is 1 Hz, before it is warned of
TOLD_S = 2.0  # for which a notice is told
LOG_S = 1.0  # at least, from one line of the log to the next of those for which only words have changed
NUMBER = re.compile(r"(?<!\w)[-+]?\d+(\.\d+)?(e[-+]?\d+)?")  # of itself: that of joint1 is a name's


@dataclass
class _Notice:
    text: str = ""
    until: float = float("-inf")


class DriverDiagnostics:
    """Publishes the driver's state twice a second and as soon as it changes in words, and logs the changes.

    `publish` is called from a thread of its own, so that no message, service or parameter delays it; how often it is
    called bounds how often a state that changes all the time is published.
    """

    def __init__(
        self,
        node: Node,
        publisher: Publisher,
        instruction: InstructionKeeper,
        joint_states_age: Callable[[], float],
    ) -> None:
        """`joint_states_age` says how long ago joint states were sent [s]."""
        self._node, self._publisher, self._instruction = node, publisher, instruction
        self._joint_states_age = joint_states_age
        self._clock = ClockWatch()
        self._notice = _Notice()
        self._said: tuple[object, ...] = ()
        self._logged: tuple[object, ...] = ()
        self._words_logged = float("-inf")  # when a line was last logged because of words alone
        self._next = 0.0
        self._scheduling: object = None  # of the control thread, as it was last logged

    def notice(self, text: str) -> None:
        """Tell `text` as a warning for a while; from any thread."""
        self._notice = _Notice(text, time.monotonic() + TOLD_S)

    def publish(self, driver: DriverThread, hardware_id: str) -> None:
        """Tell how `driver` is, where that is due."""
        now = time.monotonic()
        self._clock.step(now, time.time())
        state = driver.diagnostics()
        age = self._joint_states_age()
        warnings = self._warnings(state, age, now)
        level = "warn" if warnings and state.level == "ok" else state.level
        text = "; ".join((shortened(state.message), *warnings))
        what = (state.values.get(key) for key in ("mode", "following", "command_source"))
        words = without_numbers(text)
        self._log_change(level, text, (level, *what, bool(warnings), words), now)
        said = (level, *what, words, self._instruction.sentence)
        if said == self._said and now < self._next:
            return
        self._said, self._next = said, now + PERIOD_S
        timing = driver.timing()
        if timing.get("scheduling", self._scheduling) != self._scheduling:
            self._scheduling = timing["scheduling"]
            self._node.get_logger().info(f"control thread: {self._scheduling}")
        values = {**state.values, **self._instruction.values(), **timing}
        values["joint_states_age_s"] = f"{age:.2f}"
        name = self._node.get_fully_qualified_name().lstrip("/")
        self._publisher.publish(diagnostic_message(name, level, text, values, time.time(), hardware_id))

    def _warnings(self, state: Diagnostics, age: float, now: float) -> list[str]:
        found = [self._clock.told(now)]
        if now < self._notice.until and self._notice.text not in state.message:
            found.append(shortened(self._notice.text))
        if age > QUIET_S and state.values.get("mode") != "no feedback":
            found.append(f"no joint_states were sent for {age:.1f} s")
        return [text for text in found if text]

    def _log_change(self, level: str, text: str, said: tuple[object, ...], now: float) -> None:
        """Log `text` where `said`, whose last entry are its words, has changed."""
        if said == self._logged:
            return
        if said[:-1] == self._logged[:-1]:
            if now < self._words_logged + LOG_S:
                return
            self._words_logged = now
        self._logged = said
        self._log(level, text)

    def _log(self, level: str, text: str) -> None:
        """rclpy wants one severity per line of code."""
        if level == "error":
            self._node.get_logger().error(text)
        elif level == "warn":
            self._node.get_logger().warning(text)
        else:
            self._node.get_logger().info(text)


def without_numbers(text: str) -> str:
    """`text` with each number as #, so that a text in which only numbers change stays the same."""
    return NUMBER.sub("#", text)
