"""The teleop node with its emulated leader, before a driver node and an emulated arm: from hand to arm."""

import subprocess
import sys
import time
import uuid

import numpy as np
import pytest
import yaml
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from test_driver_node import CONTRACT, JOINT1, Operator
from trajectory_msgs.msg import JointTrajectory

from mivla_drivers.control.trajectory import ActionChunk
from mivla_drivers.robots.piper.leader_emulator import EmulatedPiperLeader, LinkFaults
from mivla_drivers.ros.conversions import trajectory_message
from mivla_drivers.ros.instruction import LATCHED
from mivla_drivers.teleop.scripted_operator import ScriptedOperator

pytestmark = pytest.mark.realtime

LIMITS = CONTRACT.limits


class Table(Operator):
    """An operator with a leader arm beside the robot."""

    def __init__(self, folder):
        super().__init__(folder)
        self.hand = ScriptedOperator(CONTRACT.home, CONTRACT.is_gripper, seed=1)
        self.leader_bus = f"leader-{uuid.uuid4().hex[:8]}"
        self.leader = EmulatedPiperLeader(self.leader_bus, self.hand.hand)
        self.leader.start()
        self.told, self.commands = [], []
        self.node.create_subscription(
            String, "driver/in_control", lambda m: self.told.append(m.data), LATCHED
        )
        self.node.create_subscription(JointState, "joint_commands", self._on_command, 100)

    def _on_command(self, message):
        self.commands.append(np.array(message.position))

    def start_teleop(self):
        joints = {f"joint{i}": {"leader": f"joint{i}", "sign": 1, "offset": 0.0} for i in range(1, 7)}
        gripper = {"leader": "gripper", "closed": 0.0, "open": 0.07}
        bus = f"emulated:{self.leader_bus}"
        form = {"version": 1, "robot": "piper", "source": "piper", "bus": bus, "joints": joints}
        file = self.folder / "leader.yaml"
        file.write_text(yaml.safe_dump({**form, "grippers": {"gripper": gripper}}))
        command = [sys.executable, "-m", "mivla_drivers.ros.nodes.teleop", "--ros-args", "-r", "__ns:=/piper"]
        command += ["-p", f"leader:={file}"]
        log = self.folder / "teleop.log"
        with log.open("w") as output:
            self.teleop = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        self.teleop.log = log
        self.processes.append(self.teleop)

    def ask(self, request):
        return self.call(f"../teleop/{request}", Trigger)

    def call(self, name, kind=Trigger, request=None):
        return super().call(name, kind, request) if "/" not in name else self._call_teleop(name[3:])

    def _call_teleop(self, name):
        client = self.node.create_client(Trigger, name)
        self.wait(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.wait(future.done)
        self.node.destroy_client(client)
        return future.result()

    def lead(self, seconds, joint1):
        """The hand leads joint1 to a place within `seconds`; the reaction time on top."""
        start = self.leader.position
        goal = start.copy()
        goal[JOINT1] = joint1

        def plan(t):  # as people move: from rest to rest
            done = min(t / seconds, 1.0)
            return start + (goal - start) * done**3 * (10 - 15 * done + 6 * done**2)

        self.hand.perform(plan, time.monotonic())
        self.spin(seconds + 0.4)

    def close(self):
        super().close()
        self.leader.close()


@pytest.fixture(scope="module")
def table(graph, tmp_path_factory):
    table = Table(tmp_path_factory.mktemp("teleop"))
    try:  # a start that fails leaves no process behind
        table.start_teleop()
        table.drive()
        yield table
    finally:
        table.close()


@pytest.fixture
def led(table):
    """A robot at home that the leader leads."""
    table.leader.faults = LinkFaults()
    table.hand.rest(CONTRACT.home)
    table.drive()
    assert table.select("none").successful
    assert table.select("teleop").successful
    table.wait(lambda: "leading" in table.teleop.log.read_text().splitlines()[-1])
    return table


def test_the_arm_goes_where_the_hand_leads_its_leader(led):
    led.lead(0.8, 0.4)
    assert led.position[JOINT1] == pytest.approx(0.4, abs=0.02)
    assert led.position[1:6] == pytest.approx(CONTRACT.home[1:6], abs=0.02)


def test_lost_and_late_frames_leave_the_arm_within_its_limits_and_it_goes_on(led):
    led.leader.faults = LinkFaults(lost=0.1, jitter_s=0.05)
    led.commands.clear()
    led.lead(0.8, 0.4)
    assert led.position[JOINT1] == pytest.approx(0.4, abs=0.03)
    assert (
        np.abs(np.diff(led.commands, axis=0)).max() < 0.05
    )  # 1.5 rad/s at 50 Hz, and a message that came late


def test_a_leader_that_is_unplugged_in_mid_motion_is_told_and_the_robot_holds(led):
    start, began = led.leader.position, time.monotonic()
    swing = np.eye(CONTRACT.size)[JOINT1] * 0.4
    led.hand.perform(lambda t: start + swing * np.sin(3.0 * t), began)
    led.spin(0.6)
    led.leader.faults = LinkFaults(silent=True)
    led.wait(lambda: "nobody is on the leader's bus" in led.teleop.log.read_text().splitlines()[-1])
    rest = led.position.copy()
    led.spin(0.5)  # the hand goes on swinging
    assert led.position == pytest.approx(rest, abs=5e-3)
    assert led.told[-1] == "teleop"
    assert not led.ask("resume").success
    led.leader.faults = LinkFaults()  # plugged in again, it may lead at once
    led.wait(lambda: led.ask("resume").success)


def test_a_policy_is_taken_over_and_given_back_without_a_jump(table):
    table.hand.rest(CONTRACT.home)
    table.drive()
    times = np.arange(1, 17) / 10
    positions = np.tile(CONTRACT.home, (16, 1))
    positions[:, JOINT1] += 0.3 * times
    chunk = ActionChunk(positions, times, time.time(), "policy")
    table.policy.publish(trajectory_message(chunk, CONTRACT))
    table.spin(0.5)
    table.commands.clear()
    table.told.clear()
    assert table.ask("take").success
    table.spin(0.5)
    path = np.array(table.commands)[:, JOINT1]
    assert table.told == ["teleop"]
    # How far it is known to have come when the robot is handed over varies with the moment.
    assert (np.maximum.accumulate(path) - path).max() < 0.03
    assert np.abs(np.diff(path)).max() < 0.05
    assert table.ask("give_back").success
    table.wait(lambda: table.told == ["teleop", "policy"])


def test_a_second_teleoperator_makes_the_driver_hold_and_both_are_named(led):
    second = led.node.create_publisher(JointTrajectory, "teleop/joint_trajectory", 2)
    led.wait(lambda: second.get_subscription_count() > 0)
    chunk = ActionChunk(np.tile(CONTRACT.home, (2, 1)), np.array([0.1, 0.3]), time.time(), "teleop")
    second.publish(trajectory_message(chunk, CONTRACT))
    led.wait_for_mode("fault")
    assert "2 publishers on teleop/joint_trajectory: " in led.diagnostics.message
    assert "/piper/teleop" in led.diagnostics.message
    led.node.destroy_publisher(second)
