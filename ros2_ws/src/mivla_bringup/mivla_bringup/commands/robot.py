"""`mivla robot`: an operator's calls to a running bringup, where no `ros2` command is installed."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import rclpy
from rcl_interfaces.srv import SetParameters
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mivla_drivers import network
from mivla_drivers.control.target_selector import SOURCES
from mivla_drivers.errors import MivlaError

SERVICES = {
    "enable": "driver/enable",
    "stop": "driver/stop",
    "home": "driver/home",
    "disable": "driver/disable",
    "record": "recorder/start",
    "save": "recorder/save",
    "discard": "recorder/discard",
}
HELP = """enable: power the motors and hold, leave a stop or a fault · stop: brake and hold until enable ·
home: go to the home pose · disable: cut the power, THE ARM FALLS, only after a stop ·
record, save, discard: an episode · source: give the robot to policy, teleop or none · say: what the policy is to do"""
ANSWER_S = 10.0
SPOKEN_S = 5.0  # a sentence is latched only as long as its speaker lives


class RobotCallError(MivlaError):
    """The robot's bringup did not answer, or refused."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mivla robot`."""
    parser.add_argument("action", choices=[*SERVICES, "source", "say"], help=HELP)
    parser.add_argument(
        "value", nargs="?", default="", help="of source: policy, teleop or none; of say: a sentence"
    )
    parser.add_argument("--namespace", default="piper", help="the robot's (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Make the call, print the answer.

    Raises:
        RobotCallError: nobody answers, or the answer is a refusal.
    """
    network.apply()
    rclpy.init()
    node = rclpy.create_node("mivla_robot", namespace=args.namespace)
    try:
        print(_act(node, args.action, args.value))
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _act(node: Node, action: str, value: str) -> str:
    if action == "say":
        return _say(node, value)
    if action == "source":
        if value not in SOURCES:
            raise RobotCallError(f"source: expected one of {list(SOURCES)}, got {value!r}")
        request = SetParameters.Request()
        request.parameters = [Parameter("command_source", value=value).to_parameter_msg()]
        (result,) = _call(node, SetParameters, "driver/set_parameters", request).results
        return _granted(result.successful, f"command_source is {value}", result.reason)
    answer = _call(node, Trigger, SERVICES[action], Trigger.Request())
    return _granted(answer.success, answer.message, answer.message)


def _say(node: Node, sentence: str) -> str:
    """Publish the instruction and stay until a policy has heard it."""
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = node.create_publisher(String, "instruction", latched)
    _until(node, lambda: publisher.get_subscription_count() > 0, "a policy that listens on instruction")
    publisher.publish(String(data=sentence))
    publisher.wait_for_all_acked(rclpy.duration.Duration(seconds=SPOKEN_S))
    return f"said {sentence!r}" if sentence else "the policy is paused"


def _call(node: Node, kind, name: str, request):
    client: Client = node.create_client(kind, name)
    _until(node, client.service_is_ready, f"{node.get_namespace()}/{name}: is the bringup running?")
    future = client.call_async(request)
    _until(node, future.done, f"an answer of {name}")
    return future.result()


def _until(node: Node, condition: Callable[[], bool], what: str) -> None:
    patience = time.monotonic() + ANSWER_S
    while not condition():
        if time.monotonic() > patience:
            raise RobotCallError(f"expected {what} within {ANSWER_S:.0f} s, got none")
        rclpy.spin_once(node, timeout_sec=0.05)


def _granted(success: bool, message: str, refusal: str) -> str:
    if not success:
        raise RobotCallError(refusal)
    return message
