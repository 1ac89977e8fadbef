"""Simulator node: an emulated arm on an emulated bus, a PyBullet world, and its cameras as a driver publishes them.

Out: `<camera>/image_raw`, `<camera>/image_raw/compressed`, `<camera>/camera_info`, `simulator/progress`, and
`/diagnostics`, which warn where the world cannot keep up with the clock. Service: `simulator/reset`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from std_srvs.srv import Trigger

from mivla_drivers.contract import RobotContract, load_contract
from mivla_drivers.control.control_loop import ControlLoop
from mivla_drivers.errors import MivlaError
from mivla_drivers.robots import DEFAULT_ROBOT
from mivla_drivers.robots.registry import make_emulator
from mivla_drivers.ros.camera_publisher import JPEG_QUALITY_PARAMETER, CameraPublisher, pinhole
from mivla_drivers.ros.conversions import diagnostic_message
from mivla_drivers.ros.parameters import ParameterSpec, check, declare
from mivla_drivers.ros.spin import spin
from mivla_drivers.simulation.pace import LostTime, SimulatorState, describe
from mivla_drivers.simulation.real_time import Frame, RealTimeSimulation
from mivla_drivers.simulation.tasks import DEFAULT_TASK, load_task
from mivla_drivers.simulation.world.renderer import mount_of

WORLD_RATE_HZ = 100.0  # how often the world catches up with the clock; physics steps are finer
PARAMETERS = {
    "robot": ParameterSpec(DEFAULT_ROBOT, "a robot's name or the path of a robot.yaml", check=load_contract),
    "bus": ParameterSpec("", "bus of the emulated arm, emulated:NAME; empty takes the contract's"),
    "task": ParameterSpec(DEFAULT_TASK, "a task's name or the path of its .py file", check=load_task),
    "mode": ParameterSpec("easy", "condition of the scene: easy, hard or another of the task's", fixed=False),
    "seed": ParameterSpec(0, "of the scene", minimum=0, fixed=False),
    # The real arm's rate is 200; a world that cannot keep up with much more would only fall behind.
    "feedback_rate_hz": ParameterSpec(
        200.0, "how often the arm sends its joints [Hz]", above=0.0, maximum=1000.0
    ),
    "jpeg_quality": JPEG_QUALITY_PARAMETER,
    "camera_latency_s": ParameterSpec(
        0.0,
        "how late images come, stamped when they come, as most cameras' are [s]",
        minimum=0.0,
        maximum=0.5,
    ),
}
DIAGNOSTICS_PERIOD_S = 0.5
LOG_PERIOD_S = 10.0
LONGEST_REASON = 300  # characters of what a step raises
GIL_TURN_S = 0.001  # the arm's thread must get its turn while the world's thread computes


class SimulatorNode(Node):
    """Shell around `RealTimeSimulation`: a thread steps the world, a service asks it to reset the scene."""

    def __init__(self) -> None:
        super().__init__("simulator")
        declare(self, PARAMETERS)
        contract = load_contract(self._value("robot"), bus=self._value("bus") or None)
        task = load_task(self._value("task"))
        modes = {"mode": replace(PARAMETERS["mode"], check=task.require_condition)}
        self.add_on_set_parameters_callback(lambda parameters: check(modes, parameters))
        self._simulation = RealTimeSimulation(contract, task, self._value("seed"), self._value("mode"))
        self._reset_wanted, self._reset_done = threading.Event(), threading.Event()
        self._reset_error = self._step_error = ""
        self._lost = LostTime()
        self._stepped = self._shown = time.monotonic()
        self._latency_s = self._value("camera_latency_s")
        self._late_frames: deque[tuple[float, float, Frame]] = deque()  # due [s, steady clock], stamp, image
        self._publish_to(contract)
        self._emulator = make_emulator(contract, self._simulation.plant, self._value("feedback_rate_hz"))
        self._loop = ControlLoop(self._step, WORLD_RATE_HZ, self._on_error, name="world")

        self._emulator.start()
        self._loop.start()
        self.get_logger().info(f"the emulated robot is on {contract.bus}")

    def close(self) -> None:
        """End the threads; the arm and its bus are gone afterwards."""
        self._loop.stop()
        self._emulator.close()
        self._simulation.close()

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _publish_to(self, contract: RobotContract) -> None:
        self._cameras = {
            camera.name: CameraPublisher(
                self,
                camera,
                pinhole(camera, mount_of(camera).field_of_view_deg),
                self._value("jpeg_quality"),
            )
            for camera in contract.cameras
        }
        self._progress = self.create_publisher(DiagnosticStatus, "simulator/progress", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics)
        self.create_service(Trigger, "simulator/reset", self._on_reset)

    def _step(self, now: float) -> None:
        """One turn of the world's thread."""
        if self._reset_wanted.is_set():
            self._reset_wanted.clear()
            self._reset_scene()
        stamp = time.time()  # of what is seen; drawing it takes a while
        frames, looked = self._simulation.advance(now)
        self._late_frames.extend((now + self._latency_s, stamp + self._latency_s, frame) for frame in frames)
        while self._late_frames and self._late_frames[0][0] <= now:
            _, due, frame = self._late_frames.popleft()
            self._cameras[frame.camera.name].publish(frame.image, due)
        if looked:
            self._progress.publish(self._progress_message())
        self._stepped, self._step_error = now, ""
        if frames:
            self._shown = now

    def _publish_diagnostics(self) -> None:
        now, lost_s = time.monotonic(), self._simulation.lost_s
        state = describe(
            SimulatorState(
                lost_s=lost_s,
                lost_recently_s=self._lost.recent_s(lost_s, now),
                step_age_s=now - self._stepped,
                frame_age_s=now - self._shown,
                error=self._step_error,
                loop=self._loop.statistics(),
            )
        )
        if state.level != "ok":
            self.get_logger().warning(state.message, throttle_duration_sec=LOG_PERIOD_S)
        name = self.get_fully_qualified_name().lstrip("/")
        message = diagnostic_message(name, state.level, state.message, state.values, time.time(), "simulator")
        self._diagnostics.publish(message)

    def _on_error(self, error: Exception) -> None:
        self._step_error = repr(error)[:LONGEST_REASON]
        self.get_logger().error(f"the world's thread: {error!r}", throttle_duration_sec=1.0)

    def _reset_scene(self) -> None:
        try:
            self._simulation.reset(self._value("seed"), self._value("mode"))
            self._reset_error = ""
        except MivlaError as error:
            self._reset_error = str(error)
        self._reset_done.set()

    def _progress_message(self) -> DiagnosticStatus:
        done = self._simulation.progress
        return DiagnosticStatus(
            name=self._simulation.task.name,
            hardware_id="simulator",
            message="success" if all(done.values()) else "running",
            values=[KeyValue(key=name, value="true" if holds else "false") for name, holds in done.items()],
        )

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._reset_done.clear()
        self._reset_wanted.set()
        if not self._reset_done.wait(timeout=5.0):
            response.success, response.message = (
                False,
                "simulator/reset: the world's thread did not answer within 5 s",
            )
            return response
        response.success = not self._reset_error
        response.message = self._reset_error or f"seed {self._value('seed')}, {self._value('mode')} mode"
        return response


def main() -> int:
    """Run the node; exit code 1 where it refuses to start."""
    sys.setswitchinterval(GIL_TURN_S)
    return spin(SimulatorNode, SimulatorNode.close)


if __name__ == "__main__":
    sys.exit(main())
