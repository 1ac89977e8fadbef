"""What PiPER's controller does with commands: modes, power, limits and errors; no bus, clock or thread.

Sources: piper_sdk 0.6.2; maintainers' answers in its issues; reset timing from piper_control PR 87, measured
on hardware.

Not emulated, and never acknowledged: Cartesian targets (the arm holds and reports "no solution"), trajectory
and teaching functions, leader mode and identifier offsets (0x470), light, updates. Setting a joint's zero is
answered with "not set".
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mivla_drivers.robots.piper import protocol
from mivla_drivers.robots.piper.protocol import ArmCondition, ArmStatus, ControlMode, MoveMode
from mivla_drivers.robots.plant import PlantState

JOINTS = 6
GRIPPER = 6  # the gripper's place in a vector of seven

POWER_OFF_DELAY_S = 0.73  # STANDBY is reported at once after a reset, the motors lose power this much later
STOP_SINK_SPEED = 0.15  # of the joint that sinks fastest in a damped stop [rad/s]
STOP_COMPLIANCE = 0.03  # a damped joint's setpoint stays this near, so it rests on what it meets [rad]
GRIPPER_SPEED = 0.2  # [m/s]
REACHED = 0.01  # [rad or m]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FirmwareLimits:
    """What the controller lets its joints do; each (6,).

    Attributes:
        lower, upper: [rad], piper_sdk's arm_motor_angle_limit_max_spd_config.py.
        speed: at 100 percent [rad/s].
        acceleration: reported only [rad/s^2].
    """

    lower: np.ndarray
    upper: np.ndarray
    speed: np.ndarray
    acceleration: np.ndarray


FACTORY_LIMITS = FirmwareLimits(
    lower=np.deg2rad([-150.0, 0.0, -170.0, -100.0, -70.0, -120.0]),
    upper=np.deg2rad([150.0, 180.0, 0.0, 100.0, 70.0, 120.0]),
    speed=np.full(JOINTS, 3.0),
    acceleration=np.full(JOINTS, 5.0),
)


class PiperFirmware:
    """The controller: `receive` takes commands, `step` says what the motors do, feedback tells the rest."""

    def __init__(self, enabled: bool = False, dh_offset: int = 1, version: str = "S-V1.8-1") -> None:
        """Start in standby.

        Args:
            enabled: motors have power already and hold where they are; else limp, as after power-on.
            dh_offset: geometry of the reported flange pose, see `piper_protocol.flange_pose`.
            version: what 0x4AF answers; the SDK reads eight characters from "S-V" on.
        """
        self.limits = FACTORY_LIMITS
        self.enabled = np.full(JOINTS + 1, enabled)
        self.communication_lost = np.zeros(JOINTS, dtype=bool)
        self.motor_faults = np.zeros(
            JOINTS + 1, dtype=int
        )  # status bits beside MOTOR_ENABLED and GRIPPER_HOMED
        self.gripper_homed = True
        self.gripper_effort = 1.0  # last commanded [N.m]
        self.unsupported: dict[int, int] = {}  # identifier: how often it came
        self._dh_offset = dh_offset
        self._version = version
        self._stroke = 0.07  # of the small gripper [m]
        self._crash_levels = bytes(JOINTS)
        self._end_speed = bytes.fromhex("03E803E803E803E8")  # 1 m/s, 1 rad/s, 1 m/s^2, 1 rad/s^2
        self._setpoint: np.ndarray | None = None  # where the motors are told to be now, (7,)
        self._target = np.zeros(JOINTS + 1)  # where the setpoint goes
        self._heard: PlantState | None = None
        self._power_off_at: float | None = None
        self._enables_to_ignore = 0
        self._go_to_standby()
        self._handlers = self._table()

    # Commands.

    def receive(self, frame_id: int, length: int, data: bytes, now: float) -> bytes:
        """Take a command frame at `now` [s, steady clock]; its packed answers, or b"".

        A frame shorter than eight bytes, or with an identifier that this arm does not know, is ignored.
        """
        handler = self._handlers.get(frame_id)
        if handler is None or length != 8:
            return self._ignore(frame_id)
        return handler(data, now) or b""

    def _table(self) -> dict[int, Callable[[bytes, float], bytes | None]]:
        table: dict[int, Callable[[bytes, float], bytes | None]] = {
            protocol.MOTION_CONTROL: self._on_motion_control,
            protocol.MODE_CONTROL: self._on_mode,
            protocol.GRIPPER_CONTROL: self._on_gripper,
            protocol.MOTOR_POWER: self._on_power,
            protocol.LIMIT_QUERY: self._on_limit_query,
            protocol.LIMIT_SETTING: self._on_limit_setting,
            protocol.JOINT_SETTING: self._on_joint_setting,
            protocol.PARAMETER_QUERY: self._on_parameter_query,
            protocol.END_SPEED_SETTING: self._on_end_speed,
            protocol.CRASH_LEVEL_SETTING: self._on_crash_levels,
            protocol.GRIPPER_SETTING: self._on_gripper_setting,
            protocol.FIRMWARE_QUERY: lambda data, now: protocol.encode_firmware(self._version),
        }
        table.update({i: self._on_cartesian for i in protocol.CARTESIAN_CONTROL})
        table.update({i: self._joint_handler(2 * pair) for pair, i in enumerate(protocol.JOINT_CONTROL)})
        table.update({i: self._mit_handler(joint) for joint, i in enumerate(protocol.MIT_CONTROL)})
        return table

    def _ignore(self, frame_id: int) -> bytes:
        if frame_id not in self.unsupported:
            logger.warning("emulated PiPER: frame 0x%03X is not understood and was ignored", frame_id)
        self.unsupported[frame_id] = self.unsupported.get(frame_id, 0) + 1
        return b""

    def _on_motion_control(self, data: bytes, now: float) -> None:
        if data[0] == 1:
            self._stopped = True
            self._hold_joints()
        elif data[0] == 2:
            self._go_to_standby()
            self.motor_faults[:] = 0
            self._power_off_at = now + POWER_OFF_DELAY_S
            self._enables_to_ignore = 1
        if data[1] or data[2]:
            self._ignore(protocol.MOTION_CONTROL)

    def _go_to_standby(self) -> None:
        """What is reported after power-on and, at once, after a reset."""
        self._control_mode, self._move_mode = ControlMode.STANDBY, MoveMode.P
        self._mit = False
        self._speed_share = 0.0
        self._stopped = self._no_solution = False
        self._beyond = np.zeros(JOINTS, dtype=bool)
        self._hold_joints()

    def _hold_joints(self) -> None:
        if self._setpoint is not None:
            self._target[:JOINTS] = self._setpoint[:JOINTS]

    def _on_mode(self, data: bytes, now: float) -> None:
        command = protocol.decode_mode(data)
        known = (
            command.control_mode in (ControlMode.STANDBY, ControlMode.CAN)
            and command.move_mode <= MoveMode.CPV
        )
        if not known:
            self._ignore(protocol.MODE_CONTROL)
            return
        if command.control_mode != ControlMode.CAN or command.move_mode != self._move_mode:
            self._hold_joints()
        self._control_mode, self._move_mode = command.control_mode, command.move_mode
        self._mit = command.mit == protocol.MIT_FOLLOW
        self._speed_share = command.speed_percent / 100.0

    def _accepts(self, *move_modes: int) -> bool:
        return self._control_mode == ControlMode.CAN and self._move_mode in move_modes and not self._stopped

    def _joint_handler(self, first: int) -> Callable[[bytes, float], None]:
        def handle(data: bytes, now: float) -> None:
            if self._accepts(MoveMode.J, MoveMode.CPV):
                for joint, angle in zip((first, first + 1), protocol.decode_joint_pair(data), strict=True):
                    self._aim(joint, angle)

        return handle

    def _mit_handler(self, joint: int) -> Callable[[bytes, float], None]:
        def handle(data: bytes, now: float) -> None:
            angle = protocol.decode_mit_position(data)
            if angle is not None and self._accepts(MoveMode.M):
                self._aim(joint, angle)

        return handle

    def _aim(self, joint: int, angle: float) -> None:
        """Set a joint's target [rad], clamped; a target beyond the limits sets the joint's error bit."""
        clamped = min(max(angle, self.limits.lower[joint]), self.limits.upper[joint])
        self._beyond[joint] = abs(angle - clamped) > 1e-5  # the wire rounds to 0.001 degree
        self._target[joint] = clamped
        self._no_solution = False

    def _on_cartesian(self, data: bytes, now: float) -> None:
        if self._accepts(MoveMode.P, MoveMode.L, MoveMode.C):
            self._no_solution = True

    def _on_gripper(self, data: bytes, now: float) -> None:
        command = protocol.decode_gripper(data)
        self.enabled[GRIPPER] = command.code in (1, 3)
        if command.code in (2, 3):
            self.motor_faults[GRIPPER] = 0
        self.gripper_homed |= command.set_zero
        self.gripper_effort = command.effort
        if not command.set_zero:
            self._target[GRIPPER] = min(max(command.opening, 0.0), self._stroke)

    def _on_power(self, data: bytes, now: float) -> bytes:
        motor, wanted = data[0], data[1]
        if motor not in (*range(1, 7), *protocol.ALL_MOTORS) or wanted not in (1, 2):
            return b""
        motors = slice(0, JOINTS) if motor in protocol.ALL_MOTORS else slice(motor - 1, motor)
        if wanted == 1:
            self.enabled[motors] = False
        elif self._power_off_at is not None:
            self.enabled[motors] = True  # reported as done, and lost when the pending power-off comes
        elif self._enables_to_ignore:
            self._enables_to_ignore -= 1  # after a reset the arm wants to be asked twice
        else:
            self.enabled[motors] = True
        return protocol.encode_setting_answer(protocol.MOTOR_POWER)

    # Settings and questions.

    def _on_limit_query(self, data: bytes, now: float) -> bytes:
        motors = range(1, JOINTS + 1) if data[0] in protocol.ALL_MOTORS else [data[0]]
        return b"".join(self._limit_answer(motor, data[1]) for motor in motors if 1 <= motor <= JOINTS)

    def _limit_answer(self, motor: int, question: int) -> bytes:
        limits, j = self.limits, motor - 1
        if question == 1:
            return protocol.encode_angle_limit(motor, limits.lower[j], limits.upper[j], limits.speed[j])
        return protocol.encode_acceleration_limit(motor, limits.acceleration[j]) if question == 2 else b""

    def _on_limit_setting(self, data: bytes, now: float) -> bytes:
        motor, upper, lower, speed = protocol.decode_limit_setting(data)
        if not 1 <= motor <= JOINTS:
            return b""
        for name, value in (("upper", upper), ("lower", lower), ("speed", speed)):
            if value is not None:
                self._set_limit(name, motor - 1, value)
        return protocol.encode_setting_answer(protocol.LIMIT_SETTING)

    def _set_limit(self, name: str, joint: int | slice, value: float) -> None:
        values = getattr(self.limits, name).copy()
        values[joint] = value
        self.limits = replace(self.limits, **{name: values})

    def _on_joint_setting(self, data: bytes, now: float) -> bytes:
        joints = slice(0, JOINTS) if data[0] == 7 else slice(data[0] - 1, data[0])
        acceleration = int.from_bytes(data[3:5], "big")
        if not 1 <= data[0] <= 7:
            return b""
        if data[2] == protocol.YES and acceleration != protocol.UNCHANGED:
            self._set_limit("acceleration", joints, acceleration / 100.0)
        if data[5] == protocol.YES:
            self.motor_faults[joints] = 0
        return protocol.encode_setting_answer(protocol.JOINT_SETTING, zero_set=False)

    def _on_parameter_query(self, data: bytes, now: float) -> bytes:
        answers = {
            1: protocol.frame(protocol.END_SPEED_ANSWER, self._end_speed),
            2: protocol.frame(protocol.CRASH_LEVEL_ANSWER, self._crash_levels),
            4: protocol.frame(protocol.GRIPPER_SETTING_ANSWER, bytes([100, round(self._stroke * 1000), 1])),
        }
        answer = answers.get(data[0], b"")
        if data[1] == 2:
            self.limits = FACTORY_LIMITS
            answer += protocol.encode_setting_answer(protocol.PARAMETER_QUERY)
        return answer

    def _on_end_speed(self, data: bytes, now: float) -> bytes:
        self._end_speed = bytes(data)
        return protocol.encode_setting_answer(protocol.END_SPEED_SETTING)

    def _on_crash_levels(self, data: bytes, now: float) -> bytes:
        self._crash_levels = bytes(data[:JOINTS])
        return protocol.encode_setting_answer(protocol.CRASH_LEVEL_SETTING)

    def _on_gripper_setting(self, data: bytes, now: float) -> bytes:
        if data[1] in (70, 100):
            self._stroke = data[1] / 1000.0
        return protocol.encode_setting_answer(protocol.GRIPPER_SETTING)

    # Motors.

    def step(self, state: PlantState, now: float, dt: float) -> tuple[np.ndarray, np.ndarray]:
        """Setpoint (7,) [rad, m] and power (7,) bool of the motors, `dt` [s] after the last step."""
        self._heard = self._readable(state)
        if self._setpoint is None:
            self._setpoint, self._target = state.position.copy(), state.position.copy()
        if self._power_off_at is not None and now >= self._power_off_at:
            self._power_off_at = None
            self.enabled[:] = False
        if not self.enabled.all():
            limp = ~self.enabled  # such a joint starts, once it is enabled, from where it lies
            self._setpoint[limp] = self._target[limp] = state.position[limp]
        if self._stopped:
            self._sink(self._setpoint, state.position[:JOINTS], dt)
        reach = self._reach(dt)
        self._setpoint += np.minimum(np.maximum(self._target - self._setpoint, -reach), reach)
        return self._setpoint.copy(), self.enabled.copy()

    def _reach(self, dt: float) -> np.ndarray:
        """How far each setpoint may go in `dt` [s], shape (7,) [rad, m]."""
        reach = np.empty(JOINTS + 1)
        reach[:JOINTS] = self.limits.speed * (0.0 if self._stopped else self._speed_share * dt)
        reach[GRIPPER] = GRIPPER_SPEED * dt
        if self.communication_lost.any():
            reach[:JOINTS][self.communication_lost] = 0.0
        return reach

    def _sink(self, setpoint: np.ndarray, joints: np.ndarray, dt: float) -> None:
        """Damped stop: the setpoint (7,) of joints (6,) gives way slowly, the way that lowers the flange."""
        nudge = 1e-3
        height = flange_height(joints, self._dh_offset)
        slope = np.array(
            [flange_height(joints + nudge * row, self._dh_offset) - height for row in np.eye(JOINTS)]
        )
        steepest = np.abs(slope).max()
        down = -slope / steepest if steepest > 1e-7 else np.zeros(JOINTS)
        sunk = setpoint[:JOINTS] + down * STOP_SINK_SPEED * dt
        sunk = np.clip(sunk, joints - STOP_COMPLIANCE, joints + STOP_COMPLIANCE)
        sunk = np.clip(sunk, self.limits.lower, self.limits.upper)
        moving = self.enabled[:JOINTS] & ~self.communication_lost
        setpoint[:JOINTS][moving] = self._target[:JOINTS][moving] = sunk[moving]

    # Feedback.

    def fast_feedback(self) -> bytes:
        """The 14 frames that come 200 times a second, packed; b"" before the first step."""
        heard = self._heard
        if heard is None:
            return b""
        pose = protocol.flange_pose(heard.position[:JOINTS], self._dh_offset)
        return protocol.encode_fast_feedback(
            self._status(heard), pose, heard.position, heard.velocity, heard.effort, self._gripper_bits()
        )

    def slow_feedback(self) -> bytes:
        """The 6 frames that come 40 times a second, packed."""
        return protocol.encode_slow_feedback(
            (self.motor_faults[:JOINTS] | protocol.MOTOR_ENABLED * self.enabled[:JOINTS]).tolist()
        )

    def _readable(self, state: PlantState) -> PlantState:
        """What the controller hears: a joint that it has lost keeps its last reading."""
        if self._heard is None or not self.communication_lost.any():
            return state
        lost = np.append(self.communication_lost, False)
        old = self._heard
        pairs = ((old.position, state.position), (old.velocity, state.velocity), (old.effort, state.effort))
        return PlantState(*(np.where(lost, before, after) for before, after in pairs))

    def _gripper_bits(self) -> int:
        enabled = protocol.MOTOR_ENABLED * self.enabled[GRIPPER]
        return int(self.motor_faults[GRIPPER] | enabled | protocol.GRIPPER_HOMED * self.gripper_homed)

    def _status(self, heard: PlantState) -> ArmStatus:
        distance = np.abs(self._target - heard.position)
        return ArmStatus(
            control_mode=self._control_mode,
            condition=self._condition(),
            move_mode=self._move_mode,
            moving=bool((distance[:JOINTS][self.enabled[:JOINTS]] > REACHED).any()),
            communication_lost=self.communication_lost,
            beyond_limit=self._beyond,
        )

    def _condition(self) -> int:
        """The first that holds, worst first: the frame has room for one."""
        faults = int(np.bitwise_or.reduce(self.motor_faults[:JOINTS]))
        conditions = (
            (self._stopped, ArmCondition.EMERGENCY_STOP),
            (self.communication_lost.any(), ArmCondition.JOINT_COMMUNICATION),
            (faults & protocol.COLLISION, ArmCondition.COLLISION),
            (faults, ArmCondition.JOINT_ERROR),
            (self._beyond.any(), ArmCondition.BEYOND_LIMIT),
            (self._no_solution, ArmCondition.NO_SOLUTION),
        )
        return next((condition for holds, condition in conditions if holds), ArmCondition.NORMAL)


def flange_height(joints: np.ndarray, dh_offset: int = 1) -> float:
    """Height of link 6 above the base [m] at joint angles [rad], shape (6,)."""
    return float(protocol.flange_pose(joints, dh_offset)[2])
