"""The recorder node as a process of its own, with a robot's topics around it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from mivla_drivers.contract import load_contract
from mivla_drivers.control.trajectory import ActionChunk
from mivla_drivers.recording.container import read_container
from mivla_drivers.recording.layout import mcap_path
from mivla_drivers.recording.reader import read_episode
from mivla_drivers.ros.conversions import compressed_image_message, joint_state_message, trajectory_message

pytestmark = pytest.mark.paced

CONTRACT = load_contract("piper")
JOINT_RATE, CAMERA_RATE, TICK_S = 50, 10, 0.02
PICTURE = np.tile(np.arange(160, dtype=np.uint8)[None, :, None], (160, 1, 3))
SENTENCE = "move the bottle onto the pad"


class Robot:
    """A robot's topics, and an operator who records them."""

    def __init__(self, folder, namespace):
        self.folder, self.namespace = folder, namespace
        self.process = None
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("robot", namespace=namespace, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.joints = self.node.create_publisher(JointState, "joint_states", 10)
        self.images = {
            camera.name: self.node.create_publisher(
                CompressedImage, f"{camera.topic}/image_raw/compressed", qos_profile_sensor_data
            )
            for camera in CONTRACT.cameras
        }
        self.commands = self.node.create_publisher(JointTrajectory, "teleop/joint_trajectory", 2)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.instruction = self.node.create_publisher(String, "instruction", latched)
        self.silent = set()
        self.state = None
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.ticks = 0
        self.sent = {"joint_states": 0, "front_camera": 0, "wrist_camera": 0}
        self.node.create_timer(TICK_S, self._tick)
        self.picture = PICTURE

    def _on_diagnostics(self, message):
        self.state = message.status[0]

    def _tick(self):
        now = time.time()
        self.ticks += 1
        if "joint_states" not in self.silent:
            nothing = np.zeros(CONTRACT.size)
            to_and_fro = abs(TICK_S * self.ticks % 2.0 - 1.0)  # at a steady 1 rad/s
            pose = CONTRACT.home + to_and_fro * (np.arange(CONTRACT.size) == 0)
            self.joints.publish(joint_state_message(CONTRACT, pose, nothing, nothing, now))
            self.sent["joint_states"] += 1
        if self.ticks % (JOINT_RATE // CAMERA_RATE):
            return
        for name, publisher in self.images.items():
            if name not in self.silent:
                moved = np.roll(self.picture, self.ticks, axis=1)
                publisher.publish(compressed_image_message(moved, now, name))
                self.sent[name] += 1
        if "teleop" not in self.silent:
            chunk = ActionChunk(CONTRACT.home[None], np.array([0.1]), now, "teleop")
            self.commands.publish(trajectory_message(chunk, CONTRACT))

    def start_recorder(self, **parameters):
        values = {"folder": self.folder / "recordings", "task": "a_task", **parameters}
        command = [
            sys.executable,
            "-m",
            "mivla_drivers.ros.nodes.recorder",
            "--ros-args",
            "-r",
            f"__ns:=/{self.namespace}",
        ]
        for name, value in values.items():
            command += ["-p", f"{name}:={value}"]
        self.log = self.folder / "recorder.log"
        with self.log.open("w") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    def close(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def wait(self, condition, seconds=60.0):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                pytest.fail(f"not within {seconds} s; {self.state}\n{self.log.read_text()}")
            self.executor.spin_once(timeout_sec=0.05)

    def run(self, seconds):
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > end, seconds + 5)

    def work(self):
        """Go on until the recorder has had time for some messages of each kind."""
        target = self.ticks + 5 * JOINT_RATE // CAMERA_RATE
        self.wait(lambda: self.ticks >= target)
        self.run(0.3)

    def call(self, name, kind=Trigger, request=None):
        client = self.node.create_client(kind, f"recorder/{name}")
        self.wait(client.service_is_ready)
        future = client.call_async(request or kind.Request())
        self.wait(future.done)
        self.node.destroy_client(client)
        return future.result()

    def set(self, **values):
        request = SetParameters.Request()
        request.parameters = [Parameter(name, value=v).to_parameter_msg() for name, v in values.items()]
        assert all(
            result.successful for result in self.call("set_parameters", SetParameters, request).results
        )

    def begin(self):
        answer = self.call("start")
        assert answer.success, answer.message
        return Path(answer.message)


@pytest.fixture(scope="module")
def recorder(graph, tmp_path_factory):
    """A robot whose recorder runs through all tests."""
    made = Robot(tmp_path_factory.mktemp("recorder"), "piper")
    made.start_recorder()
    yield made
    made.close()


@pytest.fixture
def robot(recorder, tmp_path):
    """The same with everything as it was, and a folder of its own."""
    recorder.silent.clear()
    recorder.picture = PICTURE
    recorder.folder = tmp_path
    folder = str(tmp_path / "recordings")
    recorder.set(folder=folder, task="a_task", instruction="go", judgement="unjudged", seed=-1, mode="")
    yield recorder
    recorder.call("discard")


@pytest.fixture
def lone_robot(graph, tmp_path):
    """A robot whose recorder a test may end."""
    made = Robot(tmp_path, "lab/other")
    yield made
    made.close()


def test_an_episode_holds_every_message_from_start_to_save(robot):
    robot.instruction.publish(String(data=SENTENCE))
    robot.set(instruction="")
    folder = robot.begin()
    before = dict(robot.sent)
    robot.run(3.0)
    sent = {name: count - before[name] for name, count in robot.sent.items()}
    robot.set(seed=7, mode="hard", judgement="failure")
    answer = robot.call("save")
    assert answer.success, answer.message
    assert answer.message.splitlines()[0] == str(folder)
    episode = read_episode(folder)
    assert (episode.task, episode.instruction) == ("a_task", SENTENCE)
    assert (episode.success, episode.seed, episode.mode) == (False, 7, "hard")
    assert len(episode.joint_times) >= sent["joint_states"]
    assert len(episode.cameras["front"].times) >= sent["front_camera"]
    assert len(episode.cameras["left_wrist"].times) >= sent["wrist_camera"]
    assert episode.refused_commands == 0
    described = json.loads((folder / "episode.json").read_text())
    assert sum(topic["dropped"] for topic in described["topics"].values()) == 0, answer.message
    assert described["topics"]["/piper/instruction"]["count"] == 1
    assert (described["clock_steps"], described["unusable"]) == ([], [])
    assert described["duration_s"] == pytest.approx(3.0, abs=1.0)
    clock = read_container(mcap_path(folder)).clock
    assert len(clock) >= 3
    assert clock[-1].steady - clock[0].steady == pytest.approx(clock[-1].system - clock[0].system, abs=0.01)


def test_refuses_to_start_while_a_topic_is_silent_and_names_it(robot):
    robot.silent.add("wrist_camera")
    robot.run(1.2)
    answer = robot.call("start")
    assert not answer.success
    assert answer.message == "expected messages, silent for 1 s: /piper/wrist_camera/image_raw/compressed"
    assert not (robot.folder / "recordings").exists()
    robot.silent.clear()
    assert robot.call("start").success
    refused = robot.call("start")
    assert not refused.success
    assert "already recording" in refused.message


def test_tells_at_once_when_a_topic_falls_silent_while_recording(robot):
    folder = robot.begin()
    robot.work()
    robot.silent |= {"front_camera", "teleop"}
    robot.wait(lambda: robot.state is not None and robot.state.message.startswith("recording, but silent"))
    assert "/piper/front_camera/image_raw/compressed" in robot.state.message
    answer = robot.call("save")
    assert "before the end" in answer.message
    assert (folder / "metadata.yaml").is_file()


def test_tells_at_once_when_pictures_show_nothing_and_that_readers_will_refuse_them(robot):
    robot.begin()
    robot.work()
    assert robot.state.message == "recording"
    robot.picture = np.zeros_like(PICTURE)
    robot.wait(lambda: robot.state.message.startswith("recording, but no use: "))
    assert "/piper/wrist_camera/image_raw/compressed: the pictures are black" in robot.state.message
    values = {value.key: value.value for value in robot.state.values}
    assert float(values["last_useful_output_s"]) < 1.0
    answer = robot.call("save")
    assert not answer.success
    verdict = next(line for line in answer.message.splitlines() if line.startswith("verdict:"))
    assert "/piper/front_camera/image_raw/compressed: " in verdict


def test_an_episode_without_any_command_is_saved_as_what_it_is(robot):
    robot.silent.add("teleop")
    robot.run(0.3)
    robot.begin()
    robot.work()
    answer = robot.call("save")
    assert not answer.success
    assert "verdict: no command recorded (teleop)" in answer.message


def test_saving_needs_an_instruction_and_an_episode(robot):
    assert "expected an episode under way, found none" in robot.call("save").message
    assert "expected an episode under way, found none" in robot.call("discard").message
    robot.set(instruction="")
    robot.instruction.publish(String(data=""))
    robot.run(0.5)
    robot.begin()
    refused = robot.call("save")
    assert not refused.success
    assert "instruction: expected a sentence" in refused.message
    robot.work()
    robot.set(instruction="go")
    assert robot.call("save").success


def test_a_discarded_episode_is_gone_and_the_next_one_is_whole(robot):
    folder = robot.begin()
    robot.run(0.3)
    assert robot.call("discard").message == f"discarded {folder}"
    assert not folder.exists()
    second = robot.begin()
    robot.work()
    robot.set(judgement="success")
    assert robot.call("save").success
    assert read_episode(second).success
    third = robot.begin()
    robot.work()
    assert robot.call("save").success
    assert read_episode(third).success is None  # a judgement is of one episode


def test_without_a_task_nothing_is_recorded(robot):
    robot.set(task="")
    refused = robot.call("start")
    assert not refused.success
    assert "task: expected the name of what is shown, got none" in refused.message


def test_a_signal_ends_an_episode_as_unjudged(lone_robot):
    lone_robot.start_recorder(instruction="go")
    folder = lone_robot.begin()
    lone_robot.work()
    lone_robot.process.send_signal(signal.SIGINT)
    lone_robot.wait(lambda: lone_robot.process.poll() is not None)
    assert lone_robot.process.returncode == 0, lone_robot.log.read_text()
    assert "Traceback" not in lone_robot.log.read_text()
    assert read_episode(folder).success is None


def test_a_folder_that_cannot_be_written_is_a_refusal(robot):
    blocked = robot.folder / "file"
    blocked.write_text("")
    robot.set(folder=str(blocked))
    answer = robot.call("start")
    assert not answer.success
    assert "cannot write an episode" in answer.message


def test_an_unknown_robot_ends_with_a_message(lone_robot):
    lone_robot.start_recorder(robot="toaster")
    lone_robot.wait(lambda: lone_robot.process.poll() is not None)
    assert lone_robot.process.returncode == 1
    assert "mivla: robot: toaster: expected a robot of" in lone_robot.log.read_text()
    assert "Traceback" not in lone_robot.log.read_text()
