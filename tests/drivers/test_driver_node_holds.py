"""What makes the running driver hold at once, and what it does after it did not run."""

import os
import signal
import time

import can
import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from std_msgs.msg import String
from test_driver_node import CONTRACT, JOINT1, driving, endpoint_call, shared  # noqa: F401 (fixtures)

from mivla_drivers.robots.piper import protocol
from mivla_drivers.ros.instruction import LATCHED

pytestmark = pytest.mark.realtime

RAMP = 0.3 * CONTRACT.limits.velocity[JOINT1]


def lead_to(operator, joint1):
    """Somebody else moves the arm, past the driver: by another program, or by hand while it is taught."""
    with can.Bus(channel=operator.bus, interface="mivla_emulated") as bus:
        data = protocol.encode_joint_pair(joint1, CONTRACT.home[1])
        bus.send(can.Message(arbitration_id=protocol.JOINT_CONTROL[0], data=data, is_extended_id=False))
        time.sleep(1.0)  # the emulator's arm is there within half a second


def comes_to_rest(operator, seconds):
    """Whether joint1 stands still after so long; where it stands."""
    operator.spin(seconds)
    before = operator.position[JOINT1]
    operator.spin(0.4)
    return abs(operator.position[JOINT1] - before) < 2e-3, before


def test_an_arm_that_was_moved_while_the_driver_was_deactivated_stays_there(driving):  # noqa: F811
    assert driving.change_state(Transition.TRANSITION_DEACTIVATE)
    lead_to(driving, 0.5)
    assert driving.change_state(Transition.TRANSITION_ACTIVATE)
    driving.wait(lambda: driving.value("mode") == "stopped" and driving.value("interruptions") != "0")
    positions = []
    driving.wait(lambda: positions.append(driving.position[JOINT1]) or len(positions) > 60)
    assert positions == pytest.approx([0.5] * len(positions), abs=0.01)
    assert driving.command_source == "none"
    answer = driving.call("enable")
    assert answer.success, answer.message
    driving.spin(0.3)
    assert driving.position[JOINT1] == pytest.approx(0.5, abs=0.01)


def test_a_driver_process_that_was_halted_says_so_and_waits_for_an_operator(driving):  # noqa: F811
    driving.send(joint1=1.0)
    driving.spin(0.5)
    os.kill(driving.driver.pid, signal.SIGSTOP)
    time.sleep(2.0)
    os.kill(driving.driver.pid, signal.SIGCONT)
    driving.wait(lambda: driving.value("mode") == "stopped")
    assert "the driver did not run for" in driving.diagnostics.message
    assert float(driving.value("longest_gap_s")) > 1.9
    assert driving.command_source == "none"
    still, _ = comes_to_rest(driving, 0.3)
    assert still


def test_an_empty_sentence_brakes_at_once_although_the_chunk_goes_on(driving):  # noqa: F811
    speaker = driving.node.create_publisher(String, "instruction", LATCHED)
    driving.wait(lambda: speaker.get_subscription_count() > 0)
    driving.send(joint1=1.5)  # 2 s long
    driving.wait(lambda: driving.position[JOINT1] > 0.05)
    speaker.publish(String(data="Go."))
    speaker.publish(String(data=""))
    still, where = comes_to_rest(driving, 0.6)
    assert still
    assert where < 0.05 + 0.5 * RAMP + 0.1
    assert driving.value("command_source") == "policy"
    speaker.publish(String(data="Go on."))  # until then chunks of the policy are passed over
    driving.wait(lambda: driving.value("instruction") == "Go on.")
    driving.node.destroy_publisher(speaker)
    endpoint_call(driving, "say", "Go on.")  # or the driver stays paused for the tests that follow


def test_command_source_none_ends_the_way_home(driving):  # noqa: F811
    driving.send(joint1=0.8)
    driving.wait(lambda: driving.position[JOINT1] > 0.7)
    assert driving.select("none").successful
    assert driving.call("home").success
    driving.wait(lambda: driving.position[JOINT1] < 0.65)
    assert driving.select("none").successful
    still, where = comes_to_rest(driving, 0.5)
    assert still
    assert where > 0.2
    assert driving.value("following") == "hold"
    assert np.abs(driving.position - CONTRACT.home).max() > 0.2
