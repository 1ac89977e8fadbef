"""Policy node: cameras, joints and a sentence in, joint trajectories out."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import numpy as np
import torch
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from mivla_drivers.contract import Camera, load_contract
from mivla_drivers.conversions import (
    diagnostic_message,
    image_array,
    joint_vector,
    stamp_seconds,
    trajectory_message,
)
from mivla_drivers.errors import MivlaError
from mivla_drivers.nodes.spin import spin
from mivla_drivers.trajectory import ActionChunk
from mivla_policy.observation import Observation, ObservationBuffer, ObservationMissing
from mivla_policy.policy import load_policy

IDLE_S = 0.01
REFUSAL_SHOWN_S = 1.0


class PolicyNode(Node):
    """Shell around `Policy`: a thread of its own denoises, the executor only files what arrives.

    An empty instruction pauses the policy. It plans again `replan_steps` policy periods after the
    observation of the chunk before; between the two the driver plays that chunk.
    """

    def __init__(self) -> None:
        super().__init__("policy")
        read_only = ParameterDescriptor(read_only=True)
        for name, default in (
            ("robot", "piper"),
            ("model", ""),
            ("replan_steps", 8),
            ("threads", 1),
            ("device", "cpu"),
        ):
            self.declare_parameter(name, default, read_only)
        self._contract = load_contract(self._value("robot"))
        torch.set_num_threads(self._value("threads"))  # the others belong to cameras and driver
        self._policy = load_policy(
            self._value("model"), self._contract, device=self._value("device"), threads=self._value("threads")
        )
        self._buffer = ObservationBuffer(self._contract)
        self._lock = threading.Lock()
        self._waiting_for = ""  # why there is no observation to plan from
        self._refusal, self._refused_at = "", -REFUSAL_SHOWN_S  # what was wrong with an input or an output
        self._timing: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="policy", daemon=True)
        self._trajectory = self.create_publisher(JointTrajectory, "policy/joint_trajectory", 2)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(String, "instruction", self._on_instruction, latched)
        self.create_subscription(JointState, "joint_states", self._on_joints, 10)
        for camera in self._contract.cameras:
            self.create_subscription(
                Image,
                f"{camera.topic}/image_raw",
                lambda message, camera=camera: self._on_image(camera, message),
                qos_profile_sensor_data,
            )
        self.create_timer(0.5, self._report)
        self._thread.start()
        self.get_logger().info(f"policy ready: {self._value('model')}")

    def close(self) -> None:
        """End the policy's thread after the chunk under way."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _on_instruction(self, message: String) -> None:
        with self._lock:
            self._buffer.instruction = message.data

    def _on_joints(self, message: JointState) -> None:
        try:
            joints = joint_vector(message, self._contract)
        except MivlaError as error:
            self._complain(error)
            return
        with self._lock:
            self._buffer.push_joints(stamp_seconds(message.header.stamp), joints)

    def _on_image(self, camera: Camera, message: Image) -> None:
        try:
            image = image_array(message, camera)
        except MivlaError as error:
            self._complain(error)
            return
        with self._lock:
            self._buffer.push_image(camera.view, stamp_seconds(message.header.stamp), image)

    def _run(self) -> None:
        """The policy's thread: observe, denoise, publish, wait for the next time to plan."""
        next_observation = 0.0
        period = 1.0 / self._contract.policy_rate_hz
        while not self._stop.is_set():
            observation = self._fresh_observation(next_observation)
            if observation is None:
                self._stop.wait(IDLE_S)
                continue
            if self._plan(observation):
                next_observation = observation.stamp + self._value("replan_steps") * period
            else:
                self._stop.wait(period)

    def _fresh_observation(self, not_before: float) -> Observation | None:
        try:
            with self._lock:
                observation = self._buffer.observe(time.time())
        except ObservationMissing as error:
            self._waiting_for = str(error)
            return None
        self._waiting_for = ""
        return observation if observation.stamp >= not_before - 1e-3 else None

    def _plan(self, observation: Observation) -> bool:
        """Denoise one chunk and publish it; False where the policy refused its input or its own output."""
        try:
            positions, timing = self._policy.infer(observation)
            period = 1.0 / self._contract.policy_rate_hz
            times = period * np.arange(1, len(positions) + 1)
            chunk = ActionChunk(positions, times, observation.stamp, "policy")
        except Exception as error:  # whatever a model does, its thread lives on to say so; the driver holds
            self._complain(error)
            return False
        with self._lock:
            paused = not self._buffer.instruction
        if not paused:
            self._trajectory.publish(trajectory_message(chunk, self._contract))
        self._timing = {**timing, "observation_to_command_ms": 1000 * (time.time() - observation.stamp)}
        return True

    def _complain(self, error: Exception) -> None:
        self._refusal = str(error) if isinstance(error, MivlaError) else repr(error)
        self._refused_at = time.monotonic()
        self.get_logger().warning(self._refusal, throttle_duration_sec=1.0)

    def _report(self) -> None:
        # A refused input is why one is missing, so it is told before the waiting that follows from it.
        refused = time.monotonic() - self._refused_at < REFUSAL_SHOWN_S
        problem = self._refusal if refused else self._waiting_for
        level = "warn" if problem else "ok"
        values = {name: f"{value:.1f}" for name, value in self._timing.items()}
        name, robot = self.get_fully_qualified_name().lstrip("/"), self._contract.robot
        text = problem or "running"
        self._diagnostics.publish(diagnostic_message(name, level, text, values, time.time(), robot))


def main() -> int:
    """Run the node; exit code 1 where it refuses its model, its robot or a parameter."""
    return spin(PolicyNode, PolicyNode.close)


if __name__ == "__main__":
    sys.exit(main())
