"""The driver node beside those who speak where only one may: each is held or refused, and named."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from sensor_msgs.msg import JointState
from test_driver_node import CONTRACT, JOINT1, Operator, endpoint_call
from trajectory_msgs.msg import JointTrajectory

from mivla_drivers.ros.conversions import joint_state_message

pytestmark = pytest.mark.realtime


@pytest.fixture(scope="module")
def shared(graph, tmp_path_factory):
    """An operator whose emulator and driver go on from test to test; starting them takes seconds."""
    made = Operator(tmp_path_factory.mktemp("driver"))
    yield made
    made.close()


@pytest.fixture
def driving(shared):
    """An operator whose driver is enabled and follows the policy."""
    shared.drive()
    return shared


@pytest.fixture
def other(shared):
    """Another node, which can speak on the robot's topics."""
    node = rclpy.create_node("other", namespace=shared.namespace, context=shared.context)
    yield node
    node.destroy_node()


def test_two_policies_that_speak_at_once_are_named_and_the_arm_holds(driving, other):
    rival = other.create_publisher(JointTrajectory, "policy/joint_trajectory", 2)
    driving.wait(lambda: rival.get_subscription_count() > 0)
    driving.send(joint1=0.4)
    driving.wait(lambda: driving.value("following") == "policy")
    first, driving.policy = driving.policy, rival
    driving.send(joint1=-0.4)
    driving.policy = first
    driving.wait_for_mode("fault")
    told = driving.diagnostics.message
    assert "2 publishers on policy/joint_trajectory: " in told
    assert f"/piper/operator (process {os.getpid()})" in told
    assert f"/piper/other (process {os.getpid()})" in told
    driving.wait(lambda: driving.command_source == "none")


def test_a_refused_command_source_leaves_the_robot_to_the_publisher_that_has_it(driving, other):
    rival = other.create_publisher(JointTrajectory, "policy/joint_trajectory", 2)
    driving.wait(lambda: rival.get_subscription_count() > 0)
    driving.send(joint1=0.4)
    driving.wait(lambda: driving.value("following") == "policy")
    assert not driving.select("joystick").successful
    assert not driving.select(7).successful
    assert not endpoint_call(driving, "source", "cat").success
    assert driving.command_source == "policy"
    driving.wait(lambda: abs(driving.position[JOINT1] - 0.4) < 0.01)  # the chunk goes on
    driving.policy, first = rival, driving.policy
    driving.send(joint1=-0.4)
    driving.policy = first
    driving.wait_for_mode("fault")  # who had the robot is known still
    assert "2 publishers on policy/joint_trajectory: " in driving.diagnostics.message


def test_a_policy_that_was_started_again_moves_nothing_until_it_is_given_the_robot(driving):
    driving.send(joint1=0.2)
    driving.wait(lambda: abs(driving.position[JOINT1] - 0.2) < 0.01)
    driving.node.destroy_publisher(driving.policy)
    driving.policy = driving.node.create_publisher(JointTrajectory, "policy/joint_trajectory", 2)
    driving.wait(lambda: driving.policy.get_subscription_count() > 0)
    driving.spin(2.2)  # until the first one was silent for long enough to be no rival
    driving.send(joint1=-0.2)
    driving.spin(0.5)
    assert driving.position[JOINT1] == pytest.approx(0.2, abs=0.02)
    assert driving.value("mode") == "active"
    assert driving.select("policy").successful
    driving.send(joint1=-0.2)
    driving.wait(lambda: abs(driving.position[JOINT1] + 0.2) < 0.01)


def test_another_driver_in_the_namespace_is_named_and_the_arm_holds(driving, other):
    states = other.create_publisher(JointState, "joint_states", 10)
    home, zeros = CONTRACT.home, np.zeros(CONTRACT.size)
    driving.wait(lambda: states.get_subscription_count() > 1)  # the driver's beside the operator's
    began = time.monotonic()
    while driving.value("mode") != "fault" and time.monotonic() - began < 5.0:
        states.publish(joint_state_message(CONTRACT, home, zeros, zeros, time.time()))
        driving.wait(lambda: driving.value("mode") == "fault", 0.05, or_fail=False)
    assert time.monotonic() - began < 0.5
    assert driving.value("mode") == "fault"
    assert "two drivers in namespace /piper: " in driving.diagnostics.message
    assert "/piper/other (process" in driving.diagnostics.message
    other.destroy_publisher(states)
    driving.spin(2.2)  # until the other one was silent for long enough to be gone
    assert driving.call("enable").success


def test_a_second_driver_in_the_namespace_does_not_start(driving):
    second = driving.start_driver(bus="emulated:another", autostart="false")
    driving.wait(lambda: second.poll() is not None)
    assert second.returncode == 1
    said = second.log.read_text()
    assert "driver: expected no other one in namespace /piper on this machine" in said
    assert f"found one in process {driving.driver.pid}" in said
    assert driving.value("mode") == "active"


def test_an_empty_sentence_holds_at_once_whatever_the_policy_still_sends(driving):
    driving.send(joint1=1.0)
    driving.wait(lambda: driving.position[JOINT1] > 0.1)
    endpoint_call(driving, "say", "")
    driving.wait(lambda: driving.value("following") == "hold", seconds=0.7)
    driving.send(joint1=1.0)
    driving.spin(0.5)
    driving.wait(lambda: driving.diagnostics.level == DiagnosticStatus.WARN, seconds=1.0)
    told = driving.diagnostics.message
    assert "paused by an empty sentence, the arm holds: say what to do to go on" in told
    held = driving.position[JOINT1]
    assert held < 0.6
    endpoint_call(driving, "say", "Go on.")
    assert driving.select("policy").successful
    driving.send(joint1=held + 0.1)
    driving.wait(lambda: driving.position[JOINT1] > held + 0.05)


def test_an_empty_sentence_from_before_the_driver_was_configured_pauses_it(driving):
    endpoint_call(driving, "say", "")
    for transition in (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    ):
        assert driving.change_state(transition)
    assert driving.call("enable").success
    assert driving.select("policy").successful
    before = driving.position[JOINT1]
    driving.send(joint1=before + 0.3)
    driving.wait(lambda: "paused by an empty sentence" in driving.diagnostics.message, seconds=1.0)
    driving.spin(0.5)
    assert driving.position[JOINT1] == pytest.approx(before, abs=0.01)
    endpoint_call(driving, "say", "Go on.")
    driving.send(joint1=before + 0.1)
    driving.wait(lambda: driving.position[JOINT1] > before + 0.05)


@pytest.mark.parametrize(
    ("parameter", "value", "word"),
    [
        ("joint_state_rate_hz", "0.0", "joint_state_rate_hz: expected a number at least 1 and at most 1000"),
        ("command_source", "foo", "command_source: expected one of ['none', 'policy', 'teleop']"),
        ("use_sim_time", "true", "use_sim_time: expected false, got true"),
        ("joint_state_rate_hz", "[50.0]", "joint_state_rate_hz: expected a number with a decimal point"),
    ],
)
def test_a_wrong_parameter_ends_the_driver_with_a_message(shared, parameter, value, word):
    driver = shared.start_driver(**{parameter: value})
    shared.wait(lambda: driver.poll() is not None)
    assert driver.returncode == 1
    said = driver.log.read_text()
    assert word in said
    assert "Traceback" not in said
