"""An emulated PiPER on an emulated bus: the controller's thread, its bus and its faults."""

from __future__ import annotations

import threading
from typing import Any

import can
import numpy as np

from mivla_drivers.contract import PartConfig, RobotContract
from mivla_drivers.control.control_loop import ControlLoop
from mivla_drivers.errors import HardwareError
from mivla_drivers.robots.emulator import emulated_name
from mivla_drivers.robots.piper import protocol
from mivla_drivers.robots.piper.faults import MOTOR_FAULTS, Fault
from mivla_drivers.robots.piper.firmware import JOINTS, PiperFirmware
from mivla_drivers.robots.piper.firmware_faults import clear_from, inject_into
from mivla_drivers.robots.piper.plant_faults import PlantFaults
from mivla_drivers.robots.piper.wire_faults import WireFaults
from mivla_drivers.robots.plant import KinematicPlant, Plant
from mivla_drivers.transport.bus_connection import BusConnection
from mivla_drivers.transport.can_hub import FRAME, CanHub

LOWEST_COMMAND_RATE_HZ, COMMAND_RATE_HZ = 100.0, 200.0  # how often commands are read and motors are told
SLOW_FEEDBACK_SHARE = 5  # slow frames come with every fifth batch of fast ones: 40 Hz of 200 Hz
LONGEST_STEP_S = 0.05  # after a stall the motors go on from where they were, without a jump

WIRE_FAULTS = frozenset({
    Fault.SILENCE, Fault.LOST_FRAMES, Fault.FROZEN_FRAMES, Fault.CORRUPT_FRAMES, Fault.ERROR_FRAMES,
    Fault.REMOTE_FRAMES, Fault.EXTENDED_FRAMES, Fault.SHORT_FRAMES, Fault.LEADER_IDS, Fault.LOST_COMMANDS,
    Fault.SPIKE,
})  # fmt: skip
PLANT_FAULTS = frozenset({
    Fault.ALL_ZERO, Fault.READING, Fault.HIDDEN_OFFSET, Fault.LAG, Fault.SAG, Fault.BLOCKED, Fault.GRIPPER_STUCK
})  # fmt: skip
OLD_VERSION, OLD_ZERO_OFFSET = "S-V1.5-2", -0.034907  # before S-V1.6-3, and joint2's zero_offset [rad] there
SECOND_ARM_POSE = (0.0, 0.8, 0.0, 0.0, 0.0, 0.0, 0.0)


def make_emulator(
    contract: RobotContract, part: PartConfig, plant: Plant, feedback_rate_hz: float
) -> EmulatedPiper:
    """The PiPER that is `part` of a robot, on an emulated bus of its own.

    Raises:
        ContractError: the part's bus is a real one.
        HardwareError: its name cannot be a bus's, or the feedback rate is not above zero.
    """
    # joint2's zero differs between firmwares, so the contract says which one its arm has.
    old = contract.zero_offset[part.joint_indices[1]] < OLD_ZERO_OFFSET / 2
    emulated = EmulatedPiper(emulated_name(part), plant, feedback_rate_hz)
    if old:
        emulated.arm.firmware = PiperFirmware(dh_offset=0, version=OLD_VERSION)
    return emulated


class EmulatedPiper:
    """An emulated arm together with the bus that it is alone on."""

    def __init__(self, bus_name: str, plant: Plant, feedback_rate_hz: float) -> None:
        """As `PiperArm`; `start` opens the bus."""
        self.hub = CanHub(bus_name)
        self.arm = PiperArm(bus_name, plant, feedback_rate_hz=feedback_rate_hz)

    def start(self) -> None:
        """Open the bus and bring the arm on it.

        Raises:
            HardwareError: another hub of this name runs.
        """
        self.hub.start_with(self.arm.start)

    def close(self) -> None:
        """End the arm, then its bus."""
        self.arm.close()
        self.hub.close()


class PiperArm:
    """A PiPER that moves a `Plant`: obeys commands, and sends feedback at a rate of its own.

    Feedback comes at the arm's real rates where `feedback_rate_hz` is 200: 14 frames 200 times a second and 6
    frames 40 times. Another value scales both (50: 14 at 50 Hz, 6 at 10 Hz), which spares a small machine the
    decoding; a value above `COMMAND_RATE_HZ` counts as that. All frames of a batch leave in one packet.
    Commands are obeyed 200 times a second, or twice for each batch where that is less, but never below 100.
    """

    def __init__(
        self,
        bus_name: str,
        plant: Plant,
        feedback_rate_hz: float = 200.0,
        enabled: bool = False,
        dh_offset: int = 1,
    ) -> None:
        """Connect an arm to a plant of seven joints (six and the gripper); `start` brings it on the bus.

        Args:
            bus_name: name of the `CanHub`.
            plant: what the motors move; a `KinematicPlant` is moved on by the arm itself.
            feedback_rate_hz: batches of fast feedback a second.
            enabled: whether the motors start with power, holding the plant's pose.
            dh_offset: geometry of the reported flange pose: 1 for firmware S-V1.6-3 and later, 0 for older.

        Raises:
            HardwareError: a feedback rate that is not above zero.
        """
        if not feedback_rate_hz > 0:
            raise HardwareError(
                f"emulated PiPER: feedback_rate_hz: expected a number above 0, got {feedback_rate_hz}"
            )
        self.bus_name = bus_name
        self.firmware = PiperFirmware(enabled=enabled, dh_offset=dh_offset)
        self._plant = plant
        self._period = 1.0 / feedback_rate_hz
        self._connection = BusConnection(bus_name, "emulated PiPER")
        rate = min(max(2 * feedback_rate_hz, LOWEST_COMMAND_RATE_HZ), COMMAND_RATE_HZ)
        self._loop = ControlLoop(self.step, rate, on_error=self._connection.report, name=f"piper-{bus_name}")
        self._last_step: float | None = None
        self._next_feedback = 0.0
        self._batches = 0
        self._lock = threading.Lock()  # of faults, between the arm's thread and those who inject
        self._injected: set[Fault] = set()
        self._wire, self._mechanics = WireFaults(), PlantFaults()
        self._second: _SecondArm | None = None
        self._foreign = b""

    def __enter__(self) -> PiperArm:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Join the bus and start the arm's thread.

        Raises:
            HardwareError: no hub of that name runs.
        """
        self._connection.open()
        self._loop.start()

    def close(self) -> None:
        """End the thread and leave the bus; the plant keeps its last order."""
        self._loop.stop()
        self._connection.close()

    @property
    def running(self) -> bool:
        """Whether the arm's thread is alive."""
        return self._loop.running

    def step(self, now: float) -> None:
        """Obey what has arrived, move, and send the feedback that is due at `now` [s, steady clock].

        A bus that fails is left and opened again as soon as it can be; meanwhile the arm goes on.
        """
        try:
            with self._lock:
                self._listen(now)
                self._move(now)
                self._speak(now)
        except can.CanError as error:
            self._connection.lose(error, now)

    # Faults

    def inject(self, fault: Fault, **options: Any) -> None:
        """Break something, from any thread; takes effect with the next step and lasts until `clear`.

        Args:
            fault: what; several may hold at a time, and injecting one again replaces its options.
            options: of that fault, see `Fault`.

        Raises:
            HardwareError: an option that the fault does not have, or a joint that there is not.
        """
        last = (
            JOINTS if fault in (Fault.JOINT_COMMUNICATION, Fault.STORED_LIMITS, Fault.BLOCKED) else JOINTS + 1
        )
        joint = options.get("joint", 1)
        if joint not in range(0 if fault is Fault.POWER_LOST else 1, last + 1):
            raise HardwareError(
                f"emulated PiPER: fault {fault.name}: expected a joint of 1..{last}, got {joint}"
            )
        with self._lock:
            try:
                self._inject(fault, options)
                self._injected.add(fault)
            except TypeError as error:
                raise HardwareError(f"emulated PiPER: fault {fault.name}: {error}") from error

    def clear(self, fault: Fault | None = None) -> None:
        """Mend a fault, or all of them; what has happened to arm and motors meanwhile stays."""
        with self._lock:
            for each in tuple(self._injected) if fault is None else (fault,):
                self._injected.discard(each)
                self._clear(each)

    def silence(self, on: bool = True) -> None:
        """Stop sending, or send again; short for `inject(Fault.SILENCE)`."""
        if on:
            self.inject(Fault.SILENCE)
        else:
            self.clear(Fault.SILENCE)

    @property
    def true_position(self) -> np.ndarray:
        """Where the arm is, whatever it reads: joints [rad] and opening [m], shape (7,)."""
        return self._plant.state().position.copy()

    def _inject(self, fault: Fault, options: dict[str, Any]) -> None:
        if fault in WIRE_FAULTS:
            self._wire.inject(fault, **options)
        elif fault in PLANT_FAULTS:
            self._mechanics.inject(fault, **options)
        elif fault in MOTOR_FAULTS:
            self._motor_fault(fault, **options)
        elif fault is Fault.SECOND_ARM:
            self._second = _SecondArm(**options)
        elif fault is Fault.FOREIGN_COMMANDS:
            self._foreign = _joint_commands(**options)
        else:
            inject_into(self.firmware, fault, **options)

    def _clear(self, fault: Fault) -> None:
        if fault in WIRE_FAULTS:
            self._wire.clear(fault)
        elif fault in PLANT_FAULTS:
            self._mechanics.clear(fault)
        elif fault in MOTOR_FAULTS:
            self.firmware.motor_faults &= ~fault.value
        elif fault is Fault.SECOND_ARM:
            self._second = None
        elif fault is Fault.FOREIGN_COMMANDS:
            self._foreign = b""
        else:
            clear_from(self.firmware, fault)

    def _motor_fault(self, fault: Fault, joint: int = 1) -> None:
        self.firmware.motor_faults[joint - 1] |= fault.value

    # The period

    def _listen(self, now: float) -> None:
        if self._connection.bus is None:
            self._connection.join_again(now)
            return
        frames = [frame for frame in self._connection.bus.receive_frames() if self._wire.hears(frame[0])]
        answers = b"".join([self.firmware.receive(*frame, now=now) for frame in frames])
        if self._second is not None:
            answers += b"".join([self._second.firmware.receive(*frame, now=now) for frame in frames])
        self._send(answers)

    def _move(self, now: float) -> None:
        dt = 0.0 if self._last_step is None else min(now - self._last_step, LONGEST_STEP_S)
        self._last_step = now
        state = self._plant.state()
        setpoint, enabled = self.firmware.step(self._mechanics.sensed(state), now, dt)
        self._plant.drive(self._mechanics.driven(setpoint, enabled, state, dt), enabled)
        if isinstance(self._plant, KinematicPlant):
            self._plant.advance(dt)
        if self._second is not None:
            self._second.move(now, dt)

    def _speak(self, now: float) -> None:
        if now < self._next_feedback:
            return
        # Deadlines follow each other; only after a stall does the series start anew.
        late = now - self._next_feedback
        self._next_feedback = (
            now + self._period if late > self._period else self._next_feedback + self._period
        )
        slow = self._batches % SLOW_FEEDBACK_SHARE == 0
        self._batches += 1
        for firmware in [self.firmware] + ([] if self._second is None else [self._second.firmware]):
            self._send(firmware.fast_feedback() + (firmware.slow_feedback() if slow else b""))
        if self._foreign:
            for frame_id, length, data in FRAME.iter_unpack(self._foreign):
                self.firmware.receive(frame_id, length, data, now)
            self._send(self._foreign)

    def _send(self, frames: bytes) -> None:
        arrives = self._wire.sent(frames) if frames else b""
        if arrives and self._connection.bus is not None:
            self._connection.bus.send_frames(arrives, timeout=0.0)


class _SecondArm:
    """Another PiPER with the same identifiers on the same bus."""

    def __init__(self, position: tuple[float, ...] = SECOND_ARM_POSE) -> None:
        self.firmware = PiperFirmware()
        self._plant = KinematicPlant(np.array(position, dtype=float), velocity_limit=3.0)
        self.firmware.step(self._plant.state(), 0.0, 0.0)

    def move(self, now: float, dt: float) -> None:
        """Go on for `dt` [s]."""
        self._plant.drive(*self.firmware.step(self._plant.state(), now, dt))
        self._plant.advance(dt)


def _joint_commands(target: tuple[float, ...] = SECOND_ARM_POSE) -> bytes:
    """The frames of another program that sends joint targets [rad], shape (6,) or (7,)."""
    return b"".join(
        protocol.frame(frame_id, protocol.encode_joint_pair(*target[2 * pair : 2 * pair + 2]))
        for pair, frame_id in enumerate(protocol.JOINT_CONTROL)
    )
