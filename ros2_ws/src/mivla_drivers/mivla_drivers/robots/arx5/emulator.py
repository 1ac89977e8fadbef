"""An emulated ARX-5 on an emulated bus: seven motors that obey MIT commands and answer each one."""

from __future__ import annotations

from enum import Enum

import can
import numpy as np

from mivla_drivers.contract import PartConfig, RobotContract, backend_options
from mivla_drivers.control.control_loop import ControlLoop
from mivla_drivers.errors import HardwareError
from mivla_drivers.robots.arx5 import protocol
from mivla_drivers.robots.arx5.gravity import Gravity
from mivla_drivers.robots.arx5.model import JOINTS, MODELS, Model
from mivla_drivers.robots.arx5.motors import MitMotors
from mivla_drivers.robots.arx5.options import BackendOptions
from mivla_drivers.robots.arx5.protocol import Instruction, Reply
from mivla_drivers.robots.emulator import emulated_name
from mivla_drivers.robots.plant import KinematicPlant, Plant
from mivla_drivers.transport.bus_connection import BusConnection
from mivla_drivers.transport.can_hub import FRAME, CanHub

RATE_HZ = 500.0  # as the SDK commands; what arrives within a period is answered together
LONGEST_STEP_S = 0.02  # after a stall the motors go on from where they were, without a jump
STOP_RAD = 0.02  # how far beyond the limits the joints' stops are
CORRUPT_SHARE = 0.02
NOISE_STEPS = 1  # of the readings of speed and torque: a motor that is alive never reads the same for long
FRAME_BYTES = 8
TEMPERATURE = 35.0
GRIPPER_READS = -3.0  # [rad]
OVER_CURRENT_DAMIAO, OVER_CURRENT_ENCOS = 0xA, 2


class Fault(Enum):
    """What can be broken, of one motor where the fault concerns one."""

    SILENCE = "silence"  # no motor answers
    MOTOR_SILENT = "motor silent"  # one does not answer, and goes on obeying
    MOTOR_ERROR = (
        "motor error"  # over-current in its error byte: it lets go, a Damiao motor until that is cleared
    )
    OVER_CURRENT = "over-current"  # it reports more torque than the SDK allows, and goes on
    GRIPPER_READING = (
        "gripper reading"  # the gripper's motor reads an angle far outside, and stands where it is
    )
    BLOCKED = "blocked"  # somebody holds the joint
    CORRUPT_FRAMES = "corrupt frames"  # every fiftieth answer carries noise


def make_emulator(
    contract: RobotContract, part: PartConfig, plant: Plant, feedback_rate_hz: float
) -> EmulatedArx5:
    """The ARX-5 that is `part` of a robot, on an emulated bus of its own; motors answer commands, at their rate.

    Raises:
        ContractError: the part's bus is a real one, or the URDF does not have its joints.
        HardwareError: its name cannot be a bus's.
    """
    options = backend_options(BackendOptions, contract, part)
    return EmulatedArx5(emulated_name(part), plant, options, Gravity(contract, part))


class EmulatedArx5:
    """An emulated arm together with the bus that it is alone on."""

    def __init__(self, bus_name: str, plant: Plant, options: BackendOptions, gravity: Gravity) -> None:
        """As `Arx5Arm`; `start` opens the bus."""
        self.hub = CanHub(bus_name)
        self._gravity = gravity
        self.arm = Arx5Arm(bus_name, plant, options, gravity)

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
        self._gravity.close()


class Arx5Arm:
    """Six joints and a gripper that move a `Plant` of seven: the motors of `model` on bus `bus_name`."""

    def __init__(
        self,
        bus_name: str,
        plant: Plant,
        options: BackendOptions,
        gravity: Gravity,
        model: Model | None = None,
    ) -> None:
        """`model` is what the arm really is; what the contract's options say where not given."""
        self.bus_name = bus_name
        self.model = MODELS[options.model] if model is None else model
        self.gripper_offset = self._offset = 0.0  # what its encoder reads too much [rad]
        self._plant, self._gravity = plant, gravity
        self._radians = (
            options.gripper_open_readout / options.gripper_width
        )  # of the gripper's motor, a metre
        self._kinds = dict(self.model.motors)
        self._places = {identifier: i for i, identifier in enumerate(self.model.identifiers)}
        opened = options.gripper_open_readout
        lower = np.array([*self.model.lower, min(0.0, opened)]) - STOP_RAD
        upper = np.array([*self.model.upper, max(0.0, opened)]) + STOP_RAD
        scale = np.array([kind.torque_scale for _, kind in self.model.motors])
        self.motors = MitMotors(scale, lower, upper)
        self.motors.enabled[:] = [not kind.is_damiao for _, kind in self.model.motors]
        self._faults: dict[Fault, set[int]] = {fault: set() for fault in Fault}
        self._connection = BusConnection(bus_name, "emulated ARX-5")
        self._loop = ControlLoop(
            self.step, RATE_HZ, on_error=self._connection.report, name=f"arx5-{bus_name}", realtime=True
        )
        self._latched: set[int] = set()  # motors that keep an error until it is cleared
        self._noise = np.random.default_rng(0)
        self._hand: np.ndarray | None = None
        self._last_step: float | None = None

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

    def set_fault(self, fault: Fault, motor: int = 1, on: bool = True) -> None:
        """Break something, or mend it; `motor` is 1..7 in the order of the joints, 7 the gripper's.

        Raises:
            HardwareError: a motor that there is not.
        """
        if not 1 <= motor <= JOINTS + 1:
            raise HardwareError(f"emulated ARX-5: fault {fault.name}: expected a motor of 1..7, got {motor}")
        (self._faults[fault].add if on else self._faults[fault].discard)(motor - 1)
        if on and fault is Fault.MOTOR_ERROR and self.model.motors[motor - 1][1].is_damiao:
            self._latched.add(motor - 1)
        elif not on and fault is Fault.MOTOR_ERROR and motor - 1 not in self._latched:
            self.motors.enabled[motor - 1] = True

    def become(self, model: Model) -> None:
        """Another model's motors are on the bus from now on, in the same places."""
        self.model, self._kinds = model, dict(model.motors)

    def lead_by_hand(self, position: np.ndarray | None) -> None:
        """Somebody leads the joints to `position` (7,) [rad, m], as fast as the plant follows; None lets go of them."""
        self._hand = None if position is None else position.copy()

    def clear_faults(self) -> None:
        """Mend everything; a Damiao motor that had an error waits until that is cleared."""
        for fault, broken in self._faults.items():
            for place in list(broken):
                self.set_fault(fault, place + 1, on=False)

    def step(self, now: float) -> None:
        """Obey and answer what has arrived, and move, at `now` [s, steady clock]."""
        self._offset = self.gripper_offset  # the same through a whole step
        position = self._angles()
        try:
            self._listen(position, now)
        except can.CanError as error:
            self._connection.lose(error, now)
        self._move(position, now)

    def _angles(self) -> np.ndarray:
        """What the motors' encoders read [rad], shape (7,)."""
        angles = self._plant.state().position.copy()
        angles[JOINTS] = angles[JOINTS] * self._radians + self._offset
        return angles

    def _listen(self, position: np.ndarray, now: float) -> None:
        if self._connection.bus is None:
            self._connection.join_again(now)
            return
        answers = [
            self._obey(can_id, data[:length], position)
            for can_id, length, data in self._connection.bus.receive_frames()
        ]
        if self._faults[Fault.CORRUPT_FRAMES]:
            answers = [self._spoilt(answer) for answer in answers]
        frames = b"".join(answers)
        if frames and not self._faults[Fault.SILENCE]:
            self._connection.bus.send_frames(frames, timeout=0.0)

    def _obey(self, can_id: int, data: bytes, position: np.ndarray) -> bytes:
        """A frame's answer; motors do not answer what is not for them."""
        place = self._places.get(can_id)
        if place is None:
            return b""
        kind, motors = self._kinds[can_id], self.motors
        if len(data) != FRAME_BYTES:
            return self._answer_query(can_id, place, position) if data == protocol.POSITION_QUERY else b""
        instruction = protocol.instruction_of(data)
        if instruction is None or not kind.is_damiao:
            if instruction is None:
                told = protocol.decode_command(kind, data)
                motors.kp[place], motors.kd[place] = told.kp, told.kd
                motors.target[place], motors.speed[place] = told.position, told.speed
                motors.feed_forward[place] = told.torque
                motors.commanded[place] |= told.kp > 0 or told.kd > 0
        elif instruction is Instruction.CLEAR_ERROR and place not in self._faults[Fault.MOTOR_ERROR]:
            self._latched.discard(place)
        elif instruction in (Instruction.ENABLE, Instruction.DISABLE):
            enables = instruction is Instruction.ENABLE and place not in self._latched
            if (
                enables != motors.enabled[place]
            ):  # a motor that is enabled already goes on with its last command
                motors.kp[place] = motors.kd[place] = motors.feed_forward[place] = 0.0
            motors.enabled[place] = enables
        if place in self._faults[Fault.MOTOR_SILENT]:
            return b""
        answer_id, answer = protocol.encode_reply(kind, self._reply(can_id, place, position))
        return FRAME.pack(answer_id, len(answer), answer)

    def _answer_query(self, can_id: int, place: int, position: np.ndarray) -> bytes:
        """Encos motors tell their position without a command; Damiao ones do not know the question."""
        if self._kinds[can_id].is_damiao or place in self._faults[Fault.MOTOR_SILENT]:
            return b""
        answer_id, answer = protocol.encode_query_reply(self._reply(can_id, place, position))
        return FRAME.pack(answer_id, len(answer), answer)

    def _reply(self, can_id: int, place: int, position: np.ndarray) -> Reply:
        kind, motors = self._kinds[can_id], self.motors
        noise = self._noise.integers(-NOISE_STEPS, NOISE_STEPS + 1, size=2) * 2.0 / 4095
        broken = place in self._faults[Fault.MOTOR_ERROR] | self._latched
        torque = kind.torque_range if place in self._faults[Fault.OVER_CURRENT] else motors.torque[place]
        angle = GRIPPER_READS if self._faults[Fault.GRIPPER_READING] and place == JOINTS else position[place]
        error = (
            (OVER_CURRENT_DAMIAO if kind.is_damiao else OVER_CURRENT_ENCOS)
            if broken
            else int(kind.is_damiao and motors.enabled[place])
        )
        return Reply(
            can_id,
            float(angle),
            float(motors.velocity[place] + noise[0] * kind.speed_range),
            float(torque + noise[1] * kind.torque_range),
            error,
            TEMPERATURE,
        )

    def _spoilt(self, answer: bytes) -> bytes:
        if not answer or self._noise.random() > CORRUPT_SHARE:
            return answer
        can_id, length, data = FRAME.unpack(answer)
        return FRAME.pack(can_id, length, data[:1] + self._noise.bytes(7))

    def _move(self, position: np.ndarray, now: float) -> None:
        dt = 0.0 if self._last_step is None else min(now - self._last_step, LONGEST_STEP_S)
        self._last_step = now
        gravity = np.zeros(JOINTS + 1)
        gravity[:JOINTS] = self._gravity.torque(position[:JOINTS])
        broken = list(self._faults[Fault.MOTOR_ERROR] | self._latched)
        self.motors.enabled[broken] = False
        target = self.motors.step(position, gravity, dt)
        if self._hand is not None:
            self.motors.lead(position, dt)
            self._drive(self._hand, dt)
            return
        target[JOINTS] = (target[JOINTS] - self._offset) / self._radians
        held = list(self._faults[Fault.BLOCKED])
        target[held] = self._plant.state().position[held]
        self._drive(target, dt)

    def _drive(self, target: np.ndarray, dt: float) -> None:
        self._plant.drive(target, np.ones(JOINTS + 1, dtype=bool))
        if isinstance(self._plant, KinematicPlant):
            self._plant.advance(dt)
