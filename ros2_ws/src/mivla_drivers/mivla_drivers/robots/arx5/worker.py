"""The process that has the ARX-5's SDK: `python -m mivla_drivers.robots.arx5.worker`, started by the driver.

A state has 23 numbers: the SDK's time of it, then position [rad or m], speed and torque of six joints and the gripper,
each (7,); last whether gains are on. A command has 8: when it was given [s, steady clock], six joints [rad] and the
gripper's opening [m].

A command is reached `preview_s` after it was given, along a straight line from wherever the one before has led, so that
500 frames a second are as smooth as the driver's 200 commands whatever the delays between the two processes. Where this
process was held up, commands are led on from where they stood.

Known about arx5-interface 0.1.5 and minded here: `JointState.pos()` of a temporary is dangling memory, so the object
is kept and its arrays copied; `set_gain` throws where the command is far from the joints, so the command is set to
where they are before gains go up; the constructor and the SDK's emergency state may never return.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import can
import numpy as np

from mivla_drivers.control.realtime import PRIORITY, request_realtime
from mivla_drivers.errors import HardwareError
from mivla_drivers.robots.arx5.model import JOINTS
from mivla_drivers.robots.arx5.options import BackendOptions
from mivla_drivers.robots.arx5.probe import probe, require
from mivla_drivers.robots.arx5.resumption import Resumption
from mivla_drivers.transport.sdk_process import WorkerLink, run_worker
from mivla_drivers.transport.socketcan import BITRATE

STATE_SIZE, COMMAND_SIZE = 23, 8
PERIOD_S = 0.002  # the SDK's own
SOONEST_S = 0.004  # a command that comes late is reached in two periods, within the speed limits
OLD_S = 0.05
HELD_UP_S = 0.05
FAR_OFF_RAD = 0.3


def work(configuration: dict[str, Any], link: WorkerLink) -> None:
    """Run the SDK until it is asked to close; an arm that it must not be started for is told as the last words."""
    try:
        with can.Bus(
            channel=configuration["channel"], interface=configuration["can"], bitrate=BITRATE
        ) as bus:
            require(
                probe(bus), BackendOptions.model_validate(configuration["options"]), configuration["channel"]
            )
    except (HardwareError, can.CanError, OSError) as error:
        print(error, flush=True)
        return
    Worker(configuration, link).run()


class Worker:
    """The SDK's controller, and what the driver asks of it."""

    def __init__(self, configuration: dict[str, Any], link: WorkerLink) -> None:
        import arx5_interface as sdk

        self._sdk, self._link = sdk, link
        self._options, self._preview_s = configuration["options"], configuration["preview_s"]
        robot = sdk.RobotConfigFactory.get_instance().get_config(self._options["model"])
        robot.gripper_width = self._options["gripper_width"]
        robot.gripper_open_readout = self._options["gripper_open_readout"]
        robot.joint_vel_max = np.array(configuration["speed_limits"][:JOINTS])
        robot.gripper_vel_max = configuration["speed_limits"][JOINTS]
        control = sdk.ControllerConfigFactory.get_instance().get_config("joint_controller", JOINTS)
        control.gravity_compensation = self._options["gravity_compensation"]
        # The SDK's own threads inherit it; the driver's, which they wait for, comes first.
        request_realtime(PRIORITY - 1)
        self._controller = sdk.Arx5JointController(robot, control, configuration["interface"])
        self._controller.set_log_level(sdk.LogLevel.WARNING)
        self._has_gains = False
        self._speed_limits = np.array(configuration["speed_limits"])
        self._resumption: Resumption | None = None
        self._let_go()

    def run(self) -> None:
        """Exchange states and commands at the SDK's rate until asked to close."""
        held_up, looped_at = False, time.monotonic()
        while True:
            held_up |= time.monotonic() - looped_at > HELD_UP_S
            looped_at = time.monotonic()
            self._write_state()
            for request in self._link.new_requests():
                if request["action"] == "close":
                    self._close()
                    return
                if request["action"] == "enable":
                    self._enable(np.array(request["hold"]))
                    held_up, looped_at = False, time.monotonic()
                elif request["action"] == "disable":
                    self._let_go()
            command = self._link.new_command()
            if command is not None and self._has_gains:
                now = time.monotonic()
                age_s = now - command[0]
                if age_s < OLD_S:  # one from before this process stood still is far ahead of the arm
                    if held_up:
                        self._resume(command[1:], now)
                        held_up = False
                    self._follow(self._led_on(command[1:], now), max(self._preview_s - age_s, SOONEST_S))
            if self._has_gains:
                self._let_go_of_those_far_off()
            time.sleep(PERIOD_S)

    def _resume(self, target: np.ndarray, now: float) -> None:
        """Lead commands from where the SDK's stands to `target` (7,), which the driver went on to meanwhile."""
        stood = self._controller.get_joint_cmd()
        at = np.array([*stood.pos(), stood.gripper_pos])
        self._resumption = Resumption(at, target, self._speed_limits, now)

    def _led_on(self, target: np.ndarray, now: float) -> np.ndarray:
        if self._resumption is None:
            return target
        command = self._resumption.command(target, now)
        if self._resumption.is_over(now):
            self._resumption = None
        return command

    def _write_state(self) -> None:
        state = self._controller.get_joint_state()  # kept: its arrays are views of it
        self._link.tell(
            np.array(
                [
                    state.timestamp,
                    *state.pos(), state.gripper_pos,
                    *state.vel(), state.gripper_vel,
                    *state.torque(), state.gripper_torque,
                    float(self._has_gains),
                ]
            )
        )  # fmt: skip

    def _follow(self, target: np.ndarray, within_s: float = 0.0) -> None:
        """Command `target` (7,), at once or along a straight line of `within_s`."""
        command = self._sdk.JointState(JOINTS)
        command.pos()[:] = target[:JOINTS]
        command.gripper_pos = float(target[JOINTS])
        command.timestamp = self._controller.get_timestamp() + within_s if within_s else 0.0
        try:
            self._controller.set_joint_cmd(command)
        except ValueError:  # this process was held up until that moment had passed
            command.timestamp = 0.0
            self._controller.set_joint_cmd(command)

    def _enable(self, hold: np.ndarray) -> None:
        """Gains up, with the pose to hold as the command before they are."""
        self._resumption = None
        self._follow(hold)
        time.sleep(2 * PERIOD_S)
        options = self._options
        gains = (
            np.array(options["kp"]),
            np.array(options["kd"]),
            options["gripper_kp"],
            options["gripper_kd"],
        )
        self._controller.set_gain(self._sdk.Gain(*gains))
        self._has_gains = True

    def _let_go(self) -> None:
        """No stiffness, as the contract's `when_disabled` says."""
        if self._options["when_disabled"] == "free":
            none, kd = np.zeros(JOINTS), np.array(self._options["free_kd"])
            self._controller.set_gain(self._sdk.Gain(none, kd, 0.0, self._options["gripper_free_kd"]))
        else:
            self._controller.set_to_damping()
        state = self._controller.get_joint_state()
        # Without stiffness a command is no place to go to, but the SDK would go on with the gripper's measured torque.
        self._follow(np.array([*state.pos(), state.gripper_pos]))
        self._has_gains = False

    def _let_go_of_those_far_off(self) -> None:
        """Take the stiffness of joints that are further from their command than any driver leads them.

        They were moved while they had no power, or something stronger holds them: with stiffness they would leap.
        """
        state, command = self._controller.get_joint_state(), self._controller.get_joint_cmd()
        far = np.abs(state.pos() - command.pos()) > FAR_OFF_RAD
        if not far.any():
            return
        names = ", ".join(f"joint{i + 1}" for i in np.flatnonzero(far))
        print(f"let go of {names}, more than {FAR_OFF_RAD} rad from its command", flush=True)
        gain = self._controller.get_gain()
        gain.kp()[far] = 0.0
        self._controller.set_gain(gain)
        self._has_gains = False

    def _close(self) -> None:
        """End as the contract says: the SDK's destructor lets the arm sink in two seconds, an exit does not."""
        if self._options["at_exit"] == "hold":
            os._exit(0)
        del self._controller


if __name__ == "__main__":
    run_worker(work, sys.argv[1:])
