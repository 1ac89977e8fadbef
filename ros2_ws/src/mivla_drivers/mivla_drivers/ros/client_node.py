"""A ROS node of a program that calls and waits: it spins while it waits, and gives up at a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.client import Client
from rclpy.exceptions import InvalidNamespaceException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.validate_namespace import validate_namespace

from mivla_drivers.errors import MivlaError

TICK_S = 0.02
DISCOVERY_TICK_S = 0.005  # nothing wakes a node when another one is discovered


class RobotClientError(MivlaError):
    """The robot does not do what was asked."""


class NoAnswer(RobotClientError):
    """Something that was waited for did not come in time."""


class CallRefused(RobotClientError):
    """A node of the robot refused a call."""


class ClientNode:
    """A node in one namespace, with a ROS context of its own; a context manager.

    Use it from one thread. What cannot be a namespace is refused with a `RobotClientError`.

    Attributes:
        node: for topics that only its user needs.
        check: called before each wait of at most `TICK_S`; it raises where waiting has become pointless.
    """

    def __init__(
        self, namespace: str, name: str = "operator", check: Callable[[], None] | None = None
    ) -> None:
        self.namespace = "/" + namespace.strip("/")
        try:
            validate_namespace(self.namespace)
        except InvalidNamespaceException as error:
            reason = str(error).splitlines()[0].rstrip(":")
            raise RobotClientError(
                f"namespace {namespace!r}: expected names joined by '/': {reason}"
            ) from None
        self.check = check
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

    def __enter__(self) -> ClientNode:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the ROS graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def spin(self, seconds: float = TICK_S) -> None:
        """Let at most one message or answer arrive, waiting so long for it."""
        if self.check is not None:
            self.check()
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

    def client(self, kind: Any, name: str) -> Client:
        """The client of a service of this namespace; made at its first use."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        return self._clients[name]

    def request(
        self, kind: Any, name: str, request: Any, deadline_s: float, again_s: float | None = None
    ) -> Any:
        """The answer of a service; asks again every `again_s` while there is none."""
        client = self.client(kind, name)
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
