"""ARX-5 through the vendor's arx5-interface, which runs in a process of its own (worker.py, sdk_process.py).

The SDK's emergency state never returns and its constructor can hang, so a worker whose state stands still is killed
and started again. While no SDK speaks to them the motors keep their last command: an arm that was held is held on,
with the torque for that pose, until the motors' own time-out. What that is on a real arm is not documented.
Which motor has fallen silent the SDK never says (readings.py).
"""

from __future__ import annotations

import math
import os
import time

import can
import numpy as np

from mivla_drivers.contract import EMULATED, PartConfig, RobotContract, backend_options
from mivla_drivers.errors import ContractError, EmulatorMissing, HardwareError
from mivla_drivers.robots.arx5.command_times import CommandTimes
from mivla_drivers.robots.arx5.geometry import require_urdf
from mivla_drivers.robots.arx5.model import JOINTS, MODELS
from mivla_drivers.robots.arx5.motor_errors import MotorErrors
from mivla_drivers.robots.arx5.options import BackendOptions
from mivla_drivers.robots.arx5.probe import probe, require
from mivla_drivers.robots.arx5.readings import MotorReadings
from mivla_drivers.robots.arx5.worker import COMMAND_SIZE, STATE_SIZE
from mivla_drivers.robots.hardware import Measurement
from mivla_drivers.transport import emulated_socketcan, socketcan
from mivla_drivers.transport.bus_lock import BusLock
from mivla_drivers.transport.can_hub import socket_path
from mivla_drivers.transport.sdk_process import SdkProcess

WORKER = "mivla_drivers.robots.arx5.worker"
GIVEN_UP = "emergency state"  # what the SDK says before it goes on no more
START_S = 10.0  # to import the SDK and to construct its controller
START_TRIES = 3
HUNG_S = 1.0  # a machine that is busy holds the SDK up for less
ENABLE_AGAIN_S = 0.5
MOST_FROM_HOLD_RAD = 0.15  # the SDK throws at 0.2 rad, and would leap by less
PREVIEW_PERIODS = (
    2  # of the driver, in which a command is reached: one that comes a period late is still a line
)
SPEED_SHARE = 1.1  # of the contract's: the SDK goes no faster, whatever it has to make up for
LIMIT_SLACK_RAD = 1e-6


def make_hardware(contract: RobotContract, part: PartConfig) -> Arx5Hardware:
    """The ARX-5 that is `part` of a robot; raises as `Arx5Hardware`."""
    return Arx5Hardware(contract, part)


class Arx5Hardware:
    """One ARX-5 arm with its gripper: `Hardware` over CAN, real or emulated."""

    def __init__(self, contract: RobotContract, part: PartConfig) -> None:
        """The ARX-5 that is `part` of a robot.

        Raises:
            ContractError: its joints are not six of an arm and then a gripper, their limits are wider than the
                SDK's, the URDF is another arm's, or an option is not an ARX-5's.
        """
        units = [contract.units[i] for i in part.joint_indices]
        gripper = contract.is_gripper[part.joint_indices]
        if units != ["rad"] * JOINTS + ["m"] or gripper.tolist() != [False] * JOINTS + [True]:
            raise ContractError(
                f"{contract.robot}: parts.{part.name}.joints: expected six [rad] and then a gripper [m] of an arm, "
                f"found {list(part.joints)} of units {units}"
            )
        self._options = backend_options(BackendOptions, contract, part)
        self._joints = part.joints
        _require_within(contract, part, self._options)
        require_urdf(contract, part, self._options.model)
        self._bus = part.bus
        self._speed_limits = SPEED_SHARE * contract.limits.velocity[part.joint_indices]
        self._preview_s = PREVIEW_PERIODS / contract.control_rate_hz
        self._times = CommandTimes(1.0 / contract.control_rate_hz, self._preview_s)
        self._emulated = self._bus.startswith(EMULATED)
        self._channel = self._bus.removeprefix(EMULATED)
        if not self._emulated and not self._channel.startswith("can"):
            raise ContractError(
                f"{contract.robot}: parts.{part.name}.bus: expected an interface called can..., as the SDK wants "
                f"it, found {self._bus}"
            )
        self._interface = "mivla_emulated" if self._emulated else "socketcan"
        self._errors = MotorErrors(MODELS[self._options.model], part.joints, self._channel, self._interface)
        self._lock = BusLock(f"{self._bus}/user{os.getuid()}" if self._emulated else self._bus)
        self._process: SdkProcess | None = None
        self._started = -math.inf
        self._starts = 0
        self._asked = -math.inf
        self._readings = MotorReadings(JOINTS + 1)
        self._has_gains = False

    @property
    def recovery(self) -> str:
        """What an operator does about a silent bus."""
        said = self._process.ending() if self._process is not None else ""
        if self._emulated:
            return (
                f"The emulator or the SDK is gone: start the emulator again, then call driver/enable. {said}"
            )
        return f"Check the cable and power, then: {socketcan.commands(self._channel)}. {said}"

    @property
    def after_blocked(self) -> str:
        """What an operator should know once a joint was held back."""
        return "Support the arm before you enable it: a motor that pushed for long may have let go"

    def settings(self) -> dict[str, object]:
        """What the SDK was told of the arm, and how often it had to be started."""
        options = self._options
        return {
            "model": options.model,
            "gravity_compensation": options.gravity_compensation,
            "kp": " ".join(f"{gain:g}" for gain in options.kp),
            "kd": " ".join(f"{gain:g}" for gain in options.kd),
            "sdk_starts": self._starts,
        }

    def connect(self) -> None:
        """See that the arm is the contract's, start the SDK and wait for its first state.

        Raises:
            HardwareError: another driver holds the bus, it cannot be opened, the arm is another model, its
                gripper reads outside its range, or the SDK does not come up.
        """
        self._lock.acquire()
        self._starts = 0
        try:
            self._probe()
            environment = emulated_socketcan.environment(self._channel) if self._emulated else {}
            sizes = (COMMAND_SIZE, STATE_SIZE)
            self._process = SdkProcess(WORKER, self._configuration(), sizes, environment, GIVEN_UP)
            self._start(time.monotonic())
            give_up = time.monotonic() + START_S
            while self._process.state() is None:
                if not self._process.running and self._starts < START_TRIES:
                    self._start(time.monotonic())  # its constructor ends where answers are late
                elif not self._process.running or time.monotonic() > give_up:
                    raise HardwareError(f"arx5: the SDK does not come up on {self._bus}. {self.recovery}")
                time.sleep(0.02)
            self._require_alive(time.monotonic() + START_S / 2)
            self._errors.start()
        except HardwareError:
            self.close()
            raise

    def enable(self, hold: np.ndarray) -> None:
        """Ask for gains, with `hold` (7,) as the command that they start from; until `read` reports `enabled`.

        A motor that let go because of an error is cleared first, without gains, or it would leap to where the rest is.

        Raises:
            HardwareError: the SDK's process has ended, or `hold` is not where the joints are.
        """
        now = time.monotonic()
        if now - self._asked < ENABLE_AGAIN_S:
            return
        self._asked = now
        if self._errors.found:
            self._running().request(action="disable")
            self._errors.clear()
        elif not self._has_gains:
            self._require_near(hold)
            self._running().request(action="enable", hold=hold.tolist())

    def disable(self) -> None:
        """Take the gains away: the arm sinks slowly (damping); the SDK cannot cut the motors' power.

        Raises:
            HardwareError: the SDK's process has ended.
        """
        self._running().request(action="disable")

    def read(self, now: float) -> Measurement:
        """Newest state, dated by `now` [s, steady clock]."""
        found = None if self._process is None else self._process.state()
        if found is not None and self._readings.update(found[0][1:-1], found[1], now):
            self._has_gains = bool(found[0][-1])
        ages = self._readings.ages(now)
        position, velocity, effort = self._readings.copies()
        return Measurement(
            position=position,
            velocity=velocity,
            effort=effort,
            age_s=float(ages.max()),
            enabled=self._has_gains,
            powered=self._has_gains,
            faults=self._faults(),
            joint_age_s=ages,
        )

    def write(self, position: np.ndarray) -> None:
        """Send a target, shape (7,): six joints [rad] and the gripper's opening [m].

        Raises:
            HardwareError: the SDK's process has ended.
        """
        target = position.copy()
        target[JOINTS] = min(max(target[JOINTS], 0.0), self._options.gripper_width)
        self._running().command(np.concatenate([[self._times.next(time.monotonic())], target]))

    def recover(self) -> None:
        """Kill an SDK that stands still, or that hears no motor, or start one that has ended.

        One that hears some of its motors is left alone, and those hold: a new one would take their gains away.

        Raises:
            HardwareError: it cannot be started yet; the message says why.
        """
        if self._process is None:
            return
        now = time.monotonic()
        if not self._process.running:
            words = self._process.ending()
            self._start(now)
            raise HardwareError(f"arx5: the SDK has ended and is started again. {words}".strip())
        # Every motor is silent where the SDK stands still, and where the bus is gone: a new one opens it again.
        if self._readings.received_any:
            silent_s = self._readings.ages(now).min()
        else:
            silent_s = now - self._started - START_S + HUNG_S
        if self._process.alarmed or silent_s > HUNG_S:
            self._process.kill()

    def close(self) -> None:
        """Leave the bus as the contract's `at_exit` says."""
        self._errors.close()
        if self._process is not None:
            self._process.close()
            self._process = None
        self._lock.release()

    def _require_near(self, hold: np.ndarray) -> None:
        position = self._readings.position
        away = np.abs(hold - position)[:JOINTS]
        if not away.max() <= MOST_FROM_HOLD_RAD:
            joint = int(away.argmax())
            raise HardwareError(
                f"arx5: enable: expected a hold within {MOST_FROM_HOLD_RAD} rad of where the joints are, found "
                f"{hold[joint]:.3f} for {self._joints[joint]} at {position[joint]:.3f} rad: it would leap"
            )

    def _faults(self) -> tuple[str, ...]:
        """Errors of motors, and the SDK's emergency state: it has locked itself up, and motors keep pushing."""
        if self._process is None or not self._process.alarmed:
            return self._errors.found
        words = next((w for w in reversed(self._process.last_words) if "urrent" in w), self._process.alarmed)
        return (f"the SDK gave up ({words.rpartition('] ')[2]}): support the arm, it is started again",)

    def _start(self, now: float) -> None:
        assert self._process is not None
        self._readings.restart()
        self._has_gains, self._started = False, now
        self._starts += 1
        self._process.start()

    def _probe(self) -> None:
        """See which motors answer, before the SDK speaks to them."""
        if self._emulated and not socket_path(self._channel).exists():
            raise EmulatorMissing(
                f"arx5: expected an emulator on bus {self._bus}, found no {socket_path(self._channel)}"
            )
        if not self._emulated:
            socketcan.require_up(self._channel)
        try:
            with can.Bus(channel=self._channel, interface=self._interface, bitrate=socketcan.BITRATE) as bus:
                found = probe(bus)
        except (OSError, can.CanError) as error:
            raise HardwareError(f"arx5: cannot open {self._bus}: {error}. {self.recovery}") from error
        require(found, self._options, self._bus)

    def _require_alive(self, give_up: float) -> None:
        """Wait until every motor's reading has changed, which one that never answered does not."""
        while self._readings.silent.any():
            self.read(time.monotonic())
            if time.monotonic() > give_up:
                motors = zip(
                    self._joints, MODELS[self._options.model].identifiers, self._readings.silent, strict=True
                )
                silent = ", ".join(
                    f"{joint} (motor {motor})" for joint, motor, is_silent in motors if is_silent
                )
                raise HardwareError(f"arx5: {silent} did not answer on {self._bus}: check the cables")
            time.sleep(0.005)

    def _running(self) -> SdkProcess:
        if self._process is None or not self._process.running:
            raise HardwareError(f"arx5: the SDK on {self._bus} has ended. {self.recovery}")
        return self._process

    def _configuration(self) -> dict[str, object]:
        return {
            "options": self._options.model_dump(),
            "channel": self._channel,
            "can": self._interface,
            "interface": "can0" if self._emulated else self._channel,
            "preview_s": self._preview_s,
            "speed_limits": self._speed_limits.tolist(),
        }


def _require_within(contract: RobotContract, part: PartConfig, options: BackendOptions) -> None:
    """Refuse limits that the SDK would clip, because the driver would believe it had moved.

    Raises:
        ContractError: names joint, expected and found.
    """
    model = MODELS[options.model]
    lower, upper = (*model.lower, 0.0), (*model.upper, options.gripper_width)
    for place, name in enumerate(part.joints):
        at = part.joint_indices[place]
        found = (contract.limits.lower[at], contract.limits.upper[at])
        if found[0] < lower[place] - LIMIT_SLACK_RAD or found[1] > upper[place] + LIMIT_SLACK_RAD:
            raise ContractError(
                f"{contract.robot}: joints.{name}: expected limits within the SDK's {lower[place]} to "
                f"{upper[place]}, found {found[0]:g} to {found[1]:g}"
            )
