"""The driver node as a process of its own, on a real bus of bytes, seen from ROS."""

import os
import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from mivla_drivers.contract import load_contract
from mivla_drivers.control.trajectory import ActionChunk
from mivla_drivers.ros.conversions import joint_vector, stamp_seconds, trajectory_message
from mivla_drivers.ros.instruction import LATCHED
from mivla_drivers.ros.operator_endpoint import call, current_domain, endpoint_path

pytestmark = pytest.mark.paced

CONTRACT = load_contract("piper")
JOINT1 = 0
EMULATOR = """
import sys, time
from mivla_drivers.contract import load_contract
from mivla_drivers.transport.can_hub import CanHub
from mivla_drivers.robots.piper.emulator import PiperArm
from mivla_drivers.robots.piper.faults import Fault
from mivla_drivers.robots.plant import KinematicPlant
home = load_contract("piper").home
with CanHub(sys.argv[1]), PiperArm(sys.argv[1], KinematicPlant(home, 3.0), feedback_rate_hz=50) as arm:
    if "hot" in sys.argv:
        arm.inject(Fault.MOTOR_HOT, joint=3)
    print("ready", flush=True)
    time.sleep(600)
"""


class Operator:
    """An arm's processes, and an operator's view of them."""

    def __init__(self, folder, namespace="piper"):
        self.folder, self.namespace = folder, namespace
        self.bus = f"node-{uuid.uuid4().hex[:8]}"
        self.processes = []
        self.emulator = self.driver = None
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("operator", namespace=namespace, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.joints = self.diagnostics = None
        self.joint_count = 0
        self.node.create_subscription(JointState, "joint_states", self._on_joints, 10)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.policy = self.node.create_publisher(JointTrajectory, "policy/joint_trajectory", 2)

    def _on_joints(self, message):
        self.joints, self.joint_count = message, self.joint_count + 1

    def _on_diagnostics(self, message):
        if message.status[0].name == f"{self.namespace}/driver":
            self.diagnostics = message.status[0]

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def start_emulator(self, *conditions):
        command = [sys.executable, "-c", EMULATOR, self.bus, *conditions]
        self.emulator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.processes.append(self.emulator)
        assert self.emulator.stdout.readline() == "ready\n"

    def start_driver(self, **parameters):
        values = {
            "bus": f"emulated:{self.bus}",
            "autostart": "true",
            "command_source": "policy",
            **parameters,
        }
        command = [sys.executable, "-m", "mivla_drivers.ros.nodes.driver", "--ros-args"]
        command += ["-r", f"__ns:=/{self.namespace}"]
        for name, value in values.items():
            command += ["-p", f"{name}:={value}"]
        log = self.folder / f"driver-{len(self.processes)}.log"
        with log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        process.log = log
        self.processes.append(process)
        return process

    def drive(self):
        """Whatever happened before: an arm at home, whose driver is enabled and follows the policy."""
        self.diagnostics = self.joints = None
        if not runs(self.emulator):
            self.start_emulator()
        if not runs(self.driver):
            self.driver = self.start_driver()
            self.wait_for_mode("active")
        assert self.select("none").successful
        answer = self.call("enable")
        assert answer.success, answer.message
        assert self.call("home").success
        self.wait(lambda: self.joints is not None and np.abs(self.position - CONTRACT.home).max() < 2e-3)
        assert self.select("policy").successful
        self.wait(lambda: self.policy.get_subscription_count() > 0)
        self.wait(lambda: (self.value("mode"), self.value("command_source")) == ("active", "policy"))
        self.refused_before = int(self.value("chunks_refused"))

    def spin(self, seconds):
        self.wait(lambda: False, seconds, or_fail=False)

    def wait(self, condition, seconds=15.0, or_fail=True):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return
            self.executor.spin_once(timeout_sec=0.05)
        if or_fail:
            logs = "\n".join(p.log.read_text() for p in self.processes if hasattr(p, "log"))
            pytest.fail(f"not within {seconds} s; diagnostics: {self.diagnostics}\n{logs}")

    def wait_for_mode(self, mode):
        self.wait(lambda: self.value("mode") == mode)

    def value(self, key):
        pairs = {} if self.diagnostics is None else {v.key: v.value for v in self.diagnostics.values}
        return pairs.get(key)

    @property
    def refused(self):
        """Trajectories refused since the driver was given to the policy."""
        return int(self.value("chunks_refused")) - self.refused_before

    @property
    def position(self):
        return joint_vector(self.joints, CONTRACT)

    def call(self, name, kind=Trigger, request=None):
        client = self.node.create_client(kind, f"driver/{name}")
        self.wait(client.service_is_ready)
        future = client.call_async(request or kind.Request())
        self.wait(future.done, 7.0, or_fail=False)
        if not future.done():  # DDS may lose an answer to a client that has only just been discovered
            future = client.call_async(request or kind.Request())
            self.wait(future.done)
        self.node.destroy_client(client)
        return future.result()

    def change_state(self, transition):
        request = ChangeState.Request()
        request.transition.id = transition
        return self.call("change_state", ChangeState, request).success

    def select(self, source):
        return self.set_driver(command_source=source)

    def set_driver(self, **parameter):
        ((name, value),) = parameter.items()
        request = SetParameters.Request()
        request.parameters = [Parameter(name, value=value).to_parameter_msg()]
        return self.call("set_parameters", SetParameters, request).results[0]

    @property
    def command_source(self):
        """The driver's parameter."""
        request = GetParameters.Request(names=["command_source"])
        return self.call("get_parameters", GetParameters, request).values[0].string_value

    def send(self, joint1, age=0.0, spoil=lambda message: None):
        target = CONTRACT.home.copy()
        target[JOINT1] = joint1
        chunk = ActionChunk(np.tile(target, (20, 1)), 0.1 * np.arange(20), time.time() - age, "policy")
        message = trajectory_message(chunk, CONTRACT)
        spoil(message)
        self.policy.publish(message)


def runs(process):
    return process is not None and process.poll() is None


@pytest.fixture
def operator(graph, tmp_path):
    """An operator of an arm that only one test has."""
    made = Operator(tmp_path, "alone")
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(graph, tmp_path_factory):
    """An operator whose emulator and driver go on from test to test; starting them takes seconds."""
    made = Operator(tmp_path_factory.mktemp("driver"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def idle(graph, tmp_path_factory):
    """An operator of a hot arm, whose driver nobody has configured."""
    made = Operator(tmp_path_factory.mktemp("idle"), "idle")
    made.start_emulator("hot")
    made.start_driver(autostart="false")
    yield made
    made.close()


@pytest.fixture
def driving(shared):
    """An operator whose driver is enabled and follows the policy."""
    shared.drive()
    return shared


def test_a_trajectory_moves_the_arm_and_joint_states_tell_it(driving):
    before = driving.joint_count
    began = time.monotonic()
    driving.send(joint1=0.4)
    driving.wait(lambda: abs(driving.position[JOINT1] - 0.4) < 0.01)
    driving.spin(max(0.0, 2.0 - (time.monotonic() - began)))
    rate = (driving.joint_count - before) / (time.monotonic() - began)
    assert rate == pytest.approx(50, abs=12)
    assert abs(driving.joints.header.stamp.sec - time.time()) < 3
    assert driving.diagnostics.name == "piper/driver"
    assert float(driving.value("period_mean_ms")) == pytest.approx(5.0, abs=1.5)


def test_a_measurement_is_published_once_with_a_stamp_that_never_goes_backwards(driving):
    stamps = []
    listener = driving.node.create_subscription(
        JointState, "joint_states", lambda message: stamps.append(stamp_seconds(message.header.stamp)), 500
    )
    driving.set_driver(joint_state_rate_hz=1000.0)  # far more often than the arm says where it is
    driving.send(joint1=0.3)
    driving.wait(lambda: stamps)
    stamps.clear()
    began = time.monotonic()
    driving.spin(2.0)
    seconds = time.monotonic() - began
    driving.set_driver(joint_state_rate_hz=50.0)
    driving.node.destroy_subscription(listener)
    assert len(stamps) > 20
    # Feedback comes at 50 Hz; a step may fall between the frames of arm and gripper, which makes two of one.
    assert len(stamps) / seconds < 2 * 50 + 10
    assert np.diff(stamps).min() > 0


def test_a_sentence_outlives_its_speaker_for_listeners_that_start_later(driving):
    speaker = driving.node.create_publisher(String, "instruction", LATCHED)
    speaker.publish(String(data="Pour the tea."))
    driving.wait(lambda: driving.value("instruction") == "Pour the tea.")
    driving.node.destroy_publisher(speaker)
    assert endpoint_call(driving, "say", "Stir it.").success is False  # but for the driver, nobody listens
    heard = []
    listener = driving.node.create_subscription(
        String, "instruction", lambda message: heard.append(message.data), LATCHED
    )
    driving.wait(lambda: heard)
    driving.spin(0.3)
    assert heard == ["Stir it."]
    driving.node.destroy_subscription(listener)


def test_an_operator_of_this_machine_is_answered_by_the_driver_itself(driving):
    assert endpoint_call(driving, "stop").success
    driving.wait_for_mode("stopped")
    told = endpoint_call(driving, "source", "policy")
    assert told.success
    assert "the driver does not move: stopped" in told.message
    enabled = endpoint_call(driving, "enable")
    assert (enabled.success, enabled.message.split(":")[0]) == (True, "active")
    refused = endpoint_call(driving, "source", "cat")
    assert not refused.success
    assert "expected one of ['none', 'policy', 'teleop'], got 'cat'" in refused.message
    refused = endpoint_call(driving, "disable")
    assert not refused.success
    assert "call driver/stop, then driver/disable" in refused.message
    assert endpoint_call(driving, "source", "none").message == "command_source is none"


def endpoint_call(operator, action, value=""):
    """What the driver answers on its socket, while this process goes on listening to it."""
    path = endpoint_path("driver", f"/{operator.namespace}", current_domain())
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(call, path, action, value, 10.0)
        operator.wait(answer.done)
        return answer.result()


def unknown_joint(message):
    message.joint_names[0] = "elbow"


def not_a_number(message):
    message.points[3].positions[JOINT1] = float("nan")


def unordered(message):
    message.points[5].time_from_start = message.points[4].time_from_start


def without_stamp(message):
    message.header.stamp = Time()


def test_bad_trajectories_are_refused_and_move_nothing(driving):
    start = driving.position
    spoils = [unknown_joint, not_a_number, unordered, without_stamp]
    for count, spoil in enumerate(spoils, start=1):
        driving.send(joint1=0.5, spoil=spoil)
        driving.wait(lambda count=count: driving.refused == count)
    driving.send(joint1=0.5, age=5.0)
    driving.wait(lambda: driving.refused == 5)
    assert "last step was due" in driving.value("last_refusal")
    driving.spin(0.5)
    assert driving.position == pytest.approx(start, abs=2e-3)
    assert driving.value("mode") == "active"


def test_stop_is_latched_until_enable_and_disable_needs_a_stop(driving):
    refused = driving.call("disable")
    assert not refused.success
    assert "the arm falls" in refused.message
    assert driving.call("stop").success
    driving.wait_for_mode("stopped")
    start = driving.position
    driving.send(joint1=0.5)
    driving.wait(lambda: driving.value("chunks_ignored") != "0")
    answer = driving.call("enable")
    assert answer.success, answer.message
    driving.send(joint1=0.5)
    driving.spin(0.5)
    assert driving.position == pytest.approx(start, abs=2e-3)  # a stop took the robot from its source
    assert driving.command_source == "none"
    assert driving.select("policy").successful
    driving.send(joint1=0.3)
    driving.wait(lambda: abs(driving.position[JOINT1] - 0.3) < 0.01)
    assert driving.call("stop").success
    assert driving.call("disable").success
    driving.wait(lambda: driving.value("motors_enabled") == "False")


def test_the_command_source_is_chosen_at_run_time_and_home_needs_none(driving):
    assert not driving.select("joystick").successful
    refused = driving.call("home")
    assert not refused.success
    assert "set command_source to none first" in refused.message
    driving.send(joint1=0.3)
    driving.wait(lambda: abs(driving.position[JOINT1] - 0.3) < 0.01)
    assert driving.select("none").successful
    assert driving.call("home").success
    driving.wait(lambda: np.abs(driving.position - CONTRACT.home).max() < 5e-3)


def test_who_has_the_robot_is_told_latched_on_every_change_beside_what_is_commanded(driving):
    told, commands = [], []
    driving.node.create_subscription(String, "driver/in_control", lambda m: told.append(m.data), LATCHED)
    driving.node.create_subscription(JointState, "joint_commands", commands.append, 10)
    driving.wait(lambda: told == ["policy"])
    assert driving.select("teleop").successful
    driving.wait(lambda: told[-1] == "teleop")
    assert driving.call("stop").success
    driving.wait(lambda: told[-1] == "none")
    assert told == ["policy", "teleop", "none"]
    driving.wait(lambda: len(commands) > 0)
    assert joint_vector(commands[-1], CONTRACT) == pytest.approx(driving.position, abs=5e-3)


def test_reduced_speed_is_set_at_run_time_and_told(driving):
    assert driving.set_driver(reduced_speed=True).successful
    driving.wait(lambda: driving.value("reduced_speed") == "True")
    assert "tool at most 0.25 m/s" in driving.value("workspace")
    assert driving.set_driver(reduced_speed=False).successful
    driving.wait(lambda: driving.value("reduced_speed") == "False")


def test_a_dead_emulator_is_a_hold_and_a_diagnosis_and_comes_back_only_with_enable(driving):
    driving.emulator.kill()
    driving.wait_for_mode("no feedback")
    assert driving.diagnostics.level == b"\x02"
    driving.wait(lambda: "The arm holds" in driving.diagnostics.message)
    refused = driving.call("enable")
    assert not refused.success
    driving.start_emulator()
    driving.wait(lambda: driving.value("mode") in ("disabled", "stopped"))
    assert driving.call("enable").success
    assert driving.select("policy").successful
    driving.send(joint1=0.2)
    driving.wait(lambda: abs(driving.position[JOINT1] - 0.2) < 0.01)


def test_a_second_driver_on_the_bus_ends_with_the_first_ones_process(driving):
    first = driving.driver
    second = driving.start_driver()
    driving.wait(lambda: second.poll() is not None)
    assert second.returncode == 1
    assert f"found one in process {first.pid}" in second.log.read_text()
    assert driving.value("mode") == "active"


def test_waits_for_a_robot_that_comes_later(operator):
    driver = operator.start_driver()
    operator.wait(lambda: "expected an emulator on bus" in driver.log.read_text())
    operator.start_emulator()
    operator.wait_for_mode("active")
    assert operator.value("motors_enabled") == "True"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_on_a_signal_and_leaves_the_arm_powered(driving, number):
    driving.send(joint1=1.0)
    driving.spin(0.5)
    driver = driving.driver
    driver.send_signal(number)
    driving.wait(lambda: driver.poll() is not None, seconds=5.0)
    assert driver.returncode == 0, driver.log.read_text()
    assert "Traceback" not in driver.log.read_text()
    driving.diagnostics = None
    driving.driver = driving.start_driver(autostart="false")
    assert driving.change_state(Transition.TRANSITION_CONFIGURE)
    assert driving.change_state(Transition.TRANSITION_ACTIVATE)
    driving.wait_for_mode("disabled")
    driving.wait(lambda: driving.value("motors_enabled") == "True")


def test_a_node_that_was_cleaned_up_can_drive_again(driving):
    for transition in (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    ):
        assert driving.change_state(transition)
    assert driving.call("enable").success
    assert driving.select("policy").successful
    driving.send(joint1=0.2)
    driving.wait(lambda: abs(driving.position[JOINT1] - 0.2) < 0.01)


def test_services_of_a_node_that_is_not_configured_say_so(idle):
    answer = idle.call("enable")
    assert not answer.success
    assert "configure and activate it first" in answer.message


def test_stop_is_heard_while_enable_waits(idle):
    assert idle.change_state(Transition.TRANSITION_CONFIGURE)
    assert idle.change_state(Transition.TRANSITION_ACTIVATE)
    client = idle.node.create_client(Trigger, "driver/enable")
    idle.wait(client.service_is_ready)
    enabling = client.call_async(Trigger.Request())
    idle.wait_for_mode("enabling")
    began = time.monotonic()
    assert idle.call("stop").success
    assert time.monotonic() - began < 3.0
    idle.wait(enabling.done)
    assert not enabling.result().success
    assert "stopped by an operator" in enabling.result().message
    assert idle.change_state(Transition.TRANSITION_DEACTIVATE)
    assert idle.change_state(Transition.TRANSITION_CLEANUP)


def test_an_unknown_robot_ends_with_a_message(operator):
    driver = operator.start_driver(robot="toaster")
    operator.wait(lambda: driver.poll() is not None)
    assert driver.returncode == 1
    assert "mivla: robot: toaster: expected a robot of" in driver.log.read_text()


def test_a_killed_driver_leaves_the_bus_free(driving):
    os.kill(driving.driver.pid, signal.SIGKILL)
    driving.driver.wait()
    driving.diagnostics = None
    driving.driver = driving.start_driver()
    driving.wait_for_mode("active")
    assert runs(driving.driver)
