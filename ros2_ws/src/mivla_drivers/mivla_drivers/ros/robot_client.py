"""An operator's side of a robot's ROS interfaces: calls, parameters, sentences, and what the robot says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import rclpy
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.client import Client
from rclpy.exceptions import InvalidNamespaceException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.validate_namespace import validate_namespace
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mivla_drivers.errors import MivlaError
from mivla_drivers.ros.instruction import HEARD_S, LATCHED, TOPIC, spoken

if TYPE_CHECKING:
    from mivla_drivers.ros.robot_watch import RobotWatch

ANSWER_S = 10.0  # longest wait for a service and its answer
ASK_AGAIN_S = 2.0  # DDS may lose the answer to a client that was only just discovered
ELSEWHERE_S = 1.0  # after which a robot that others are found beside is not waited for
RECORDER_S = 4.0  # within which a recorder beside a driver that was found is discovered
TICK_S = 0.02
DISCOVERY_TICK_S = 0.005  # nothing wakes a node when another one is discovered
SERVICES = {
    "enable": "driver/enable",
    "stop": "driver/stop",
    "home": "driver/home",
    "disable": "driver/disable",
    "record": "recorder/start",
    "save": "recorder/save",
    "discard": "recorder/discard",
    "reset": "simulator/reset",
}
REPEATABLE = ("enable", "stop", "home", "disable")  # asked twice, they do the same as asked once


class RobotClientError(MivlaError):
    """The robot does not do what was asked."""


class NoAnswer(RobotClientError):
    """Something that was waited for did not come in time."""


class CallRefused(RobotClientError):
    """A node of the robot refused a call."""


class RobotClient:
    """A connected operator of the robot in one namespace; a context manager with a ROS context of its own.

    Call it from one thread. `check` is called while waiting; it raises where waiting has become pointless.
    Its first calls wait for ROS discovery, later ones take milliseconds. What cannot be a namespace is refused with
    a `RobotClientError`.

    Attributes:
        node: for topics that only its user needs.
    """

    def __init__(
        self, namespace: str, name: str = "operator", check: Callable[[], None] | None = None
    ) -> None:
        self.namespace = "/" + namespace.strip("/")
        try:
            validate_namespace(self.namespace)
        except InvalidNamespaceException as error:
            reason = str(error).splitlines()[0]
            raise RobotClientError(
                f"namespace {namespace!r}: expected names joined by '/': {reason}"
            ) from None
        self._check = check
        self._context = rclpy.Context()
        self._context.init()
        self.node: Node = rclpy.create_node(
            name,
            namespace=self.namespace,
            context=self._context,
            enable_rosout=False,  # each service and publisher less is discovered sooner
            start_parameter_services=False,
            use_global_arguments=False,
            parameter_overrides=[Parameter("start_type_description_service", value=False)],
        )
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._clients: dict[str, Client] = {}
        self._watch: RobotWatch | None = None

    def __enter__(self) -> RobotClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the ROS graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    # Waiting

    def spin(self, seconds: float = TICK_S) -> None:
        """Let at most one message or answer arrive, waiting so long for it."""
        if self._check is not None:
            self._check()
        self._executor.spin_once(timeout_sec=seconds)

    def spin_for(self, seconds: float) -> None:
        """Let messages arrive for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.spin(min(left, TICK_S))

    def wait_until(
        self, condition: Callable[[], bool], deadline_s: float, what: str, tick_s: float = TICK_S
    ) -> None:
        """Let messages arrive until `condition` holds.

        Raises:
            NoAnswer: it does not within `deadline_s`; the message says `what` was expected.
        """
        deadline = time.monotonic() + deadline_s
        while not condition():
            if time.monotonic() > deadline:
                raise NoAnswer(f"{self.namespace}: expected {what} within {deadline_s:g} s, got none")
            self.spin(tick_s)

    def wait_for_services(self, names: Iterable[str], deadline_s: float) -> None:
        """Wait for services by their keys in `SERVICES`, or for `NODE/set_parameters`."""
        for name in names:
            parameters = name.endswith("/set_parameters")
            client = self._client(SetParameters if parameters else Trigger, SERVICES.get(name, name))
            self.wait_until(client.service_is_ready, deadline_s, f"service {SERVICES.get(name, name)}")

    # Calls

    def call(self, action: str, deadline_s: float = ANSWER_S) -> str:
        """Call one of `SERVICES`; the node's own words on what came of it.

        Raises:
            CallRefused: the node refused; the message says why.
            NoAnswer: no such node, or it does not answer.
        """
        again = ASK_AGAIN_S if action in REPEATABLE else None
        answer = self._request(Trigger, SERVICES[action], Trigger.Request(), deadline_s, again)
        if not answer.success:
            raise CallRefused(answer.message)
        return answer.message

    def enable(self) -> str:
        """Power the motors and hold; returns once they are up."""
        return self.call("enable")

    def stop(self) -> str:
        """Brake and hold until `enable`."""
        return self.call("stop")

    def home(self) -> str:
        """Start for the home pose, while no source holds the robot; returns at once."""
        return self.call("home")

    def disable(self) -> str:
        """Cut the motors' power: the arm falls. Only after a stop."""
        return self.call("disable")

    def record(self) -> str:
        """Start an episode; its folder."""
        return self.call("record")

    def save(self) -> str:
        """Save the episode under way; its folder and what it holds."""
        return self.call("save")

    def discard(self) -> str:
        """Delete the episode under way."""
        return self.call("discard")

    def select_source(self, source: str) -> str:
        """Give the robot to "policy" or "teleop", or to "none"."""
        self.set_parameters("driver", command_source=source)
        return f"command_source is {source}"

    def reset_simulator(self, **parameters: Any) -> str:
        """A fresh scene; `parameters` of the simulator, such as seed and mode, are set before."""
        if parameters:
            self.set_parameters("simulator", **parameters)
        return self.call("reset")

    def set_parameters(self, node: str, **values: Any) -> None:
        """Set parameters of a node of this robot.

        Raises:
            CallRefused: the node refuses a value; names node, parameter and value.
        """
        request = SetParameters.Request()
        request.parameters = [Parameter(key, value=value).to_parameter_msg() for key, value in values.items()]
        answer = self._request(SetParameters, f"{node}/set_parameters", request, ANSWER_S, ASK_AGAIN_S)
        for name, result in zip(values, answer.results, strict=True):
            if not result.successful:
                raise CallRefused(f"{node}: parameter {name} to {values[name]!r}: {result.reason}")

    def get_parameters(self, node: str, *names: str) -> dict[str, Any]:
        """Parameters of a node of this robot, by name; None for one that it does not have."""
        request = GetParameters.Request(names=list(names))
        answer = self._request(GetParameters, f"{node}/get_parameters", request, ANSWER_S, ASK_AGAIN_S)
        return dict(zip(names, map(parameter_value_to_python, answer.values), strict=True))

    def say(self, sentence: str, deadline_s: float = ANSWER_S) -> str:
        """Say what to do, an empty sentence pauses the policy; who heard it, when all that are there have.

        Whoever listens is the driver's word: it has discovered them all, says the sentence to those that this
        client has not found yet, and keeps it for nodes that start later.

        Raises:
            NoAnswer: there is no active driver.
            CallRefused: nobody but the driver listens, or a listener did not acknowledge.
        """
        self.watch.follow_diagnostics()
        speaker = self.node.create_publisher(String, TOPIC, LATCHED)
        try:
            began = time.monotonic()
            speaker.publish(String(data=sentence))
            what = "an active driver that hears instruction"
            self.wait_until(
                lambda: self._driver_says(began).get("instruction") == sentence,
                deadline_s,
                what,
                DISCOVERY_TICK_S,
            )
            deadline = time.monotonic() + HEARD_S
            while (said := self._driver_says(began))[
                "instruction_heard"
            ] != "True" and time.monotonic() < deadline:
                self.spin()
        finally:
            # Only the driver's copy stays: two latched sentences would reach a late listener in any order.
            self.node.destroy_publisher(speaker)
        listeners = [name for name in said["instruction_listeners"].split(", ") if name]
        answer = spoken(self.namespace, sentence, listeners, said["instruction_heard"] == "True")
        if not answer.success:
            raise CallRefused(answer.message)
        return answer.message

    def _driver_says(self, since: float) -> dict[str, str]:
        """Values of the driver's newest diagnostics, none where they are older than `since` [s, steady clock]."""
        name = f"{self.namespace}/driver".lstrip("/")
        status, when = self.watch.diagnostics.get(name, (None, 0.0))
        return {} if status is None or when < since else {item.key: item.value for item in status.values}

    # What the robot says

    @property
    def watch(self) -> RobotWatch:
        """What the robot says: joints, images, progress, diagnostics; listens from the first use on."""
        if self._watch is None:
            from mivla_drivers.ros.robot_watch import RobotWatch

            self._watch = RobotWatch(self.node)
        return self._watch

    def namespaces(self) -> list[str]:
        """Namespaces in which a driver was discovered so far."""
        found = self.node.get_node_names_and_namespaces()
        return sorted({namespace for name, namespace in found if name == "driver"})

    def wait_for_driver(self, deadline_s: float = ANSWER_S) -> None:
        """Wait until this robot's driver is discovered.

        Raises:
            NoAnswer: it is not; names the namespaces that have one, and waits no longer once there are some.
        """
        start = time.monotonic()
        while self.namespace not in (found := self.namespaces()):
            elapsed = time.monotonic() - start
            if found and elapsed > ELSEWHERE_S:
                raise NoAnswer(f"{self.namespace}: expected a driver, found drivers in {', '.join(found)}")
            if elapsed > deadline_s:
                raise NoAnswer(
                    f"{self.namespace}: expected a driver within {deadline_s:g} s, found none in any namespace: "
                    f"is a bringup running, with ROS_DOMAIN_ID {self._context.get_domain_id()}?"
                )
            self.spin(DISCOVERY_TICK_S)

    def wait_for_recorder(self, deadline_s: float = RECORDER_S) -> None:
        """Wait until this robot's recorder is discovered.

        Raises:
            NoAnswer: it is not.
        """
        client = self._client(Trigger, SERVICES["record"])
        what = "a recorder: start the bringup with record:=true"
        self.wait_until(client.service_is_ready, deadline_s, what, DISCOVERY_TICK_S)

    # ROS

    def _client(self, kind: Any, name: str) -> Client:
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        return self._clients[name]

    def _request(
        self, kind: Any, name: str, request: Any, deadline_s: float, again_s: float | None = None
    ) -> Any:
        """The answer of a service; asks again every `again_s` while there is none."""
        client = self._client(kind, name)
        what = f"{self.namespace}/{name}: is the bringup running?"
        self.wait_until(client.service_is_ready, deadline_s, what, DISCOVERY_TICK_S)
        futures = [client.call_async(request)]
        asked = time.monotonic()

        def answered() -> bool:
            nonlocal asked
            if again_s is not None and time.monotonic() > asked + again_s:
                futures.append(client.call_async(request))
                asked = time.monotonic()
            return any(future.done() for future in futures)

        self.wait_until(answered, deadline_s, f"an answer of {self.namespace}/{name}")
        return next(future.result() for future in futures if future.done())
