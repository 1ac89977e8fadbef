"""The driver's mind: which target goes to the robot at which moment, and when it holds instead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mivla_drivers.contract import RobotContract
from mivla_drivers.driver_report import Diagnostics, Mode, StepReport
from mivla_drivers.errors import CommandRefused, HardwareError
from mivla_drivers.gate import SafetyGate, refuse_untimely
from mivla_drivers.hardware.base import Hardware, Measurement
from mivla_drivers.monitors import Lasting, TrackingMonitor
from mivla_drivers.trajectory import ActionChunk, TrajectoryPlayer

SOURCES = ("none", "policy", "teleop")
STALE_S = 0.1  # feedback older than this pauses the robot; it goes on by itself when feedback is back in time
SILENT_S = 0.5  # feedback older than this takes the robot away from its source until an operator enables it
FRESH_S = 0.1  # feedback that comes back must last this long: its first frames complete a pose that is old
RECOVERY_PERIOD_S = 1.2  # longer than the second that an SDK's reader may need to leave a dead bus
ENABLE_PERIOD_S = 0.05
ENABLE_STABLE_S = 0.1
ENABLE_TIMEOUT_S = 5.0
POWER_LOSS_S = 0.2  # the drives report their state at 40 Hz
RAMP_SPEED = 0.3  # share of the velocity limits, until a first chunk's or a new source's target is met
TRACKING_ERROR_RAD = 0.2  # a joint further away than this for longer than the patience is blocked
TRACKING_PATIENCE_S = 0.3
LEAD = 1.5  # times the tracking error: no command goes further ahead of a joint that is held back
MET = {"rad": 0.05, "m": 0.01}
AT_HOME = {"rad": 1e-3, "m": 1e-3}
OUT_OF_HEARING = "The arm holds its last target while it has power."


class Driver:
    """Plays chunks through the safety gate, one source at a time, and holds when it must.

    It knows no ROS, no clock and no thread: `step` is called at the contract's control rate, `now` is [s] of
    a steady clock, and a caller with several threads holds a lock around every call.
    """

    def __init__(self, contract: RobotContract, hardware: Hardware) -> None:
        self._contract = contract
        self._hardware = hardware
        self._player = TrajectoryPlayer()
        tolerance = contract.tracking_error_rad or TRACKING_ERROR_RAD
        # A gripper squeezes, so it may be blocked.
        tolerances = np.where(contract.is_gripper, np.inf, tolerance)
        self._tracking = TrackingMonitor(tolerances, TRACKING_PATIENCE_S)
        self._gate = SafetyGate(contract.limits, 1.0 / contract.control_rate_hz, LEAD * tolerances)
        self._met = np.array([MET[unit] for unit in contract.units])
        self._at_home = np.array([AT_HOME[unit] for unit in contract.units])
        self._grace_s = 2.0 / contract.policy_rate_hz
        self._measurement: Measurement | None = None
        self._mode = Mode.DISABLED
        self._reason = "motors are not commanded; call driver/enable"
        self._source = "none"
        self._following = "hold"
        self._homing = False
        self._ramping = True
        self._cutting_power = False
        self._had_power = False  # whether there is power to be lost
        self._powerless = Lasting(POWER_LOSS_S)
        self._powered_well = Lasting(ENABLE_STABLE_S)
        self._enabling_long = Lasting(ENABLE_TIMEOUT_S)
        self._feedback_lasts = Lasting(FRESH_S)
        self._moved_last = -np.inf
        self._next_attempt = -np.inf
        self._counts = {"chunks_accepted": 0, "chunks_ignored": 0, "chunks_refused": 0}
        self._last_refusal = ""

    @property
    def mode(self) -> Mode:
        """What the driver does now."""
        return self._mode

    @property
    def reason(self) -> str:
        """Why it does that, in an operator's words."""
        return self._reason

    @property
    def source(self) -> str:
        """The selected command source."""
        return self._source

    @property
    def resting(self) -> bool:
        """Whether the commanded speed is zero."""
        return not self._gate.velocity.any()

    @property
    def _powered(self) -> bool:
        return self._measurement is not None and self._measurement.powered

    @property
    def measured(self) -> np.ndarray:
        """Newest measured position, shape (n,); the home pose before the first step."""
        return (self._contract.home if self._measurement is None else self._measurement.position).copy()

    def receive(self, chunk: ActionChunk, now: float) -> bool:
        """Play a chunk from its first step on; false where its source does not hold the robot.

        Args:
            chunk: its stamp is on the clock of `now`.
            now: [s, steady clock].

        Raises:
            CommandRefused: the chunk is stale, from the future, older than the one being played, of another
                robot's size, or the driver is not active.
        """
        if chunk.source != self._source:
            self._counts["chunks_ignored"] += 1
            return False
        where = f"{chunk.source} chunk"
        if self._mode is not Mode.ACTIVE:
            raise CommandRefused(f"{where}: the driver is {self._mode.value}: {self._reason}")
        if self._homing:
            raise CommandRefused(f"{where}: the robot is on its way home")
        if chunk.positions.shape[1] != self._contract.size:
            raise CommandRefused(
                f"{where}: expected {self._contract.size} joints, got {chunk.positions.shape[1]}"
            )
        refuse_untimely(chunk, now)
        if self._player.playing(now) and chunk.stamp < self._player.stamp:
            raise CommandRefused(
                f"{where}: {self._player.stamp - chunk.stamp:.2f} s older than the one being played"
            )
        if not self._player.playing(now) and self._moved_last < chunk.stamp:
            # The robot has stood still since the observation, so the plan is whole: it is played from its
            # beginning. Entered in its middle, it would start with a jump as large as its source is slow.
            # A robot that moved since then would be led back, so its chunk is played by time.
            chunk = replace(chunk, times=chunk.times + max(0.0, now - chunk.stamp))
        self._player.receive(chunk, now, self._gate.position)
        self._counts["chunks_accepted"] += 1
        return True

    def note_refusal(self, error: CommandRefused) -> None:
        """Keep a refusal for the diagnostics."""
        self._counts["chunks_refused"] += 1
        self._last_refusal = str(error)

    def select_source(self, name: str) -> None:
        """Give the robot to one source: "none", "policy" or "teleop"; the first target of it is ramped to.

        Raises:
            CommandRefused: there is no such source.
        """
        if name not in SOURCES:
            raise CommandRefused(f"command_source: expected one of {list(SOURCES)}, got {name!r}")
        if name != self._source:
            self._source = name
            self._homing = False
            self._player.clear()
            self._ramping = True

    def enable(self) -> None:
        """Give the motors power and hold; the one way out of stop, fault and silence.

        Those took the robot away from its source, so it moves again only for one that is selected afterwards.

        Raises:
            CommandRefused: nothing is heard from the robot.
        """
        if self._mode is Mode.SILENT:
            raise CommandRefused(f"enable: {self._reason}")
        if self._mode not in (Mode.ACTIVE, Mode.ENABLING):
            self._cutting_power = False
            self._powered_well.restart()
            self._enabling_long.restart()
            self._had_power = False
            self._next_attempt = -np.inf
            self._switch(Mode.ENABLING, "motors are being given power")

    def stop(self) -> None:
        """Brake and hold with powered motors until `enable`; an arm never drops because of it.

        Raises:
            CommandRefused: the robot would not hear it.
        """
        if self._mode is Mode.SILENT:
            raise CommandRefused(f"stop: use the hardware emergency stop. {self._reason}")
        waiting = self._mode in (Mode.ENABLING, Mode.DISABLED)
        if self._mode is Mode.ACTIVE or (waiting and self._powered and not self._cutting_power):
            holds = self._mode is Mode.ACTIVE or (self._measurement is not None and self._measurement.enabled)
            what = "the arm holds" if holds else "but not every motor has power: support the arm"
            self._switch(Mode.STOPPED, f"stopped by an operator, {what}; call driver/enable to go on")
        elif self._mode is Mode.ENABLING:
            self._switch(Mode.DISABLED, "stopped by an operator before the motors had power")

    def disable(self) -> None:
        """Cut the motors' power: an arm FALLS. Refused unless the driver was stopped before.

        Raises:
            CommandRefused: the arm holds and was not stopped first, or nobody would hear the command.
        """
        if self._mode is Mode.SILENT:
            raise CommandRefused(f"disable: {self._reason}")
        held = self._mode in (Mode.STOPPED, Mode.FAULT)
        if not held and not self._cutting_power and (self._powered or self._mode is not Mode.DISABLED):
            raise CommandRefused(
                f"disable: cuts the motors' power and the arm falls, and the driver is {self._mode.value}. "
                "Support the arm, call driver/stop, then driver/disable"
            )
        self._cutting_power = True
        self._had_power = False
        self._next_attempt = -np.inf
        self._switch(Mode.DISABLED, "the motors' power is being cut: the arm falls")

    def home(self) -> None:
        """Move to the contract's home pose at ramp speed, then hold.

        Raises:
            CommandRefused: the driver is not active, or a source holds the robot.
        """
        if self._mode is not Mode.ACTIVE:
            raise CommandRefused(f"home: the driver is {self._mode.value}: {self._reason}")
        if self._source != "none":
            raise CommandRefused(f"home: {self._source} holds the robot; set command_source to none first")
        self._homing = True
        self._reason = "moving home"

    def fail(self, message: str) -> None:
        """Hold because of an error; `message` says which."""
        if self._mode is not Mode.SILENT:
            self._switch(Mode.FAULT, f"{message}; the arm holds. Call driver/enable to go on")

    def _lose_power(self) -> None:
        self._had_power = False
        self._switch(
            Mode.FAULT, "motors lost their power: support the arm, it may be falling. Then call driver/enable"
        )

    def step(self, now: float) -> StepReport:
        """One period: listen, decide, command. `now` is [s, steady clock].

        Trouble with the robot or its bus ends in a hold and a reason, not in an exception.
        """
        measurement = self._measurement = self._hardware.read(now)
        self._following = "hold"
        command = None
        self._notice_silence(measurement, now)
        try:
            if self._mode is Mode.SILENT:
                self._recover(now)
            elif self._mode is Mode.DISABLED:
                self._rest(measurement, now)
            elif self._mode is Mode.ENABLING:
                self._give_power(measurement, now)
            else:
                command = self._command(measurement, now)
        except HardwareError as error:
            self._fall_silent(str(error))
        if not self.resting:
            self._moved_last = now
        return StepReport(
            target=measurement.position.copy() if command is None else command,
            measured=measurement.position,
            velocity=measurement.velocity,
            effort=measurement.effort,
            source=self._following,
            mode=self._mode,
            age_s=measurement.age_s,
        )

    def diagnostics(self, now: float) -> Diagnostics:
        """State for an operator; `now` is [s, steady clock]."""
        measurement, commanded = self._measurement, self._gate.position
        values: dict[str, object] = {
            "mode": self._mode.value,
            "command_source": self._source,
            "following": self._following,
            "chunk_left_s": f"{max(0.0, self._player.end - now):.2f}",
            **self._counts,
            "last_refusal": self._last_refusal,
        }
        warnings: tuple[str, ...] = ()
        if measurement is not None:
            warnings = measurement.warnings
            if self._mode in (Mode.STOPPED, Mode.FAULT):
                warnings += tuple(fault for fault in measurement.faults if fault not in self._reason)
            values["motors_enabled"] = measurement.enabled
            values["feedback_age_ms"] = f"{1000 * measurement.age_s:.0f}"
            values |= {
                f"{part.name}/feedback_age_ms": f"{1000 * part.age_s:.0f}" for part in measurement.parts
            }
            if commanded is not None:
                error = np.abs(commanded - measurement.position)[~self._contract.is_gripper].max(initial=0.0)
                values["tracking_error_rad"] = f"{error:.3f}"
        waiting = self._mode is Mode.ACTIVE and self._following == "hold" and self._source != "none"
        if self._mode in (Mode.FAULT, Mode.SILENT):
            level = "error"
        elif self._mode is Mode.STOPPED or waiting or warnings:
            level = "warn"
        else:
            level = "ok"
        return Diagnostics(level, "; ".join((f"{self._mode.value}: {self._reason}", *warnings)), values)

    def _switch(self, mode: Mode, reason: str) -> None:
        self._mode, self._reason = mode, reason
        self._player.clear()
        self._tracking.restart()
        self._homing = False
        self._ramping = True
        if mode not in (Mode.ENABLING, Mode.ACTIVE):
            self._source = "none"

    # What a step does in each mode

    def _notice_silence(self, measurement: Measurement, now: float) -> None:
        lasts = self._feedback_lasts.see(measurement.age_s < STALE_S, now)
        if self._mode is Mode.SILENT and lasts:
            self._gate.restart()
            self._had_power = False
            if measurement.enabled:
                self._switch(Mode.STOPPED, "feedback is back and the arm holds; call driver/enable to go on")
            else:
                self._switch(Mode.DISABLED, "feedback is back but motors lack power; call driver/enable")
        elif self._mode is not Mode.SILENT and measurement.age_s > SILENT_S:
            self._fall_silent(self._silence(measurement))
            self._next_attempt = now

    def _silence(self, measurement: Measurement | None) -> str:
        """Which buses are silent."""
        silent = measurement.silent_parts(SILENT_S) if measurement is not None else ()
        return f"no feedback on {self._contract.buses(silent) or self._contract.bus} for {SILENT_S} s"

    def _fall_silent(self, what: str) -> None:
        self._switch(Mode.SILENT, f"{what}. {OUT_OF_HEARING} {self._hardware.recovery}")
        self._cutting_power = False

    def _recover(self, now: float) -> None:
        if now >= self._next_attempt:
            self._next_attempt = now + RECOVERY_PERIOD_S
            try:
                self._hardware.recover()
                what = self._silence(self._measurement)
            except HardwareError as error:
                what = str(error)
            self._reason = f"{what}. {OUT_OF_HEARING} {self._hardware.recovery}"

    def _rest(self, measurement: Measurement, now: float) -> None:
        self._gate.restart()
        if self._cutting_power and now >= self._next_attempt:
            self._next_attempt = now + ENABLE_PERIOD_S
            self._hardware.disable()
            self._cutting_power = measurement.powered
            if not measurement.powered:
                self._reason = "an operator cut the motors' power; call driver/enable"

    def _give_power(self, measurement: Measurement, now: float) -> None:
        self._gate.restart()
        too_long = self._enabling_long.see(True, now)
        if self._powered_well.see(measurement.enabled and not measurement.faults, now):
            self._had_power = True
            self._switch(Mode.ACTIVE, "motors have power, the arm holds")
        elif too_long:
            why = "; ".join(measurement.faults) or "a motor reports no power"
            self._switch(Mode.FAULT, f"motors did not come up in {ENABLE_TIMEOUT_S:.0f} s: {why}")
        elif now >= self._next_attempt:
            self._next_attempt = now + ENABLE_PERIOD_S
            self._hardware.enable()

    def _command(self, measurement: Measurement, now: float) -> np.ndarray | None:
        """Command of the modes that hold or follow; None where motors have no power to follow with."""
        self._notice_faults(measurement, now)
        if not self._had_power:
            self._gate.restart()
            return None
        target, speed = self._wanted(measurement, now)
        if self._following == "hold":
            self._ramping = True
        command = self._gate.step(target, measurement.position, speed)
        if target is not None and (np.abs(target - command) <= self._met).all():
            self._ramping = False
        self._hardware.write(command)
        return command

    def _notice_faults(self, measurement: Measurement, now: float) -> None:
        self._had_power |= measurement.enabled
        powerless = self._powerless.see(self._had_power and not measurement.enabled, now)
        if measurement.age_s > STALE_S:
            return
        commanded = self._gate.position
        if powerless:
            self._lose_power()
        elif self._mode is Mode.FAULT:
            return
        elif measurement.faults and self._mode is Mode.ACTIVE:
            self.fail("; ".join(measurement.faults))
        elif commanded is not None:
            joint = self._tracking.blocked(commanded, measurement.position, now)
            if joint is not None:
                self._hold_where_blocked(joint, commanded, measurement.position)

    def _hold_where_blocked(self, joint: int, commanded: np.ndarray, measured: np.ndarray) -> None:
        """Give in at the arm, but keep what the gripper squeezes."""
        self._gate.restart(np.where(self._contract.is_gripper, commanded, measured))
        name, unit = self._contract.joints[joint], self._contract.units[joint]
        self.fail(
            f"{name} is blocked: commanded {commanded[joint]:.3f} {unit}, measured {measured[joint]:.3f}"
        )

    def _wanted(self, measurement: Measurement, now: float) -> tuple[np.ndarray | None, float]:
        """Target (None to hold) and share of the speed limits; sets what is followed and why."""
        if self._mode is not Mode.ACTIVE:
            return None, 1.0
        if measurement.age_s > STALE_S:
            self._reason = (
                f"feedback is {1000 * measurement.age_s:.0f} ms old, the arm holds until it is fresh"
            )
            return None, 1.0
        if self._homing:
            return self._wanted_home()
        if self._source == "none":
            self._reason = "no command source is selected, the arm holds"
            return None, 1.0
        target = self._player.sample(now)
        if target is None and now <= self._player.end + self._grace_s:
            target = self._player.last
        if target is None:
            self._reason = f"nothing to play from {self._source} for two policy periods, the arm holds"
            return None, 1.0
        self._following = self._source
        self._reason = f"following {self._source}"
        return target, RAMP_SPEED if self._ramping else 1.0

    def _wanted_home(self) -> tuple[np.ndarray | None, float]:
        position = self._gate.position
        if position is not None and (np.abs(position - self._contract.home) <= self._at_home).all():
            self._homing = False
            return None, 1.0
        self._following = "home"
        self._reason = "moving home"
        return self._contract.home, RAMP_SPEED
