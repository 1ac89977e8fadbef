"""Faults of an emulated ARX-5, and a listener on its bus, for `mivla faults`; see `robots.fault`."""

from __future__ import annotations

import signal
from functools import partial
from typing import Any

import numpy as np
import psutil

from mivla_drivers.contract import PartConfig, RobotContract, backend_options
from mivla_drivers.robots.arx5 import protocol
from mivla_drivers.robots.arx5.emulator import EmulatedArx5, Fault
from mivla_drivers.robots.arx5.model import GRIPPER_MOTOR, JOINTS, MODELS, Model
from mivla_drivers.robots.arx5.options import BackendOptions
from mivla_drivers.robots.fault import EITHER, HOLD, REFUSE, OnCommand, RobotFault
from mivla_drivers.transport.bus_listener import BusListener
from mivla_drivers.transport.can_hub import socket_path
from mivla_drivers.transport.emulated_socketcan import BUS_VARIABLE

SILENT = "no feedback|feedback is|feedback of|not heard|silent|stood at"
SDK = "|SDK"
GIVES_UP = "|gave up"


class CommandListener(BusListener):
    """Decodes the targets of all motors that have gains; a pose counts with the gripper's frame, the last of a round.

    Gripper targets are angles of its motor on the wire; they are told as openings [m].
    """

    rate_hz = 500.0

    def __init__(self, bus_name: str, on_command: OnCommand, options: dict[str, Any]) -> None:
        super().__init__(bus_name, self._hear)
        checked = BackendOptions.model_validate(options)
        model = MODELS[checked.model]
        self._on_command = on_command
        self._places = {identifier: i for i, identifier in enumerate(model.identifiers)}
        self._kinds = dict(model.motors)
        self._metres = checked.gripper_width / checked.gripper_open_readout
        self._pose = np.full(len(self._places), np.nan)

    def _hear(self, can_id: int, data: bytes, now: float) -> None:
        place = self._places.get(can_id)
        if place is None or protocol.instruction_of(data) is not None:
            return
        if not self._kinds[can_id].is_damiao and data[0] >> 5:
            return  # these motors answer with their own identifier: mode bits tell an answer from a command
        command = protocol.decode_command(self._kinds[can_id], data)
        if command.kp <= 0:
            return
        self._pose[place] = command.position * (self._metres if can_id == GRIPPER_MOTOR else 1.0)
        if can_id == GRIPPER_MOTOR:
            self._on_command(now, self._pose.copy())


def set_motor_power(emulator: EmulatedArx5, on: bool) -> None:
    """Cut or give the power of all motors at the arm."""
    emulator.arm.motors.enabled[:] = on


def set_corrupt(emulator: EmulatedArx5, on: bool) -> None:
    """Let every fiftieth answer carry noise."""
    emulator.arm.set_fault(Fault.CORRUPT_FRAMES, on=on)


def make_faults(contract: RobotContract, part: PartConfig) -> list[RobotFault]:
    """What the emulated arm, its bus and the process of its SDK can be given."""
    options = backend_options(BackendOptions, contract, part)
    return [*_wire(), *_motors(), *_sdk(), *_at_start(MODELS[options.model])]


def _wire() -> list[RobotFault]:
    """Answers that do not arrive, or not as they were sent."""
    return [
        _of("silent-bus", "no motor answers, and all go on obeying", Fault.SILENCE, HOLD, SILENT, 0.6),
        RobotFault(
            "bus-cut", "the bus is off for 1.5 s and comes back", _cut, _join, HOLD, SILENT + SDK, 0.6, abrupt=True,
            note="nothing can be commanded on a cut bus: motors hold their last target",
        ),
        RobotFault(
            "bus-gone", "the bus is off for 6 s, longer than an SDK takes to start, and comes back", _cut, _join, HOLD,
            SILENT + SDK, 0.6, lasts_s=6.0, abrupt=True, note="as for `bus-cut`",
        ),
        _of(
            "corrupt-frames", "every fiftieth answer carries noise", Fault.CORRUPT_FRAMES, EITHER, "", abrupt=True,
            note="the SDK ends in its emergency state at once, so motors hold their last target",
        ),
    ]  # fmt: skip


def _motors() -> list[RobotFault]:
    """What one motor does or reports."""
    gives_up: dict[str, Any] = {"abrupt": True, "lasts_s": 4.0}
    return [
        _of(
            "motor-silent", "joint3's motor answers no more, and goes on obeying", Fault.MOTOR_SILENT, HOLD, SILENT,
            0.6,
        ),
        _of(
            "motor-error", "joint5's motor reports over-current and lets go, until it is cleared", Fault.MOTOR_ERROR,
            HOLD, "current", 1.2, motor=5, falls=True,
        ),
        _of(
            "motor-error-shoulder", "joint3's motor reports over-current and lets go", Fault.MOTOR_ERROR, HOLD,
            "current", 1.2, falls=True,
        ),
        _of("joint-held", "somebody holds joint3", Fault.BLOCKED, HOLD, "stood at", 1.3, abrupt=True),
        _of(
            "over-current", "the gripper reports more torque than the SDK allows: its emergency state",
            Fault.OVER_CURRENT, HOLD, SILENT + SDK + GIVES_UP, 0.8, motor=7, gripper_springs=True, **gives_up,
            note="joints rest; an SDK that starts pushes the gripper with the torque that it reports, until it is up",
        ),
        _of(
            "gripper-reading", "the gripper reads far outside its range: the SDK's emergency state",
            Fault.GRIPPER_READING, HOLD, SILENT + SDK + GIVES_UP + "|gripper", 0.8, motor=7, **gives_up,
        ),
    ]  # fmt: skip


def _sdk() -> list[RobotFault]:
    """The process that has the SDK."""
    return [
        RobotFault(
            "sdk-killed", "the process of the SDK is killed", partial(_signal, signal.SIGKILL), _nothing, HOLD,
            SILENT + SDK, 0.8, lasts_s=4.0, abrupt=True,
        ),
        RobotFault(
            "sdk-hung", "the process of the SDK stands still", partial(_signal, signal.SIGSTOP), _nothing, HOLD,
            SILENT + SDK, 0.8, lasts_s=4.0, abrupt=True,
        ),
        RobotFault(
            "sdk-paused", "the process of the SDK stands still for 0.8 s, as on a machine that is busy",
            partial(_signal, signal.SIGSTOP), partial(_signal, signal.SIGCONT), HOLD, SILENT + SDK, 0.8, lasts_s=0.8,
            abrupt=True,
            note="commands begin anew where they ended, at most 0.05 rad from the arm",
        ),
    ]  # fmt: skip


def _at_start(model: Model) -> list[RobotFault]:
    """An arm that is not the contract's, or not as it should be, as a driver starts."""
    other = next(one for one in MODELS.values() if one is not model)
    at_start: dict[str, Any] = {"response": REFUSE, "at_start": True, "lasts_s": 1.0, "most_rad": 0.05}
    return [
        RobotFault(
            "start-other-model", f"the arm is an {other.name}, and a driver of an {model.name} starts",
            partial(_become, other), partial(_become, model), expected=f"expected {model.name} .* found",
            **at_start,
        ),
        RobotFault(
            "start-gripper-outside", "the gripper reads outside its range, and a driver starts", _turn_gripper,
            _turn_gripper_back, expected="gripper: expected .* read", **at_start,
        ),
        RobotFault(
            "start-no-power", "no motor answers, and a driver starts", partial(_set, Fault.SILENCE, 1, True),
            partial(_set, Fault.SILENCE, 1, False), expected="no motor answers", **at_start,
        ),
        RobotFault(
            "start-motor-silent", "joint2's motor does not answer, and a driver starts",
            partial(_set, Fault.MOTOR_SILENT, 2, True), partial(_set, Fault.MOTOR_SILENT, 2, False),
            expected=r"joint2 .* did not answer", **at_start,
        ),
    ]  # fmt: skip


def _of(
    name: str,
    about: str,
    fault: Fault,
    response: str,
    expected: str,
    bound_s: float = 1.0,
    motor: int = 3,
    **more: Any,
) -> RobotFault:
    inject, clear = partial(_set, fault, motor, True), partial(_set, fault, motor, False)
    return RobotFault(name, about, inject, clear, response, expected, bound_s, **more)


def _set(fault: Fault, motor: int, on: bool, emulator: EmulatedArx5) -> None:
    emulator.arm.set_fault(fault, motor=motor, on=on)


def _become(model: Model, emulator: EmulatedArx5) -> None:
    emulator.arm.become(model)


def _turn_gripper(emulator: EmulatedArx5) -> None:
    """Its encoder lost its zero while it had no power; with power it would move the gripper by as much."""
    emulator.arm.motors.enabled[JOINTS] = False
    emulator.arm.gripper_offset = -8.0 * np.sign(emulator.arm.model.gripper_open_readout)


def _turn_gripper_back(emulator: EmulatedArx5) -> None:
    emulator.arm.gripper_offset = 0.0


def _signal(number: signal.Signals, emulator: EmulatedArx5) -> None:
    """Send the worker that speaks on this bus a signal; its keeper waits for it."""
    path = str(socket_path(emulator.arm.bus_name))
    for process in psutil.process_iter():
        try:
            if process.environ().get(BUS_VARIABLE) == path and not process.children():
                process.send_signal(number)
        except psutil.Error:
            continue


def _cut(emulator: EmulatedArx5) -> None:
    emulator.hub.bus_off()


def _join(emulator: EmulatedArx5) -> None:
    emulator.hub.bus_on()


def _nothing(_: EmulatedArx5) -> None:
    """The driver starts another one."""
