"""The policy node as a process of its own: good input makes chunks, bad input is named and makes none."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import rclpy
import torch
from dataset_files import write_recording
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState
from small_models import plain_statistics, small_model
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from mivla_drivers.contract import load_contract
from mivla_drivers.recording.reader import read_episode
from mivla_drivers.ros import network
from mivla_drivers.ros.conversions import action_chunk, image_message, joint_state_message
from mivla_policy.checkpoint import save_policy
from mivla_policy.nodes import policy

CONTRACT = load_contract("piper")
ZEROS = np.zeros(7)


def command(model: str) -> list[str]:
    return [
        *(sys.executable, "-m", "mivla_policy.nodes.policy", "--ros-args", "-r", "__ns:=/piper"),
        *("-p", f"model:={model}"),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("policy")
    save_policy(path, small_model(), CONTRACT, plain_statistics())
    return path


class Robot:
    """What the policy sees of a robot, and what is heard of the policy."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("robot", namespace="piper", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.instruction = self.node.create_publisher(String, "instruction", latched)
        self.joints = self.node.create_publisher(JointState, "joint_states", 10)
        self.cameras = [
            (camera, self.node.create_publisher(Image, f"{camera.topic}/image_raw", qos_profile_sensor_data))
            for camera in CONTRACT.cameras
        ]
        self.chunks: list[JointTrajectory] = []
        self.problem = ""
        self.pictures = {
            camera.name: np.random.default_rng(0).integers(
                0, 255, (camera.height, camera.width, 3), dtype=np.uint8
            )
            for camera in CONTRACT.cameras
        }
        self.node.create_subscription(JointTrajectory, "policy/joint_trajectory", self.chunks.append, 10)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.problem = message.status[0].message

    def show(self, image: Image | None = None, joints: JointState | None = None) -> None:
        """Publish one look at the robot; `image` or `joints` replace the good ones."""
        now = time.time()
        self.joints.publish(joints or joint_state_message(CONTRACT, CONTRACT.home, ZEROS, ZEROS, now))
        for camera, publisher in self.cameras:
            publisher.publish(image or image_message(self.pictures[camera.name], now, camera.name))

    def until(self, condition: Callable[[], bool], seconds: float = 20.0, **looks) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.show(**looks)
            until = time.monotonic() + 0.05
            while time.monotonic() < until:
                self.executor.spin_once(timeout_sec=0.02)
            if condition():
                return True
        return False

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture(scope="module")
def process(graph, folder):
    process = subprocess.Popen(command(str(folder)))
    yield process
    process.terminate()
    assert process.wait(timeout=15) == 0


@pytest.fixture
def robot(process):
    robot = Robot()
    robot.instruction.publish(String(data="Move the bottle onto the pad."))
    yield robot
    robot.instruction.publish(String(data=""))
    robot.until(lambda: "instruction" in robot.problem)
    robot.close()


def test_a_look_at_the_robot_becomes_a_chunk_stamped_with_its_time(robot):
    assert robot.until(lambda: bool(robot.chunks))
    chunk = action_chunk(robot.chunks[-1], CONTRACT, "policy")
    steps = len(chunk.times)
    assert 11 <= steps <= 16  # as many as replanning needs on this machine
    assert chunk.positions.shape == (steps, 7)
    assert chunk.times == pytest.approx(0.1 * np.arange(1, steps + 1))
    assert 0 <= time.time() - chunk.stamp < 5.0


def test_a_camera_that_sends_black_pictures_with_fresh_stamps_is_named_and_nothing_is_sent(robot):
    assert robot.until(lambda: bool(robot.chunks))
    robot.pictures["wrist_camera"] = np.zeros_like(robot.pictures["wrist_camera"])
    assert robot.until(
        lambda: robot.problem.startswith("camera view left_wrist: the pictures are black"), seconds=10
    )
    before = len(robot.chunks)
    robot.until(lambda: False, seconds=1.2)  # a policy that was looked at plans every 0.8 s
    assert len(robot.chunks) == before


def test_without_an_instruction_nothing_is_sent(robot):
    robot.instruction.publish(String(data=""))
    assert robot.until(lambda: "paused: publish a sentence on instruction" in robot.problem)
    robot.chunks.clear()
    robot.until(lambda: False, seconds=1.5)
    assert not robot.chunks


@pytest.mark.parametrize(
    ("height", "encoding", "word"),
    [(120, "rgb8", "expected an image of 160x160 pixels, got 160x120"), (160, "mono8", "mono8")],
)
def test_an_image_of_another_size_or_encoding_is_named_and_sends_nothing(robot, height, encoding, word):
    image = image_message(np.zeros((height, 160, 3), dtype=np.uint8), time.time(), "front_camera")
    image.encoding = encoding
    robot.until(lambda: False, seconds=1.0, image=image)
    robot.chunks.clear()
    assert robot.until(lambda: word in robot.problem, image=image)
    robot.until(lambda: False, seconds=1.0, image=image)
    assert not robot.chunks


def test_a_joint_state_without_a_joint_is_named_and_sends_nothing(robot):
    joints = joint_state_message(CONTRACT, CONTRACT.home, ZEROS, ZEROS, time.time())
    joints.name, joints.position = joints.name[:-1], joints.position[:-1]
    robot.until(lambda: False, seconds=1.5, joints=joints)
    robot.chunks.clear()
    assert robot.until(lambda: "missing ['gripper']" in robot.problem, joints=joints)
    assert not robot.chunks


@contextmanager
def robot_with(model: str) -> Iterator[Robot]:
    """A robot and its policy, both in this process."""
    with network.claimed_domain() as domain_id, pytest.MonkeyPatch.context() as patch:
        for name, value in network.ros_environment(domain_id).items():
            patch.setenv(name, value)
        rclpy.init(args=command(model)[3:], signal_handler_options=SignalHandlerOptions.NO)
        node, robot = policy.PolicyNode(), Robot()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        thread = threading.Thread(target=executor.spin)
        thread.start()
        yield robot
        executor.shutdown()
        thread.join()
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()
        robot.close()


@pytest.fixture
def broken(tmp_path):
    """A robot whose policy's weights are finite and its actions are not."""
    model = small_model()
    for parameter in model.parameters():
        parameter.data *= 1e30
    save_policy(tmp_path, model, CONTRACT, plain_statistics(), dtype=torch.float32)
    with robot_with(str(tmp_path)) as robot:
        yield robot


def test_a_replayed_episode_needs_no_camera_and_sends_what_was_commanded(tmp_path):
    episode = read_episode(write_recording(tmp_path))
    with robot_with(f"replay:{tmp_path / 'episode-1'}") as robot:
        robot.cameras.clear()
        robot.instruction.publish(String(data="again"))
        assert robot.until(lambda: bool(robot.chunks))
        assert robot.node.count_subscribers("front_camera/image_raw") == 0
    chunk = action_chunk(robot.chunks[0], CONTRACT, "policy")
    begin = episode.command_span[0]
    assert chunk.positions[-1] == pytest.approx(
        episode.command_at(np.array([begin + chunk.times[-1]]))[0], abs=1e-6
    )


def test_actions_that_are_not_finite_are_named_and_not_sent(broken):
    broken.instruction.publish(String(data="Move the bottle onto the pad."))
    assert broken.until(lambda: "expected a finite number, got nan" in broken.problem)
    assert "the chunk is not sent" in broken.problem
    broken.until(lambda: False, seconds=0.5)
    assert "expected a finite number" in broken.problem
    assert not broken.chunks


def test_a_clock_that_is_set_back_is_told_and_the_policy_goes_on(tmp_path, monkeypatch):
    write_recording(tmp_path)
    with robot_with(f"replay:{tmp_path / 'episode-1'}") as robot:
        robot.cameras.clear()
        robot.instruction.publish(String(data="again"))
        assert robot.until(lambda: bool(robot.chunks))
        system = time.time
        monkeypatch.setattr(time, "time", lambda: system() - 20.0)
        robot.chunks.clear()
        assert robot.until(lambda: bool(robot.chunks), seconds=10.0)
        assert robot.until(lambda: "the computer's clock was set back by 20.0 s" in robot.problem)
        stamp = robot.chunks[0].header.stamp.sec
        assert abs(stamp - time.time()) < 5.0
        monkeypatch.setattr(time, "time", system)


def test_two_drivers_that_publish_joint_states_are_named_and_nothing_is_sent(tmp_path):
    write_recording(tmp_path)
    with robot_with(f"replay:{tmp_path / 'episode-1'}") as robot:
        robot.cameras.clear()
        robot.instruction.publish(String(data="again"))
        assert robot.until(lambda: bool(robot.chunks))
        one, other = robot.joints, robot.node.create_publisher(JointState, "joint_states", 10)
        speakers = itertools.cycle((other, one))

        def both_speak() -> bool:
            robot.joints = next(speakers)
            return "2 publishers on joint_states: /piper/robot (process" in robot.problem

        assert robot.until(both_speak)
        robot.chunks.clear()
        robot.until(lambda: both_speak() and False, seconds=2.0)
        assert not robot.chunks
        robot.joints = one
        assert robot.until(lambda: bool(robot.chunks)), "once one is silent, the policy goes on"


def last_line(code: int, stderr: str) -> str:
    """What a policy node said that must not start."""
    assert code == 1
    assert "Traceback" not in stderr
    return stderr.strip().splitlines()[-1]


def test_a_missing_policy_is_refused(graph, tmp_path):
    done = subprocess.run(command(str(tmp_path)), capture_output=True, text=True, timeout=60, check=False)
    assert "model.safetensors: expected a file of a policy" in last_line(done.returncode, done.stderr)


@pytest.fixture
def refusal(graph, tmp_path, monkeypatch, capsys):
    """Runs the node in this process, on the policy in `tmp_path`; the last line it says."""

    def run() -> str:
        monkeypatch.setattr(sys, "argv", command(str(tmp_path))[2:])
        return last_line(policy.main(), capsys.readouterr().err)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_a_policy_of_another_robot_is_refused(refusal, tmp_path):
    save_policy(tmp_path, small_model(), CONTRACT, plain_statistics())
    text = (tmp_path / "robot.yaml").read_text()
    (tmp_path / "robot.yaml").write_text(text.replace("robot: piper", "robot: arx5"))
    assert "robot: expected piper, found arx5" in refusal()


def test_truncated_weights_are_refused(refusal, tmp_path):
    save_policy(tmp_path, small_model(), CONTRACT, plain_statistics())
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert "expected a whole safetensors file" in refusal()
