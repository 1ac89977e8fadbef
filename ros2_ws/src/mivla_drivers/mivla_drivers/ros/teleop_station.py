"""A teleoperation in the ROS graph: readings in, short chunks out, and an operator's requests; a node owns it.

In: `joint_commands`, `joint_states`, `driver/in_control`, and the leader's topic where it has one. Out:
`teleop/joint_trajectory`, `/diagnostics`. Services: `teleop/take`, `teleop/give_back`, `teleop/pause`, `teleop/resume`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from mivla_drivers.contract import RobotContract
from mivla_drivers.control.control_loop import ControlLoop
from mivla_drivers.errors import CommandRefused, DataError
from mivla_drivers.ros.bounds import JOINT_STATE_BYTES, BoundedSubscription
from mivla_drivers.ros.conversions import diagnostic_message, joint_vector, stamp_seconds, trajectory_message
from mivla_drivers.ros.driver_diagnostics import without_numbers
from mivla_drivers.ros.in_control import hear_in_control
from mivla_drivers.ros.operator_endpoint import EndpointError, call, endpoint_path
from mivla_drivers.ros.system_clock import system_offset
from mivla_drivers.teleop.leader_map import LeaderMap
from mivla_drivers.teleop.session import RobotView, SessionSettings, SessionStep, State, TeleopSession
from mivla_drivers.teleop.source import TeleopSource
from mivla_drivers.teleop.topic_leader import TopicLeader
from mivla_drivers.text import shortened

RATE_HZ = 50.0
DIAGNOSTICS_S = 0.5
ANSWER_S = 1.0  # of the driver on this machine
COMMANDS_OLD_S = 0.2  # after which joint_states stand in for what is commanded
REQUESTS = ("take", "give_back", "pause", "resume")


class TeleopStation:
    """Runs a `TeleopSession` in a thread of its own; every request may come from any thread."""

    def __init__(
        self,
        node: Node,
        contract: RobotContract,
        source: TeleopSource,
        mapping: LeaderMap,
        settings: SessionSettings,
        rate_hz: float = RATE_HZ,
    ) -> None:
        """Open the source and start.

        Raises:
            HardwareError: the leader's link cannot be entered.
        """
        self._node, self._contract, self._source = node, contract, source
        self._session = TeleopSession(contract, source, mapping, settings)
        self._lock = threading.Lock()  # of the session
        self._commanded: tuple[float, JointState] | None = None
        self._measured: tuple[float, JointState] | None = None
        self._in_control = "none"
        self._step = SessionStep(None, "", State.STANDBY, "starting", False)
        self._logged: tuple[object, ...] = ()
        self._next_diagnostics = 0.0
        source.open()
        self._chunks = node.create_publisher(JointTrajectory, "teleop/joint_trajectory", 2)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._parameters: Client = node.create_client(SetParameters, "driver/set_parameters")
        self._listen()
        for name in REQUESTS:
            node.create_service(Trigger, f"teleop/{name}", partial(self._serve, name))
        self._loop = ControlLoop(self._run, rate_hz, self._report_error, name="teleop", realtime=True)
        self._loop.start()

    def close(self) -> None:
        """End the thread and leave the leader; a robot that is led rests at the end of the last chunk."""
        self._loop.stop()
        self._source.close()

    @property
    def step(self) -> SessionStep:
        """What the newest step came to."""
        return self._step

    @property
    def in_control(self) -> str:
        """Who has the robot, as its driver says."""
        return self._in_control

    @property
    def commanded(self) -> np.ndarray | None:
        """Where the robot is commanded to be, (n,); None where that is not known."""
        return self._robot(time.monotonic()).commanded

    def request(self, name: str) -> str:
        """Put one of `REQUESTS` to the session; why it was refused, or nothing."""
        try:
            with self._lock:
                getattr(self._session, name)()
        except CommandRefused as error:
            return str(error)
        return ""

    def give(self, source: str) -> None:
        """Ask the driver to give the robot to `source`, without waiting."""
        threading.Thread(target=self._give, args=(source,), name="give", daemon=True).start()

    def _listen(self) -> None:
        node = self._node

        def hear(topic: str, take: Callable[[JointState], None]) -> None:
            BoundedSubscription(
                node,
                JointState,
                topic,
                lambda message, _: take(message),
                10,
                JOINT_STATE_BYTES,
                lambda error: self._refuse(str(error)),
            )

        hear("joint_commands", partial(self._keep, "_commanded"))
        hear("joint_states", partial(self._keep, "_measured"))
        hear_in_control(node, partial(setattr, self, "_in_control"))
        if isinstance(self._source, TopicLeader):
            topic, take = self._source.topic, self._take_leader
            node.create_subscription(JointState, topic, take, qos_profile_sensor_data)

    def _keep(self, where: str, message: JointState) -> None:
        setattr(self, where, (time.monotonic(), message))

    def _take_leader(self, message: JointState) -> None:
        assert isinstance(self._source, TopicLeader)
        try:
            stamp = stamp_seconds(message.header.stamp)
            self._source.take(list(message.name), list(message.position), stamp, time.monotonic())
        except DataError as error:
            self._refuse(str(error))

    def _robot(self, now: float) -> RobotView:
        """What is known of the robot: what it is commanded, or where it is if nobody tells that."""
        found, measured = self._commanded, self._measured
        if found is None or (measured is not None and measured[0] > found[0] + COMMANDS_OLD_S):
            found = measured
        if found is None:
            return RobotView(None, float("-inf"), self._in_control)
        try:
            return RobotView(joint_vector(found[1], self._contract), found[0], self._in_control)
        except DataError as error:
            self._refuse(str(error))
            return RobotView(None, float("-inf"), self._in_control)

    def _run(self, now: float) -> None:
        """A period of the thread."""
        with self._lock:
            step = self._session.step(now, self._source.read(now), self._robot(now))
        if step.chunk is not None:
            self._chunks.publish(trajectory_message(step.chunk.shifted(system_offset()), self._contract))
        if step.wish:
            self.give(step.wish)
        changed = (step.state, step.warns) != (self._step.state, self._step.warns)
        self._step = step
        if changed or now >= self._next_diagnostics:
            self._next_diagnostics = now + DIAGNOSTICS_S
            self._publish_diagnostics(step)

    def _publish_diagnostics(self, step: SessionStep) -> None:
        text = f"{step.state.value}: {step.reason}"
        said = (step.state, without_numbers(text))
        if said != self._logged:
            self._logged = said
            log = self._node.get_logger()
            if step.warns:
                log.warning(shortened(text))
            else:
                log.info(shortened(text))
        name = f"{self._node.get_namespace().strip('/')}/teleop".lstrip("/")
        values = {"state": step.state.value, "in_control": self._in_control}
        level = "warn" if step.warns else "ok"
        message = diagnostic_message(name, level, shortened(text), values, time.time(), "teleop")
        self._diagnostics.publish(message)

    def _serve(self, name: str, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        refusal = self.request(name)
        response.success = not refusal
        response.message = refusal or f"{name.replace('_', ' ')}: done"
        return response

    def _give(self, source: str) -> None:
        """By the driver's short way where it runs on this machine, else through ROS."""
        domain_id = self._node.context.get_domain_id()
        path = endpoint_path("driver", self._node.get_namespace(), domain_id)
        try:
            answer = call(path, "source", source, ANSWER_S)
        except EndpointError:
            request = SetParameters.Request()
            request.parameters = [Parameter("command_source", value=source).to_parameter_msg()]
            self._parameters.call_async(request)
            return
        if not answer.success:
            self._refuse(f"the driver did not give the robot to {source}: {answer.message}")

    def _refuse(self, text: str) -> None:
        self._node.get_logger().warning(shortened(text), throttle_duration_sec=1.0)

    def _report_error(self, error: Exception) -> None:
        self._node.get_logger().error(f"teleop: {shortened(repr(error))}", throttle_duration_sec=1.0)
