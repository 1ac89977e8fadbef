"""The `driver` node: ROS shell around `Driver`.

In: `policy/joint_trajectory`, `teleop/joint_trajectory`, of bounded size and of one publisher each. Out:
`joint_states`, each measurement once, stamped with its receipt; `joint_commands`, what was commanded then;
`driver/in_control`, latched: which source has the robot; `/diagnostics`. In and out: `instruction`, which it
keeps for nodes that start later; an empty sentence has the robot of a policy hold. Parameters: `command_source`, which
a stop, a fault and silence set to "none"; `reduced_speed`, which keeps the tool at 250 mm/s. Services: `~/enable` gives
power and holds; `~/stop` brakes and holds with powered motors; `~/home`; `~/disable` cuts power and the arm FALLS, so
it is refused until `~/stop` was called. An operator of this machine reaches all this without waiting for ROS discovery
(operator_endpoint.py). On SIGINT, SIGTERM, SIGHUP and SIGQUIT, and when its launcher dies, the arm brakes, and its
firmware goes on holding it.
All this is no emergency stop: a robot needs one in hardware.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from mivla_drivers.contract import load_contract
from mivla_drivers.control.driver import Driver
from mivla_drivers.control.driver_report import Mode, StepReport
from mivla_drivers.control.driver_thread import DriverThread
from mivla_drivers.control.target_selector import SOURCES
from mivla_drivers.errors import ContractError, HardwareError, MivlaError
from mivla_drivers.robots import DEFAULT_ROBOT
from mivla_drivers.ros.chunk_listener import ChunkListener
from mivla_drivers.ros.driver_diagnostics import DriverDiagnostics
from mivla_drivers.ros.driver_services import ACTIONS, DriverServices
from mivla_drivers.ros.failure_reporter import FailureReporter
from mivla_drivers.ros.in_control import InControlTeller
from mivla_drivers.ros.instruction import InstructionKeeper
from mivla_drivers.ros.joint_state_publisher import JointStatePublisher
from mivla_drivers.ros.node_endpoint import open_endpoint
from mivla_drivers.ros.operator_endpoint import OperatorEndpoint
from mivla_drivers.ros.other_drivers import OtherDrivers
from mivla_drivers.ros.parameters import ParameterSpec, declare
from mivla_drivers.ros.repeater import Repeater
from mivla_drivers.ros.robot_checks import require_emulated, require_reducible
from mivla_drivers.ros.source_parameter import SourceParameter
from mivla_drivers.ros.spin import spin
from mivla_drivers.text import shortened
from mivla_drivers.transport.bus_lock import BusTaken

TICK_S = 0.05
LOOK_S = 0.2  # from one look for other drivers to the next
RETRY_S = 1.0
GIL_TURN_S = 0.0005  # the control thread must get its turn while messages are being parsed
PARAMETERS = {
    "robot": ParameterSpec(
        DEFAULT_ROBOT, "a robot's name or the path of a robot.yaml", fixed=False, check=load_contract
    ),
    "bus": ParameterSpec("", "the arm's bus; empty takes the contract's", fixed=False),
    "simulated": ParameterSpec(False, "speak on no bus but an emulated one"),
    "command_source": ParameterSpec("none", "who moves the robot", choices=tuple(SOURCES), fixed=False),
    "reduced_speed": ParameterSpec(False, "keep the tool at 250 mm/s", fixed=False),
    "autostart": ParameterSpec(False, "configure, activate and enable the motors at the start", fixed=False),
    "joint_state_rate_hz": ParameterSpec(
        50.0, "how often joint_states is published [Hz]", minimum=1.0, maximum=1000.0, fixed=False
    ),
}
PAUSED = "paused by an empty sentence, the arm holds: say what to do to go on"


class DriverNode(LifecycleNode):
    """Messages in, messages out, nothing decided here."""

    _endpoint: OperatorEndpoint | None = None  # also of a node that is destroyed before it was made
    _teller: Repeater | None = None
    _ending = False

    def __init__(self) -> None:
        super().__init__("driver")
        declare(self, PARAMETERS)
        self._driver: DriverThread | None = None
        self._failure: MivlaError | None = None
        self._failures = FailureReporter(self)
        self._listeners: dict[str, ChunkListener] = {}
        self._paused: bool | None = None  # whether the newest sentence was empty; None before the first
        self._source = SourceParameter(self)
        self.add_on_set_parameters_callback(self._check_reduced)
        self.add_post_set_parameters_callback(self._apply_parameters)
        self._joint_states = JointStatePublisher(self, lambda: self._value("joint_state_rate_hz"))
        self._in_control = InControlTeller(self)
        diagnostics = self.create_lifecycle_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(TICK_S, self._tick)
        self._others = OtherDrivers(self, self._hold_beside)
        self.create_timer(LOOK_S, self._others.look)
        self._retry = self.create_timer(RETRY_S, self._autostart, autostart=self._value("autostart"))
        self._instruction = InstructionKeeper(self, self._heed)
        self._operator = DriverServices(
            self, lambda: self._driver, self._listeners, self._source, self._instruction
        )
        self._diagnostics = DriverDiagnostics(self, diagnostics, self._instruction, self._joint_states.age_s)
        self._endpoint = open_endpoint(self, ACTIONS, self._operator.answer)
        self._teller = Repeater(self._publish_diagnostics, TICK_S, self._report_error, "diagnostics")

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the contract and open the bus; fails with a message where either cannot be done."""
        try:
            self._contract = load_contract(self._value("robot"), self._value("bus"))
            if self._value("simulated"):
                require_emulated(self._contract)
            require_reducible(self._contract, self._value("reduced_speed"))
            self._driver = DriverThread(self._contract, self._publish)
        except (ContractError, HardwareError) as error:
            self._failure = error
            self._failures.report(error, tries_again=self._value("autostart"))
            return TransitionCallbackReturn.FAILURE
        for source in SOURCES[1:]:
            notice = self._diagnostics.notice
            self._listeners[source] = ChunkListener(self, source, self._contract, self._driver, notice)
        self._pause()  # as the newest sentence says, which may have come before there was a driver
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the control thread; motors are commanded only after ~/enable."""
        assert self._driver is not None
        self._joint_states.restart()
        done = super().on_activate(state)
        self._driver.start()
        self._driver.call(lambda driver: driver.set_reduced(self._value("reduced_speed")))
        self._select_parameter(self._source.value)
        return done

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Brake, hold, and end the control thread; motors keep their power."""
        assert self._driver is not None
        self._driver.halt()
        self._follow(self._driver.call_always(lambda driver: driver.source))
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave the bus."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Brake, hold, and leave the bus."""
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def end(self) -> None:
        """`close`, and do not tell of the stop that ends it as if an operator had called for it."""
        self._ending = True
        self.close()

    def close(self) -> None:
        """Brake, leave the arm holding with powered motors, and leave the bus."""
        if self._driver is not None:
            self._driver.close()
            self._driver = None
        while self._listeners:
            self._listeners.popitem()[1].close()

    def _autostart(self) -> None:
        """Configure, activate and enable once the robot is there; one that another driver has is given up."""
        if self._driver is None and self.trigger_configure() is not TransitionCallbackReturn.SUCCESS:
            if isinstance(self._failure, (BusTaken, ContractError)):
                raise self._failure
            return
        self.trigger_activate()
        self._operator.ask(Driver.enable)
        self._retry.cancel()

    def _publish(self, report: StepReport) -> None:
        """Who has the robot, what it measured and what it was told; from the control thread."""
        self._in_control.tell(report.in_control)
        self._joint_states.publish(self._contract, report)

    def _tick(self) -> None:
        """Answer those who wait for enable, and show in the parameter which source the driver follows."""
        driver = self._driver
        if driver is None:
            self._operator.answer_enabling()
            return
        mode, source = driver.call_always(lambda driver: (driver.mode, driver.source))
        if mode is not Mode.ENABLING:
            self._operator.answer_enabling()
        self._follow(source)

    def _publish_diagnostics(self) -> None:
        """The diagnostics, in a thread of their own."""
        driver = self._driver
        if driver is not None and not self._ending:
            self._diagnostics.publish(driver, self._contract.bus)

    def _report_error(self, error: Exception) -> None:
        self.get_logger().error(f"diagnostics: {shortened(repr(error))}", throttle_duration_sec=1.0)

    def _heed(self, sentence: str) -> None:
        """An empty sentence pauses the policy: its robot holds at once, whatever the policy still sends."""
        self._paused = not sentence
        self._pause()

    def _pause(self) -> None:
        """Pause the policy or let it go on, as the newest sentence says."""
        driver, listener = self._driver, self._listeners.get("policy")
        if driver is None or listener is None or self._paused is None:
            return
        listener.pause(self._paused)
        if self._paused:
            driver.call_always(partial(Driver.pause, source="policy", reason=PAUSED))
        else:
            driver.call_always(partial(Driver.resume, source="policy"))

    def _hold_beside(self, others: str) -> None:
        """Another driver speaks in this namespace: hold, since one source would move both robots."""
        self._diagnostics.notice(others)
        self.get_logger().error(others, throttle_duration_sec=5.0)
        self._operator.ask(lambda driver: driver.fail(others) if driver.mode is Mode.ACTIVE else None)

    def _follow(self, source: str) -> None:
        """The driver follows `source` now, which the parameter shows and whoever records hears."""
        self._in_control.tell(source)
        self._source.follow(source)

    def _select_parameter(self, source: str) -> None:
        """Give the robot to the source that the parameter names; taken away later, the parameter follows."""
        if not self._operator.choose(source):
            self._source.followed = source

    def destroy_node(self) -> None:
        """Leave the ROS graph, and answer no operator any more."""
        if self._teller is not None:
            self._teller.close()
        if self._endpoint is not None:
            self._endpoint.close()
        super().destroy_node()

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _check_reduced(self, parameters: list[Parameter]) -> SetParametersResult:
        """Refuse a reduced speed that this robot cannot keep."""
        try:
            for parameter in parameters:
                if parameter.name == "reduced_speed" and self._driver is not None:
                    require_reducible(self._contract, bool(parameter.value))
        except ContractError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_parameters(self, parameters: list[Parameter]) -> None:
        for parameter in parameters:
            if parameter.name == "command_source" and not self._source.mirroring:
                self._select_parameter(parameter.value)
            elif parameter.name == "reduced_speed":
                self._operator.ask(
                    partial(Driver.set_reduced, on=parameter.value)
                )  # else at the next activation


def main() -> int:
    """Run the node until a signal or its launcher's death ends it; 1 where the robot cannot be driven from here."""
    sys.setswitchinterval(GIL_TURN_S)
    return spin(DriverNode, DriverNode.end)


if __name__ == "__main__":
    sys.exit(main())
