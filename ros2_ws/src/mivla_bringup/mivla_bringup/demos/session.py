"""Records the scripted expert through the topics and the recorder that teleoperation uses.

With a leader arm, the expert's plan is what a scripted operator wants the robot to do; who leads the robot is then the
teleoperation, by the leader that the operator moves.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from trajectory_msgs.msg import JointTrajectory

from mivla_bringup.demos.leader import PACE, LeaderArm
from mivla_bringup.trials.errors import TrialError
from mivla_bringup.trials.operated_robot import OperatedRobot
from mivla_bringup.trials.scene import SimulatedScene, TrialPlan
from mivla_bringup.trials.timing import TimingWatch
from mivla_drivers.contract import RobotContract
from mivla_drivers.control.trajectory import ActionChunk
from mivla_drivers.errors import MivlaError
from mivla_drivers.execution_horizon import MARGIN_PERIODS
from mivla_drivers.ros.conversions import trajectory_message
from mivla_drivers.ros.robot_client import SERVICES, CallRefused, RobotClient
from mivla_drivers.simulation.expert import JointPlan
from mivla_drivers.simulation.task import Task
from mivla_drivers.teleop.scripted_operator import REACTION_S

START_S = 5.0  # within which a leader that stands as the robot does leads it
LEADER_PERIOD_S = 0.05  # a leader arm's driver sends this often
AFTERWARDS_S = 0.5  # the task looks once more at what stands still
LONGEST = 3.0  # times its planned duration, that a demonstration by a leader may take
LOOK_S = 0.1  # from one look at the diagnostics to the next
UNDERWAY_S = 0.5  # what the driver said until then may be of before
DRIVES = {"mode": "active", "command_source": "teleop"}  # what a driver says that teleoperation moves


class DemonstrationSession:
    """The operator of `mivla demos`: the expert takes the leader arm's place."""

    def __init__(
        self, contract: RobotContract, task: Task[Any], client: RobotClient, arm: LeaderArm | None = None
    ) -> None:
        """`arm` is a leader that a teleoperation of this bringup listens to; without one, chunks are sent from here."""
        self._contract, self._task, self._client, self._arm = contract, task, client, arm
        self._robot = OperatedRobot(contract, client)
        self._scene = SimulatedScene(client)
        if arm is None:
            self._leader = client.node.create_publisher(JointTrajectory, "teleop/joint_trajectory", 2)
        self._expert = task.expert(contract)
        self._timing = TimingWatch(client.watch.diagnostics, client.namespace)
        self._look_at = -math.inf
        self._begins, self._seconds = -math.inf, 0.0  # of the last demonstration

    @property
    def overload(self) -> tuple[str, ...]:
        """Where the machine did not keep up with the last demonstration, in words."""
        return self._timing.result().overload(self._seconds)

    def wait_until_ready(self, deadline_s: float = 60.0) -> None:
        """Wait for simulator, driver and recorder.

        Raises:
            RobotClientError: one of them is missing after `deadline_s`.
        """
        self._robot.wait_until_ready(deadline_s)
        self._scene.wait_until_ready(deadline_s)
        recorder = ("record", "save", "discard", "recorder/set_parameters")
        self._client.wait_for_services(recorder, deadline_s)
        self._robot.wait_for_listener(deadline_s)

    def record(self, plan: TrialPlan) -> tuple[bool, str]:
        """One demonstration in a fresh scene: whether it succeeded, and the recorder's word on the episode.

        A demonstration that failed is discarded, and so is one that no one could learn from: of which a camera's images
        are missing, for instance.

        Raises:
            TrialError: a part of the bringup refuses, falls silent or ends.
            RobotClientError: the same.
            MivlaError: the scene is out of the arm's reach, or the driver took the robot away.
        """
        client = self._client
        self._timing.begin(time.monotonic())
        self._robot.rest()
        if (
            client.driver_report().values.get("mode") == "fault"
        ):  # of an earlier demonstration; no arm is real here
            client.enable()
        if self._arm is not None:
            self._arm.operator.rest(self._contract.home)
        self._robot.go_home()
        self._scene.begin(plan)
        client.say(plan.instruction)
        assert plan.seed is not None
        scene = self._task.scene(plan.seed, plan.mode)
        motion = self._expert.plan(scene, self._robot.joints, np.random.default_rng([plan.seed, 3]))
        client.set_parameters("recorder", instruction=plan.instruction, seed=plan.seed, mode=plan.mode)
        try:
            _recorder(client.record)  # a stop may come before its answer
            client.select_source("teleop")
            self._perform(motion)
            success = self._scene.look().success
            self._robot.rest()
        except RecorderRefused:  # what it may be recording is somebody else's
            raise
        except BaseException:  # half an episode, which readers would take for a whole one
            with suppress(MivlaError):
                client.discard()
            raise
        if not success:
            return False, _recorder(client.discard)
        client.set_parameters("recorder", judgement="success", judged_by="simulator")
        return saved(client)

    def _perform(self, motion: JointPlan) -> None:
        self._begins = time.monotonic()
        self._timing.begin(self._begins)
        try:
            if self._arm is None:
                self._play(motion)
            else:
                self._lead(self._arm, motion)
        finally:
            self._seconds = time.monotonic() - self._begins

    def _look(self) -> None:
        """Handle messages, and end a demonstration that moves nothing.

        Raises:
            NotObeyed: the driver does not follow teleoperation any more.
        """
        self._client.spin()
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_S
        self._timing.note()
        report = self._client.driver_report()
        if report.when < self._begins + UNDERWAY_S:
            return
        if any(report.values.get(name) != value for name, value in DRIVES.items()):
            raise NotObeyed(f"the robot does not follow teleoperation any more: {report.message}")

    def _play(self, motion: JointPlan) -> None:
        start = time.monotonic()
        offset = time.time() - start
        until_s = LEADER_PERIOD_S + MARGIN_PERIODS / self._contract.policy_rate_hz
        ahead = np.arange(LEADER_PERIOD_S, until_s + 1e-9, LEADER_PERIOD_S)
        due = start
        while (elapsed := due - start) < motion.duration_s + AFTERWARDS_S:
            chunk = ActionChunk(motion.at(elapsed + ahead), ahead, due + offset, "teleop")
            self._leader.publish(trajectory_message(chunk, self._contract))
            due += LEADER_PERIOD_S
            while time.monotonic() < due:
                self._look()

    def _lead(self, arm: LeaderArm, motion: JointPlan) -> None:
        """The operator sees the robot and moves the leader.

        Raises:
            NotObeyed: the driver does not follow teleoperation any more, or the robot lags so far that the operator,
                who waits for it, does not come to an end.
        """
        operator, longest_s = arm.operator, LONGEST * motion.duration_s / PACE
        self._client.wait_until(self._is_led, START_S, "the leader to lead the robot")
        begins = time.monotonic()
        operator.perform(motion.at, begins, PACE)
        ends = math.inf
        while (now := time.monotonic()) < ends:
            if operator.progress_s < motion.duration_s:
                if now > begins + longest_s:
                    raise NotObeyed(
                        f"the robot came after {longest_s:.0f} s to {operator.progress_s:.1f} s of a plan of "
                        f"{motion.duration_s:.1f} s: the leader does not lead it, or this machine is too busy"
                    )
            elif ends == math.inf:
                ends = now + REACTION_S + AFTERWARDS_S
            operator.see(self._robot.joints, now)
            self._look()

    def _is_led(self) -> bool:
        found = self._client.watch.diagnostics.get(f"{self._client.namespace}/teleop".lstrip("/"))
        return found is not None and found[0].message.startswith("leading")


class NotObeyed(MivlaError):
    """A demonstration ends because the robot does not do what is asked of it."""


class RecorderRefused(TrialError):
    """The recorder does not do what it is asked for."""


def saved(client: RobotClient) -> tuple[bool, str]:
    """Save the episode under way: whether it can be learnt from, and the recorder's word; otherwise it is removed.

    Raises:
        RecorderRefused: it is not saved.
    """
    try:
        return True, client.save()
    except CallRefused as error:
        folder, *audit = str(error).splitlines()
        if not any(line.startswith("verdict: ") for line in audit):
            raise RecorderRefused(f"{SERVICES['save']}: {error}") from None
        shutil.rmtree(folder)
        return False, "\n".join([f"discarded {folder}", *audit])


def _recorder(call: Callable[[], str]) -> str:
    """The recorder's answer.

    Raises:
        RecorderRefused: it refuses.
    """
    try:
        return call()
    except CallRefused as error:
        raise RecorderRefused(f"{SERVICES[call.__name__]}: {error}") from None
