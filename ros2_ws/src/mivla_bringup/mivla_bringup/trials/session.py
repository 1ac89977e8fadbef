"""The operator of evaluation trials: a ROS node that resets the scene, hands the robot over, and watches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from mivla_bringup.trials.metrics import Trial
from mivla_bringup.trials.video import Moment, caption
from mivla_drivers.contract import CameraConfig, RobotContract
from mivla_drivers.conversions import image_array, joint_vector
from mivla_drivers.errors import MivlaError

ANSWER_S = 10.0  # longest wait for a service
HOME_S = 30.0  # longest way home, enabling included
HOME_TOLERANCE = {"rad": 0.03, "m": 0.005}
ASK_AGAIN_S = 0.5
SILENCE_S = {"simulator": 3.0, "driver": 3.0, "policy": 10.0}  # longer means that it is gone
TICK_S = 0.02

OnProgress = Callable[[float, Mapping[str, bool]], None]


class TrialError(MivlaError):
    """Trials cannot go on; nothing is measured from a half-run one."""


@dataclass(frozen=True)
class TrialPlan:
    """One trial to run: its number from 0, the scene's seed and mode, the sentence, the time limit [s]."""

    number: int
    seed: int
    mode: str
    instruction: str
    time_limit_s: float


class TrialSession:
    """A context manager around the operator's node.

    `check` is called while waiting; it raises where a process of the bringup has ended.
    """

    def __init__(self, contract: RobotContract, namespace: str, check: Callable[[], None]) -> None:
        self._contract = contract
        self._check = check
        self._context = rclpy.Context()
        self._context.init()
        self._node = rclpy.create_node("operator", namespace=namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._clients: dict[str, Client] = {
            name: self._node.create_client(Trigger, name) for name in ("driver/home", "simulator/reset")
        }
        for node in ("driver", "simulator"):
            name = f"{node}/set_parameters"
            self._clients[name] = self._node.create_client(SetParameters, name)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._instruction = self._node.create_publisher(String, "instruction", latched)
        self._joints: np.ndarray | None = None
        self._images: dict[str, np.ndarray] = {}
        self._heard: dict[str, float] = {}
        self._looks = 0
        self._driver_reports = 0
        self._driver_counts = {"starved": 0, "chunks_refused": 0}
        self._success = False
        self._subtasks: dict[str, bool] = {}
        self._on_moment: Callable[[], None] | None = None
        self._subscribe()

    def __enter__(self) -> TrialSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Wait for simulator, driver and policy.

        Raises:
            TrialError: one of them is missing after `timeout_s`.
        """
        self._wait_for_body(timeout_s)
        cameras = self._contract.cameras
        self._until(
            lambda: len(self._images) == len(cameras), timeout_s, f"images of {[c.name for c in cameras]}"
        )
        policies = self._node.count_publishers
        self._until(
            lambda: policies("policy/joint_trajectory") > 0, timeout_s, "policy: policy/joint_trajectory"
        )

    def _wait_for_body(self, timeout_s: float) -> None:
        """Wait for every service, the driver's joints and the simulator's progress."""
        for name, client in self._clients.items():
            self._until(client.service_is_ready, timeout_s, f"service {name}")
        self._until(lambda: self._joints is not None, timeout_s, "driver: joint_states")
        self._until(lambda: self._looks > 0, timeout_s, "simulator: simulator/progress")
        self._until(lambda: self._driver_reports > 0, timeout_s, "driver: /diagnostics")

    def run(self, plan: TrialPlan, on_progress: OnProgress) -> tuple[Trial, list[Moment]]:
        """Run one trial from a fresh scene; what came of it, and what the cameras saw.

        Raises:
            TrialError: a part of the bringup refuses, falls silent or ends.
        """
        self._pause()
        self._go_home()
        self._reset_scene(plan)
        before = self._driver_counts  # nobody holds the robot, so they rest
        moments: list[Moment] = []
        self._instruction.publish(String(data=plan.instruction))
        self._set_parameters("driver", command_source="policy")
        start = time.monotonic()
        self._heard["policy"] = start

        def record() -> None:
            text = caption(plan.number, plan.seed, time.monotonic() - start, self._subtasks)
            moments.append(Moment(tuple(self._images[c.name] for c in self._contract.cameras), text))

        self._on_moment = record
        seen = self._looks
        while not self._success and time.monotonic() - start < plan.time_limit_s:
            self._spin()
            self._require_voices()
            if self._looks != seen:
                seen = self._looks
                on_progress(time.monotonic() - start, self._subtasks)
        time_s = min(time.monotonic() - start, plan.time_limit_s)
        self._on_moment = None
        subtasks, success = dict(self._subtasks), self._success
        self._pause()
        after = self._fresh_driver_counts()
        starved, refused = (after[name] - before[name] for name in ("starved", "chunks_refused"))
        trial = Trial(plan.number, plan.seed, success, time_s, subtasks, starved=starved, refused=refused)
        return trial, moments

    # Steps of a trial

    def _pause(self) -> None:
        """The policy plans nothing and nobody holds the robot."""
        self._instruction.publish(String(data=""))
        self._set_parameters("driver", command_source="none")

    def _go_home(self) -> None:
        """Ask until the driver agrees (its motors may be coming up), then wait for the arm."""
        patience = time.monotonic() + HOME_S
        while not (answer := self._call("driver/home", Trigger.Request())).success:
            if time.monotonic() > patience:
                raise TrialError(f"driver/home: refused for {HOME_S:.0f} s: {answer.message}")
            again = time.monotonic() + ASK_AGAIN_S
            self._until(lambda: time.monotonic() > again, 2 * ASK_AGAIN_S, "time to pass")  # noqa: B023
        tolerance = np.array([HOME_TOLERANCE[unit] for unit in self._contract.units])
        home = self._contract.home

        def arrived() -> bool:
            return self._joints is not None and bool((np.abs(self._joints - home) < tolerance).all())

        self._until(arrived, HOME_S, f"the arm at home {home.tolist()}")

    def _reset_scene(self, plan: TrialPlan) -> None:
        """A fresh scene; progress told before it must not count."""
        self._set_parameters("simulator", seed=plan.seed, mode=plan.mode)
        answer = self._call("simulator/reset", Trigger.Request())
        if not answer.success:
            raise TrialError(f"simulator/reset: seed {plan.seed}, mode {plan.mode}: {answer.message}")
        old = self._looks + 1  # one message may have been on its way
        self._until(lambda: self._looks > old, SILENCE_S["simulator"], "simulator: progress after a reset")
        if self._success or any(self._subtasks.values()):
            raise TrialError(f"simulator: expected a fresh scene after a reset, got {self._subtasks}")

    def _fresh_driver_counts(self) -> dict[str, int]:
        """How often the driver starved and refused, as it says from now on."""
        old = self._driver_reports + 1  # one message may have been on its way
        self._until(lambda: self._driver_reports > old, SILENCE_S["driver"], "driver: /diagnostics")
        return self._driver_counts

    def _require_voices(self) -> None:
        for name, longest in SILENCE_S.items():
            silence = time.monotonic() - self._heard[name]
            if silence > longest:
                raise TrialError(f"{name}: silent for {silence:.1f} s in the middle of a trial")

    # ROS

    def _subscribe(self) -> None:
        def hear(name: str) -> None:
            self._heard[name] = time.monotonic()

        def on_joints(message: JointState) -> None:
            hear("driver")
            self._joints = joint_vector(message, self._contract)

        def on_progress(message: DiagnosticStatus) -> None:
            hear("simulator")
            self._looks += 1
            self._success = message.message == "success"
            self._subtasks = {item.key: item.value == "true" for item in message.values}

        def on_diagnostics(message: DiagnosticArray) -> None:
            for status in message.status:
                if status.name == f"{self._node.get_namespace()}/driver".lstrip("/"):
                    values = {item.key: item.value for item in status.values}
                    self._driver_counts = {name: int(values[name]) for name in self._driver_counts}
                    self._driver_reports += 1

        node = self._node
        node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 10)
        node.create_subscription(JointState, "joint_states", on_joints, 10)
        node.create_subscription(DiagnosticStatus, "simulator/progress", on_progress, 10)
        node.create_subscription(JointTrajectory, "policy/joint_trajectory", lambda _: hear("policy"), 2)
        for camera in self._contract.cameras:
            topic = f"{camera.topic}/image_raw"
            node.create_subscription(Image, topic, self._image_receiver(camera), qos_profile_sensor_data)

    def _image_receiver(self, camera: CameraConfig) -> Callable[[Image], None]:
        first = self._contract.cameras[0]

        def receive(message: Image) -> None:
            self._images[camera.name] = image_array(message, camera)
            if camera is first and self._on_moment is not None:
                self._on_moment()

        return receive

    def _set_parameters(self, node: str, **values: Any) -> None:
        request = SetParameters.Request()
        request.parameters = [Parameter(k, value=v).to_parameter_msg() for k, v in values.items()]
        answer = self._call(f"{node}/set_parameters", request)
        for name, result in zip(values, answer.results, strict=True):
            if not result.successful:
                raise TrialError(f"{node}: parameter {name} to {values[name]!r}: {result.reason}")

    def _call(self, service: str, request: Any) -> Any:
        future = self._clients[service].call_async(request)
        self._until(future.done, ANSWER_S, f"an answer of {service}")
        return future.result()

    def _until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        patience = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > patience:
                raise TrialError(f"expected {what} within {timeout_s:.0f} s, got none")
            self._spin()

    def _spin(self) -> None:
        self._check()
        self._executor.spin_once(timeout_sec=TICK_S)
