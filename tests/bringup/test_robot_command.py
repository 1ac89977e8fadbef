"""`mivla robot` against a running simulated bringup: real driver, real emulated arm."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mivla_bringup import cli
from mivla_bringup.commands import robot as command
from mivla_bringup.launcher.packages import find_share
from mivla_bringup.launcher.plan import plan_launch
from mivla_bringup.launcher.runner import Launch
from mivla_drivers.network import claimed_domain, ros_environment

LAUNCH_FILE = Path(find_share("mivla_bringup")) / "launch" / "piper.launch.yaml"


@dataclass(frozen=True)
class Answer:
    """What `mivla robot` came to."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def bringup() -> Iterator[None]:
    """A bringup whose motors have power, in a ROS graph that nobody else hears."""
    with claimed_domain() as domain, pytest.MonkeyPatch.context() as patch:
        arguments = {
            "sim": "true",
            "policy": "false",
            "record": "true",
            "sim_bus": f"emulated:robot-{os.getpid()}",
            "feedback_rate_hz": "50.0",
        }
        for name, value in ros_environment(domain).items():
            patch.setenv(name, value)
        said: list[str] = []
        with Launch(plan_launch(LAUNCH_FILE, arguments).processes, say=said.append) as launch:
            patience = time.monotonic() + 60
            while not any("active" in line for line in said):
                assert time.monotonic() < patience, said
                assert launch.wait(0.1) is None, said
            yield


@pytest.fixture
def robot(bringup, capsys) -> Callable[..., Answer]:
    """Calls `mivla robot WORDS` beside the bringup."""

    def call(*words: str) -> Answer:
        code = cli.main(["robot", *words])
        return Answer(code, *capsys.readouterr())

    return call


@pytest.mark.timeout(180)
def test_an_operator_stops_enables_and_sends_home(robot):
    for action in ("stop", "enable", "home"):
        done = robot(action)
        assert done.returncode == 0, done.stderr


@pytest.mark.timeout(180)
def test_cutting_the_power_of_a_holding_arm_is_refused_with_what_to_do(robot):
    done = robot("disable")
    assert done.returncode == 2
    assert "call driver/stop, then driver/disable" in done.stderr


@pytest.mark.timeout(180)
def test_the_robot_is_given_to_a_source_and_taken_back(robot):
    assert robot("source", "teleop").stdout.strip() == "command_source is teleop"
    assert robot("source", "none").returncode == 0
    done = robot("source", "cat")
    assert done.returncode == 2
    assert "expected one of ['none', 'policy', 'teleop'], got 'cat'" in done.stderr


@pytest.mark.timeout(180)
def test_a_sentence_is_said_to_whoever_listens_before_its_speaker_ends(bringup):
    words = [sys.executable, "-m", "mivla_bringup.cli", "robot", "say", "Move the bottle onto the pad."]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "said 'Move the bottle onto the pad.'\n"


@pytest.mark.timeout(180)
def test_without_a_bringup_the_call_says_so(robot, monkeypatch):
    monkeypatch.setattr(command, "ANSWER_S", 1.0)
    done = robot("enable", "--namespace", "nowhere")
    assert done.returncode == 2
    assert "/nowhere/driver/enable: is the bringup running?" in done.stderr
