"""Records the scripted expert through the topics and the recorder that teleoperation uses."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from rcl_interfaces.srv import SetParameters
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from mivla_bringup.trials.session import TrialError, TrialPlan, TrialSession
from mivla_drivers.contract import RobotContract
from mivla_drivers.control.trajectory import ActionChunk
from mivla_drivers.conversions import trajectory_message
from mivla_drivers.errors import MivlaError
from mivla_drivers.simulation.expert import JointPlan
from mivla_drivers.simulation.task import Task

LEADER_PERIOD_S = 0.05  # a leader arm's driver sends this often ...
LOOK_AHEAD_S = 0.5  # ... and the expert knows this much of its future
AFTERWARDS_S = 0.5  # the task looks once more at what stands still


class DemonstrationSession(TrialSession):
    """The operator's node of `mivla demos`: the expert takes the leader arm's place."""

    def __init__(
        self, contract: RobotContract, task: Task[Any], namespace: str, check: Callable[[], None]
    ) -> None:
        super().__init__(contract, namespace, check)
        for name in ("start", "save", "discard"):
            self._clients[f"recorder/{name}"] = self._node.create_client(Trigger, f"recorder/{name}")
        self._clients["recorder/set_parameters"] = self._node.create_client(
            SetParameters, "recorder/set_parameters"
        )
        self._leader = self._node.create_publisher(JointTrajectory, "teleop/joint_trajectory", 2)
        self._task = task
        self._expert = task.expert(contract)

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Wait for simulator, driver and recorder.

        Raises:
            TrialError: one of them is missing after `timeout_s`.
        """
        self._wait_for_body(timeout_s)

    def record(self, plan: TrialPlan) -> tuple[bool, str]:
        """One demonstration in a fresh scene: whether it succeeded, and the recorder's word on the episode.

        A demonstration that failed is discarded.

        Raises:
            TrialError: a part of the bringup refuses, falls silent or ends.
            MivlaError: the scene is out of the arm's reach.
        """
        self._pause()
        self._go_home()
        self._reset_scene(plan)
        self._instruction.publish(String(data=plan.instruction))
        joints = self._joints
        assert joints is not None  # wait_until_ready heard some
        scene = self._task.sample_scene(plan.seed, plan.mode)
        motion = self._expert.plan(scene, joints, np.random.default_rng([plan.seed, 3]))
        self._set_parameters("recorder", instruction=plan.instruction, seed=plan.seed, mode=plan.mode)
        self._demand("recorder/start")
        try:
            self._set_parameters("driver", command_source="teleop")
            self._play(motion)
            success = self._success
            self._pause()
        except BaseException:  # half an episode, which readers would take for a whole one
            with suppress(MivlaError):
                self._demand("recorder/discard")
            raise
        if not success:
            return False, self._demand("recorder/discard")
        self._set_parameters("recorder", success=True)
        return True, self._demand("recorder/save")

    def _play(self, motion: JointPlan) -> None:
        start = time.monotonic()
        offset = time.time() - start
        ahead = np.arange(LEADER_PERIOD_S, LOOK_AHEAD_S + 1e-9, LEADER_PERIOD_S)
        due = start
        while (elapsed := due - start) < motion.duration_s + AFTERWARDS_S:
            chunk = ActionChunk(motion.at(elapsed + ahead), ahead, due + offset, "teleop")
            self._leader.publish(trajectory_message(chunk, self._contract))
            due += LEADER_PERIOD_S
            while time.monotonic() < due:
                self._spin()

    def _demand(self, service: str) -> str:
        answer = self._call(service, Trigger.Request())
        if not answer.success:
            raise TrialError(f"{service}: {answer.message}")
        return answer.message
