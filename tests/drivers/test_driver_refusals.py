"""A robot that must not be given power is not; what its memory holds, and what a push leaves, is told."""

from dataclasses import replace

import numpy as np
import pytest
from pretend_arm import CONTRACT, JOINT2, Bench, PretendArm

from mivla_drivers.control.driver import Driver
from mivla_drivers.control.driver_report import Mode
from mivla_drivers.errors import CommandRefused

REFUSAL = "two arms answer on this bus: unplug one"


class RefusingArm(PretendArm):
    """A pretend arm with something to refuse, and something to tell."""

    after_blocked = "check it with a ruler"
    refusals = ()

    def settings(self):
        return {"firmware": "S-V1.8-1"}

    def read(self, now):
        return replace(super().read(now), refusals=self.refusals)


@pytest.fixture
def bench():
    made = Bench()
    made.arm = RefusingArm()
    made.driver = Driver(CONTRACT, made.arm)
    made.run(0.5)
    return made


def test_enable_is_refused_at_once_with_the_robots_own_words(bench):
    bench.arm.refusals = (REFUSAL,)
    bench.run(0.1)
    with pytest.raises(CommandRefused, match=REFUSAL):
        bench.driver.enable()
    assert bench.driver.mode is Mode.DISABLED
    assert REFUSAL in bench.driver.diagnostics(bench.now).message
    assert bench.level == "warn"
    assert bench.arm.holds == []


def test_what_comes_up_while_motors_are_given_power_ends_it(bench):
    bench.arm.power_delay = 10**6
    bench.driver.enable()
    bench.run(0.2)
    asked = len(bench.arm.holds)
    bench.arm.refusals = (REFUSAL,)
    bench.run(0.5)
    assert asked
    assert bench.driver.mode is Mode.FAULT
    assert REFUSAL in bench.driver.reason
    assert len(bench.arm.holds) == asked


def test_enable_works_once_nothing_is_refused_any_more(bench):
    bench.arm.refusals = (REFUSAL,)
    bench.run(0.1)
    bench.arm.refusals = ()
    bench.run(0.1)
    bench.driver.enable()
    bench.run(0.5)
    assert bench.driver.mode is Mode.ACTIVE


def test_what_is_stored_and_set_in_the_robot_stands_in_the_diagnostics(bench):
    assert bench.driver.diagnostics(bench.now).values["firmware"] == "S-V1.8-1"


def test_a_blocked_joint_is_told_with_what_the_robot_says_of_it(bench):
    bench.driver.enable()
    bench.run(0.5)
    bench.driver.select_source("policy")
    bench.arm.blocked = {JOINT2: 0.9}
    bench.follow(2.0, joint2=1.5)
    assert "joint2 is blocked: commanded" in bench.driver.reason
    assert "check it with a ruler" in bench.driver.reason


def powered(bench):
    bench.driver.enable()
    bench.run(0.3)


def following(bench):
    powered(bench)
    bench.driver.select_source("policy")
    bench.send(joint1=1.0)
    bench.run(0.2)


def homing(bench):
    following(bench)
    bench.driver.select_source("none")
    bench.run(0.3)
    bench.driver.home()
    bench.run(0.1)


def stopping(bench):
    following(bench)
    bench.driver.stop()
    bench.run(0.02)


def failed(bench):
    following(bench)
    bench.driver.fail("two arms")
    bench.run(0.02)


def enabling(bench):
    bench.arm.power_delay = 10**6
    bench.driver.enable()
    bench.run(0.02)


def deaf(bench):
    following(bench)
    bench.arm.deaf_since = bench.now
    bench.run(0.6)


def refusing(bench):
    bench.arm.refusals = (REFUSAL,)
    bench.run(0.1)


STATES = {
    "disabled": lambda bench: None,
    "enabling": enabling,
    "holding": powered,
    "following": following,
    "homing": homing,
    "stopping": stopping,
    "failed": failed,
    "deaf": deaf,
    "refusing": refusing,
}
REQUESTS = {
    "enable": lambda bench: bench.driver.enable(),
    "stop": lambda bench: bench.driver.stop(),
    "disable": lambda bench: bench.driver.disable(),
    "home": lambda bench: bench.driver.home(),
    "foreign source": lambda bench: bench.driver.select_source("joystick"),
    "chunk that is not finite": lambda bench: bench.send(joint1=np.nan),
    "chunk far outside": lambda bench: bench.send(joint1=1e6),
    "chunk of the past": lambda bench: bench.send(joint1=0.5, age=5.0),
    "chunk of the future": lambda bench: bench.send(joint1=0.5, age=-5.0),
    "chunk older than the one that is played": lambda bench: bench.send(joint1=0.5, age=0.5),
}


def made(state):
    bench = Bench()
    bench.arm = RefusingArm()
    bench.driver = Driver(CONTRACT, bench.arm)
    bench.run(0.3)
    STATES[state](bench)
    return bench


def course(bench):
    """What is commanded and said for a tenth of a second."""
    steps = []
    for _ in range(20):
        report = bench.run(0.005)
        steps.append(
            (report.mode, report.source, report.in_control, tuple(report.target), bench.driver.reason)
        )
    return steps, bench.driver.diagnostics(bench.now), len(bench.arm.holds), bench.arm.cuts


@pytest.mark.parametrize("state", STATES)
def test_what_is_refused_changes_nothing(state):
    untouched, refused = course(made(state)), []
    for name, request in REQUESTS.items():
        bench = made(state)
        try:
            request(bench)
        except CommandRefused:
            refused.append(name)
            assert course(bench) == untouched, name
    assert "foreign source" in refused
    assert state not in ("deaf", "disabled") or {"home", "foreign source"} < set(refused)
