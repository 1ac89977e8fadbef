"""An emulated PiPER on an emulated bus: the controller's thread, its bus and its faults."""

from __future__ import annotations

import logging
import random
from enum import Enum

import can

from mivla_drivers.contract import PartConfig, RobotContract
from mivla_drivers.control.control_loop import ControlLoop
from mivla_drivers.errors import HardwareError
from mivla_drivers.robots.emulator import emulated_name
from mivla_drivers.robots.piper import protocol
from mivla_drivers.robots.piper.firmware import JOINTS, PiperFirmware
from mivla_drivers.robots.plant import KinematicPlant, Plant
from mivla_drivers.transport.can_hub import FRAME, CanHub
from mivla_drivers.transport.emulated_can import EmulatedCanBus

LOWEST_COMMAND_RATE_HZ, COMMAND_RATE_HZ = 100.0, 200.0  # how often commands are read and motors are told
SLOW_FEEDBACK_SHARE = 5  # slow frames come with every fifth batch of fast ones: 40 Hz of 200 Hz
LONGEST_STEP_S = 0.05  # after a stall the motors go on from where they were, without a jump
REOPEN_PERIOD_S = 0.25

logger = logging.getLogger(__name__)


class Fault(Enum):
    """What a test can break; a value that names a bit is that bit of a motor driver's status byte."""

    SILENCE = "silence"  # the arm stops sending, and goes on obeying
    CORRUPT_FRAMES = "corrupt frames"  # one frame of each batch carries noise or is cut short
    JOINT_COMMUNICATION = "joint communication"  # the controller no longer reaches a joint
    LOW_VOLTAGE = protocol.LOW_VOLTAGE
    MOTOR_HOT = protocol.MOTOR_HOT
    OVER_CURRENT = protocol.OVER_CURRENT
    DRIVER_HOT = protocol.DRIVER_HOT
    COLLISION = protocol.COLLISION
    DRIVER_ERROR = protocol.DRIVER_ERROR
    MOTOR_STALLED = protocol.MOTOR_STALLED


def make_emulator(
    contract: RobotContract, part: PartConfig, plant: Plant, feedback_rate_hz: float
) -> EmulatedPiper:
    """The PiPER that is `part` of a robot, on an emulated bus of its own.

    Raises:
        ContractError: the part's bus is a real one.
        HardwareError: its name cannot be a bus's, or the feedback rate is not above zero.
    """
    return EmulatedPiper(emulated_name(part), plant, feedback_rate_hz)


class EmulatedPiper:
    """An emulated arm together with the bus that it is alone on."""

    def __init__(self, bus_name: str, plant: Plant, feedback_rate_hz: float) -> None:
        """As `PiperArm`; `start` opens the bus."""
        self._hub = CanHub(bus_name)
        self.arm = PiperArm(bus_name, plant, feedback_rate_hz=feedback_rate_hz)

    def start(self) -> None:
        """Open the bus and bring the arm on it.

        Raises:
            HardwareError: another hub of this name runs.
        """
        self._hub.start()
        try:
            self.arm.start()
        except HardwareError:
            self._hub.close()
            raise

    def close(self) -> None:
        """End the arm, then its bus."""
        self.arm.close()
        self._hub.close()


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
        self._bus: EmulatedCanBus | None = None
        rate = min(max(2 * feedback_rate_hz, LOWEST_COMMAND_RATE_HZ), COMMAND_RATE_HZ)
        self._loop = ControlLoop(self.step, rate, on_error=self._report, name=f"piper-{bus_name}")
        self._last_step: float | None = None
        self._next_feedback = self._next_open = 0.0
        self._batches = 0
        self._silent = self._corrupt = False
        self._noise = random.Random(0)
        self._last_error = ""

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
        self._bus = EmulatedCanBus(self.bus_name)
        self._loop.start()

    def close(self) -> None:
        """End the thread and leave the bus; the plant keeps its last order."""
        self._loop.stop()
        self._leave()

    @property
    def running(self) -> bool:
        """Whether the arm's thread is alive."""
        return self._loop.running

    def step(self, now: float) -> None:
        """Obey what has arrived, move, and send the feedback that is due at `now` [s, steady clock].

        A bus that fails is left and opened again as soon as it can be; meanwhile the arm goes on.
        """
        try:
            self._listen(now)
            self._move(now)
            self._speak(now)
        except can.CanError as error:
            logger.warning("emulated PiPER: %s", error)
            self._leave()
            self._next_open = now + REOPEN_PERIOD_S

    def silence(self, on: bool = True) -> None:
        """Stop sending, or send again; short for `set_fault(Fault.SILENCE, on=on)`."""
        self.set_fault(Fault.SILENCE, on=on)

    def set_fault(self, fault: Fault, joint: int = 1, on: bool = True) -> None:
        """Break something, or mend it; takes effect with the next step.

        Args:
            fault: what.
            joint: 1..6, or 7 for the gripper, where the fault concerns one motor.
            on: False to mend.

        Raises:
            HardwareError: a joint that there is not.
        """
        last = JOINTS if fault is Fault.JOINT_COMMUNICATION else JOINTS + 1
        if not 1 <= joint <= last:
            raise HardwareError(
                f"emulated PiPER: fault {fault.name}: expected a joint of 1..{last}, got {joint}"
            )
        if fault is Fault.SILENCE:
            self._silent = on
        elif fault is Fault.CORRUPT_FRAMES:
            self._corrupt = on
        elif fault is Fault.JOINT_COMMUNICATION:
            self.firmware.communication_lost[joint - 1] = on
        elif on:
            self.firmware.motor_faults[joint - 1] |= fault.value
        else:
            self.firmware.motor_faults[joint - 1] &= ~fault.value

    def clear_faults(self) -> None:
        """Mend everything."""
        self._silent = self._corrupt = False
        self.firmware.communication_lost[:] = False
        self.firmware.motor_faults[:] = 0

    def _listen(self, now: float) -> None:
        if self._bus is None:
            self._join_again(now)
            return
        frames = self._bus.receive_frames()
        answers = b"".join([self.firmware.receive(*frame, now=now) for frame in frames])
        if answers and not self._silent:
            self._bus.send_frames(answers, timeout=0.0)

    def _move(self, now: float) -> None:
        dt = 0.0 if self._last_step is None else min(now - self._last_step, LONGEST_STEP_S)
        self._last_step = now
        self._plant.drive(*self.firmware.step(self._plant.state(), now, dt))
        if isinstance(self._plant, KinematicPlant):
            self._plant.advance(dt)

    def _speak(self, now: float) -> None:
        if now < self._next_feedback:
            return
        # Deadlines follow each other; only after a stall does the series start anew.
        late = now - self._next_feedback
        self._next_feedback = (
            now + self._period if late > self._period else self._next_feedback + self._period
        )
        if self._bus is None or self._silent:
            return
        frames = self.firmware.fast_feedback()
        if self._batches % SLOW_FEEDBACK_SHARE == 0:
            frames += self.firmware.slow_feedback()
        self._batches += 1
        self._bus.send_frames(self._spoilt(frames) if self._corrupt else frames, timeout=0.0)

    def _spoilt(self, frames: bytes) -> bytes:
        """One frame of a batch with noise for data, and every other time a length that is too short."""
        place = FRAME.size * self._noise.randrange(len(frames) // FRAME.size)
        can_id, _, _ = FRAME.unpack_from(frames, place)
        spoilt = FRAME.pack(
            can_id, self._noise.choice([8, self._noise.randrange(8)]), self._noise.randbytes(8)
        )
        return frames[:place] + spoilt + frames[place + FRAME.size :]

    def _join_again(self, now: float) -> None:
        if now < self._next_open:
            return
        self._next_open = now + REOPEN_PERIOD_S
        try:
            self._bus = EmulatedCanBus(self.bus_name)
        except HardwareError as error:
            logger.debug("emulated PiPER: %s", error)
            return
        logger.info("emulated PiPER: back on bus %s", self.bus_name)

    def _leave(self) -> None:
        if self._bus is not None:
            self._bus.shutdown()
            self._bus = None

    def _report(self, error: Exception) -> None:
        """Log an error of a step, once as long as the steps that follow fail the same way."""
        if str(error) != self._last_error:
            logger.error("emulated PiPER on bus %s: %s", self.bus_name, error, exc_info=error)
        self._last_error = str(error)
