"""What operators may call on the driver node: its services, and the same without ROS on the operator endpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from mivla_drivers.control.driver import Driver
from mivla_drivers.control.driver_report import Mode
from mivla_drivers.control.driver_thread import DriverThread
from mivla_drivers.control.target_selector import SOURCES
from mivla_drivers.errors import CommandRefused
from mivla_drivers.ros.chunk_listener import ChunkListener
from mivla_drivers.ros.instruction import InstructionKeeper
from mivla_drivers.ros.node_endpoint import in_executor
from mivla_drivers.ros.operator_endpoint import Answer
from mivla_drivers.ros.source_parameter import SourceParameter

POLL_S = 0.02
SERVICES: dict[str, Callable[[Driver], None]] = {
    "stop": Driver.stop,
    "disable": Driver.disable,
    "home": Driver.home,
}
ACTIONS = ("enable", *SERVICES, "source", "say")


class DriverServices:
    """Serves `~/enable`, `~/stop`, `~/disable` and `~/home`, and answers the endpoint's `ACTIONS`."""

    def __init__(
        self,
        node: Node,
        driver: Callable[[], DriverThread | None],
        listeners: Mapping[str, ChunkListener],
        source: SourceParameter,
        instruction: InstructionKeeper,
    ) -> None:
        """`driver` gives the running driver, None while the node is not configured; `listeners` are per source."""
        self._node, self._driver, self._listeners = node, driver, listeners
        self._source, self._instruction = source, instruction
        self._enabling: list[Future] = []
        waiting = MutuallyExclusiveCallbackGroup()  # in the node's own, it would lock out all others
        node.create_service(Trigger, "~/enable", self._enable, callback_group=waiting)
        for name in SERVICES:
            node.create_service(Trigger, f"~/{name}", partial(self._serve, name))

    def ask(self, request: Callable[[Driver], None]) -> str:
        """Put an operator's request to the driver; why it was refused, or nothing."""
        driver = self._driver()  # another thread may clean up meanwhile
        if driver is None:
            return "the driver node is not configured: configure and activate it first"
        try:
            driver.call(request)
        except CommandRefused as error:
            return str(error)
        return ""

    def choose(self, source: str) -> str:
        """Give the robot to a source, and there to whoever speaks next; why it was refused, or nothing."""

        def choose(driver: Driver) -> None:
            driver.select_source(source)  # refused, it leaves the robot to the publisher that has it
            for listener in list(self._listeners.values()):
                listener.reset()

        return self.ask(choose)

    def answer(self, action: str, value: str) -> Answer:
        """An operator's call, in the endpoint's thread: a stop must not wait for the executor's turn."""
        if action == "say":
            return self._instruction.say(value)
        if action == "source":
            return self._give(value)
        refusal = self.ask(Driver.enable if action == "enable" else SERVICES[action])
        if refusal:
            return Answer(False, refusal)
        mode, message = self._state()
        while action == "enable" and mode == Mode.ENABLING.value:
            time.sleep(POLL_S)
            mode, message = self._state()
        return Answer(action != "enable" or mode == Mode.ACTIVE.value, message)

    def answer_enabling(self) -> None:
        """The driver is not enabling, or not any more: answer those who wait for it."""
        while self._enabling:
            self._enabling.pop().set_result(None)

    async def _enable(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Answers once motors have power, or do not come up; other services go on meanwhile."""
        response.message = self.ask(Driver.enable)
        if not response.message:
            answered: Future = Future(executor=self._node.executor)
            self._enabling.append(answered)
            await answered
            mode, response.message = self._state()
            response.success = mode == Mode.ACTIVE.value
        return response

    def _serve(self, name: str, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        refusal = self.ask(SERVICES[name])
        response.success = not refusal
        response.message = refusal or self._state()[1]
        return response

    def _state(self) -> tuple[str, str]:
        """Mode of the driver, and its state in a sentence."""
        driver = self._driver()
        if driver is None:
            return "", "the driver node is not configured"
        state = driver.diagnostics()
        return str(state.values["mode"]), state.message

    def _give(self, source: str) -> Answer:
        """Give the robot to a source at once, and the parameter follows; only that where no driver runs yet."""
        driver = self._driver()
        if driver is None or not driver.is_running or source not in SOURCES:
            return in_executor(self._node, self._select, source)
        refusal = self.choose(source)
        return Answer(False, refusal) if refusal else self._selected(source)

    def _select(self, source: str) -> Answer:
        """Set the parameter, and with it the driver's source."""
        refusal = self._source.set(source)
        return Answer(False, refusal) if refusal else self._selected(source)

    def _selected(self, source: str) -> Answer:
        """That a source has the robot; says so where the robot will not follow it yet."""
        mode, message = self._state()
        unless = "" if mode == Mode.ACTIVE.value else f", but the driver does not move: {message}"
        return Answer(True, f"command_source is {source}{unless}")
