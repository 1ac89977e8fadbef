"""Policy node: cameras, joints and a sentence in, joint trajectories out."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory

from mivla_drivers.contract import load_contract
from mivla_drivers.robots import DEFAULT_ROBOT
from mivla_drivers.ros.conversions import diagnostic_message, trajectory_message
from mivla_drivers.ros.in_control import hear_in_control
from mivla_drivers.ros.parameters import ParameterSpec, declare
from mivla_drivers.ros.repeater import Repeater
from mivla_drivers.ros.spin import spin
from mivla_drivers.text import shortened
from mivla_policy.device import require_device
from mivla_policy.nodes.robot_inputs import RobotInputs
from mivla_policy.planner import RUNNING, Planner
from mivla_policy.policies import DECODERS, LoadOptions, load_policy, require_spec
from mivla_policy.shipped_models import DEFAULT_POLICY

IDLE_S = 0.01  # between two looks at what is due while no image comes
DIAGNOSTICS_PERIOD_S = 0.5
QUIET_S = 1.0  # that a chunk may be late before it is warned of

PARAMETERS = {
    "robot": ParameterSpec(DEFAULT_ROBOT, "a robot's name or the path of a robot.yaml", check=load_contract),
    "model": ParameterSpec(
        DEFAULT_POLICY, "a policy's folder, the name of a shipped one, or BACKEND:WHERE", check=require_spec
    ),
    "seed": ParameterSpec(0, "of what is random in the policy", minimum=0),
    "replan_steps": ParameterSpec(8, "policy periods from one plan to the next", minimum=1),
    "threads": ParameterSpec(1, "of PyTorch and ONNX Runtime", minimum=1, maximum=256),
    "device": ParameterSpec("cpu", "cpu, cuda or cuda:N", check=require_device),
    "decoder": ParameterSpec("auto", "what runs MiVLA's decoder", choices=DECODERS),
}


class PolicyNode(Node):
    """ROS shell around `Planner`: a thread of its own plans, the executor only files what arrives.

    It listens to the cameras that the policy looks through; others are none of its business.
    """

    def __init__(self) -> None:
        super().__init__("policy")
        declare(self, PARAMETERS)
        model, contract = self._value("model"), load_contract(self._value("robot"))
        options = LoadOptions(
            device=self._value("device"), threads=self._value("threads"), decoder=self._value("decoder")
        )
        policy = load_policy(model, contract, options)
        # Only a policy with a model has one.
        self._runtime: str = getattr(policy, "runtime", "")
        # After a whole chunk without another the driver has nothing to play.
        longest = ParameterSpec(1, "", maximum=policy.horizon)
        longest.require("replan_steps", self._value("replan_steps"))
        self._contract = contract
        self._planner = Planner(
            policy, contract, self._value("replan_steps"), self._value("seed"), self._report_refusal
        )
        self._stop, self._image_came = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="policy", daemon=True)
        self._trajectory = self.create_publisher(JointTrajectory, "policy/joint_trajectory", 2)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._chunk_sent = self._observed = float("-inf")
        self._running_since = float("inf")
        self._longest_s = self._value("replan_steps") / contract.policy_rate_hz + QUIET_S
        views = tuple(policy.views)
        self._inputs = RobotInputs(self, contract, views, self._planner, self._image_came.set)
        self._in_control = ""
        hear_in_control(self, self._note_control)
        self._teller = Repeater(
            self._publish_diagnostics, DIAGNOSTICS_PERIOD_S, self._report_error, "diagnostics"
        )
        self._thread.start()
        runtime = f", decoder by {self._runtime}" if self._runtime else ""
        self.get_logger().info(f"policy ready: {model}, views {list(views)}{runtime}")

    def close(self) -> None:
        """End the policy's thread after the chunk under way."""
        self._teller.close()
        self._stop.set()
        self._image_came.set()
        self._thread.join(timeout=5.0)

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _run(self) -> None:
        """The policy's thread: plan what is due, publish it."""
        while not self._stop.is_set():
            self._image_came.clear()  # before the look, so that none that comes meanwhile has to wait
            now = time.monotonic()
            chunk = None if self._inputs.conflict(now) else self._planner.plan(now)
            if chunk is None:
                self._image_came.wait(IDLE_S)
                continue
            now, system = time.monotonic(), time.time()
            if self._inputs.conflict(now):
                continue
            sent = self._planner.to_send(chunk, now)
            self._trajectory.publish(trajectory_message(sent.shifted(system - now), self._contract))
            self._chunk_sent, self._observed = now, chunk.stamp

    def _note_control(self, source: str) -> None:
        """Given back by a teleoperation, the robot must not wait for the next plan that is due."""
        if source == "policy" and self._in_control == "teleop":
            self._planner.replan()
        self._in_control = source

    def _report_refusal(self, text: str) -> None:
        self.get_logger().warning(shortened(text), throttle_duration_sec=1.0)

    def _report_error(self, error: Exception) -> None:
        self.get_logger().error(f"diagnostics: {shortened(repr(error))}", throttle_duration_sec=1.0)

    def _publish_diagnostics(self) -> None:
        """The diagnostics, in a thread of their own."""
        now, name = time.monotonic(), self.get_fully_qualified_name().lstrip("/")
        level, text, timing = self._planner.status(now)
        warnings = [self._inputs.conflict(now), self._inputs.clock.told(now), self._quiet(text, now)]
        found = [warning for warning in warnings if warning]
        values = {name: f"{value:.1f}" for name, value in timing.items()}
        if self._runtime:
            values["decoder"] = self._runtime
        if self._observed > float("-inf"):
            values["last_chunk_age_s"] = f"{now - self._chunk_sent:.2f}"
            values["last_observation_age_s"] = f"{now - self._observed:.2f}"
        level, text = ("warn" if found else level), "; ".join((*found, text))
        message = diagnostic_message(name, level, text, values, time.time(), self._contract.robot)
        self._diagnostics.publish(message)

    def _quiet(self, status: str, now: float) -> str:
        """That nothing is sent although the planner runs, empty where something is."""
        if status != RUNNING:
            self._running_since = float("inf")
            return ""
        self._running_since = min(self._running_since, now)
        quiet_s = now - max(self._running_since, self._chunk_sent)
        return f"no chunk was sent for {quiet_s:.1f} s" if quiet_s > self._longest_s else ""


def main() -> int:
    """Run the node; exit code 1 where it refuses its model, its robot or a parameter."""
    return spin(PolicyNode, PolicyNode.close)


if __name__ == "__main__":
    sys.exit(main())
