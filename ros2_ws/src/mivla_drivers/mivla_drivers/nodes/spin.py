"""How a node that owns hardware runs and ends."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import TypeVar

import rclpy
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from mivla_drivers.errors import MivlaError
from mivla_drivers.process_environment import prepare

AnyNode = TypeVar("AnyNode", bound=Node)

LONGEST_WAIT_S = 0.2  # Python sees a signal only between two waits; a node without timers would wait for ever


def spin(make_node: Callable[[], AnyNode], close: Callable[[AnyNode], None]) -> int:
    """Run a node until SIGINT or SIGTERM, then `close` it; exit code 1 where it refuses to start or gives up.

    rclpy's own signal handlers would take the ROS graph away first, and a second Ctrl-C the rest.
    """
    try:
        prepare()
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    # RuntimeError is RCLError: a parameter file that is no YAML, a word that ROS does not know.
    except (MivlaError, RuntimeError) as error:
        print(f"mivla: {error}", file=sys.stderr)
        return 1
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # a shell starts what runs in its background deaf to Ctrl-C
        signal.signal(number, signal.default_int_handler)
    try:
        node = make_node()
    except (MivlaError, InvalidParameterTypeException) as error:
        print(f"mivla: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    code = 0
    try:
        while rclpy.ok():
            executor.spin_once(timeout_sec=LONGEST_WAIT_S)
    except (KeyboardInterrupt, ExternalShutdownException):
        node.get_logger().info("stopping")
    except MivlaError as error:
        print(f"mivla: {error}", file=sys.stderr)
        code = 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        close(node)
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return code
