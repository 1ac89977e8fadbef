"""Records the scripted expert through the topics and the recorder that teleoperation uses.

With a leader arm, the expert's plan is what a scripted operator wants the robot to do; who leads the robot is then the
teleoperation, by the leader that the operator moves.
"""

from __future__ import annotations

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
            MivlaError: the scene is out of the arm's reach.
        """
        client = self._client
        self._robot.rest()
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
            if self._arm is None:
                self._play(motion)
            else:
                self._lead(self._arm, motion)
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
                self._client.spin()

    def _lead(self, arm: LeaderArm, motion: JointPlan) -> None:
        """The operator sees the robot and moves the leader."""
        self._client.wait_until(self._is_led, START_S, "the leader to lead the robot")
        begins = time.monotonic()
        arm.operator.perform(motion.at, begins, PACE)
        ends = begins + motion.duration_s / PACE + REACTION_S + AFTERWARDS_S
        while (now := time.monotonic()) < ends:
            arm.operator.see(self._robot.joints, now)
            self._client.spin()

    def _is_led(self) -> bool:
        found = self._client.watch.diagnostics.get(f"{self._client.namespace}/teleop".lstrip("/"))
        return found is not None and found[0].message.startswith("leading")


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
