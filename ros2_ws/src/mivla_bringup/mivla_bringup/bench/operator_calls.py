"""From Enter to effect: `mivla robot` as a process of its own, beside a running bringup."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from std_msgs.msg import String

from mivla_bringup.bench.bringup import running_bringup
from mivla_bringup.bench.errors import BenchError
from mivla_bringup.bench.rows import Row
from mivla_drivers.contract import RobotContract
from mivla_drivers.ros.instruction import LATCHED, TOPIC
from mivla_drivers.ros.robot_client import RobotClient

CALLS = 20
READY_S = 60.0
EFFECT_S = 15.0
# A shell has neither: with them, the child would skip a start of Python that an operator waits for.
BOOTSTRAP = ("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH")
SENTENCES = ("Lift the can.", "Put the can on the pad.")


def measure_operator_calls(contract: RobotContract, policy: Path, calls: int = CALLS) -> list[Row]:
    """Time from starting `mivla robot stop`, `source` and `say` until a connected listener sees the effect.

    Raises:
        BenchError: a process of the bringup ended.
        MivlaError: a call was refused or had no effect.
    """
    with (
        running_bringup(contract, policy) as check,
        RobotClient(contract.robot, "bench", check=check) as robot,
    ):
        listener = _Listener(robot)
        robot.wait_until(lambda: listener.value("mode") == "active", READY_S, "a driver in mode active")
        robot.wait_until(
            lambda: robot.node.count_subscribers(TOPIC) >= 3, READY_S, "a policy that listens on instruction"
        )
        return [
            *_rows("stop", [_stop(robot, listener) for _ in range(calls)]),
            *_rows("source", [_select(robot, listener, ("policy", "none")[i % 2]) for i in range(calls)]),
            *_rows("say", [_say(robot, listener, SENTENCES[i % 2]) for i in range(calls)]),
        ]


class _Listener:
    """What a process that is connected already hears of the driver, and of what is said."""

    def __init__(self, robot: RobotClient) -> None:
        self._name = f"{robot.namespace}/driver".lstrip("/")
        self._watch = robot.watch
        self._watch.follow_diagnostics()
        self.sentence = ""
        robot.node.create_subscription(String, TOPIC, self._on_instruction, LATCHED)

    def value(self, key: str) -> str:
        """A value of the driver's newest diagnostics."""
        if self._name not in self._watch.diagnostics:
            return ""
        status, _ = self._watch.diagnostics[self._name]
        return next((item.value for item in status.values if item.key == key), "")

    def _on_instruction(self, message: String) -> None:
        self.sentence = message.data


def _stop(robot: RobotClient, listener: _Listener) -> float:
    seconds = _timed(robot, ("stop",), lambda: listener.value("mode") == "stopped")
    robot.enable()
    robot.wait_until(lambda: listener.value("mode") == "active", EFFECT_S, "a driver in mode active")
    return seconds


def _select(robot: RobotClient, listener: _Listener, source: str) -> float:
    return _timed(robot, ("source", source), lambda: listener.value("command_source") == source)


def _say(robot: RobotClient, listener: _Listener, sentence: str) -> float:
    return _timed(robot, ("say", sentence), lambda: listener.sentence == sentence)


def _timed(robot: RobotClient, words: Sequence[str], has_effect: Callable[[], bool]) -> float:
    """Seconds from starting the command until its effect is seen."""
    environment = {name: value for name, value in os.environ.items() if name not in BOOTSTRAP}
    command = [sys.executable, "-m", "mivla_bringup.cli", "robot", *words, "--namespace", robot.namespace]
    start = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        robot.wait_until(has_effect, EFFECT_S, f"the effect of mivla robot {' '.join(words)}")
        seconds = time.monotonic() - start
        _, error = process.communicate(timeout=EFFECT_S)
    finally:
        process.kill()
    if process.returncode != 0:
        raise BenchError(
            f"mivla robot {' '.join(words)}: expected exit code 0, got {process.returncode}: {error}"
        )
    return seconds


def _rows(action: str, seconds: Sequence[float]) -> list[Row]:
    return [
        Row(
            f"robot {action}, median",
            float(np.median(seconds)),
            "s",
            f"{len(seconds)} calls, Python's start included",
        ),
        Row(f"robot {action}, slowest", max(seconds), "s"),
    ]
