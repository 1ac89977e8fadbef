"""The lockstep loop: simulation waits for whoever moves the robot, so time passes as fast as the machine can.

Trials, demonstrations and studies that need no ROS step their worlds here; `real_time` is the other loop.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mivla_drivers.contract import RobotContract
from mivla_drivers.control.safety_gate import SafetyGate, refuse_untimely
from mivla_drivers.control.trajectory import ActionChunk, TrajectoryPlayer
from mivla_drivers.control.workspace.limiter import workspace_limiter
from mivla_drivers.errors import CommandRefused
from mivla_drivers.execution_horizon import ExecutionHorizon
from mivla_drivers.observation import Observation
from mivla_drivers.policy import Policy
from mivla_drivers.simulation.expert import JointPlan
from mivla_drivers.simulation.task import LOOK_PERIOD_S, Progress, Task
from mivla_drivers.simulation.world.base_scene import BaseScene
from mivla_drivers.simulation.world.physics import World
from mivla_drivers.simulation.world.renderer import render

REPLAN_STEPS = 8  # policy periods between two observations
DELAY_S = 0.1  # from an observation to its chunk
STILL_RAD = 0.02  # a joint that stays within it stands still; as many metres for a gripper


@dataclass(frozen=True)
class EarlyEnd:
    """When a trial that is no success is given up before its time.

    Attributes:
        lost: as soon as the task says that it can no longer be done.
        still_s: after the robot has stood still for so long [s]; 0: never. A policy that sees what it saw before
            has been seen to stay where it is.
    """

    lost: bool = True
    still_s: float = 5.0


@dataclass(frozen=True)
class LockstepResult:
    """What one lockstep trial came to.

    Attributes:
        time_s: simulated seconds to its end.
        ended_by: "success", "time", or where it was given up "lost" or "still".
    """

    success: bool
    completeness: float
    time_s: float
    subtasks: dict[str, bool]
    ended_by: str = "time"


class Controller(Protocol):
    """Whoever moves the robot."""

    def command(self, world: World[Any]) -> np.ndarray:
        """What the joints shall follow during the next step, (n,) [rad or m]; asked before each step."""
        ...


class FollowPlan:
    """Moves the robot along a plan, with nothing between plan and motors."""

    def __init__(self, plan: JointPlan) -> None:
        self._plan = plan

    def command(self, world: World[Any]) -> np.ndarray:
        """Where the plan is at the end of the next step, (n,)."""
        return self._plan.at(world.time_s + world.step_s)


class FollowPolicy:
    """Moves the robot as a policy decides, with the driver's own player and safety gate between them.

    What replanning needs of a chunk reaches the player `delay_s` after its observation, as it does on the robot.
    Several may be on their way at once; one that is older than what is played, or that has nothing left to play, is
    refused as there.

    Attributes:
        refused: how many chunks were.
    """

    def __init__(
        self,
        policy: Policy,
        contract: RobotContract,
        step_s: float,
        instruction: str,
        replan_steps: int = REPLAN_STEPS,
        delay_s: float | Callable[[], float] = DELAY_S,
    ) -> None:
        """`delay_s` is one number or drawn for each chunk [s]; `replan_steps` are policy periods."""
        self._policy, self._instruction = policy, instruction
        self._cameras = [camera for camera in contract.cameras if camera.view in policy.views]
        self._replan_s = replan_steps / contract.policy_rate_hz
        self._horizon = ExecutionHorizon(self._replan_s, 1.0 / contract.policy_rate_hz)
        self._delay_s = delay_s
        self._player, self._gate = (
            TrajectoryPlayer(),
            SafetyGate(contract.limits, step_s, workspace=workspace_limiter(contract, step_s)),
        )
        self._on_their_way: list[tuple[float, int, ActionChunk]] = []  # a heap by arrival
        self._next_observation = 0.0
        self._count = itertools.count()
        self.refused = 0

    def command(self, world: World[Any]) -> np.ndarray:
        """The safety gate's next step towards what is played, (n,)."""
        now, measured = world.time_s, world.read().position
        if now >= self._next_observation:
            delay = self._delay_s if isinstance(self._delay_s, float | int) else self._delay_s()
            chunk = self._horizon.cut(self._policy.infer(self._observe(world, measured)), delay)
            heapq.heappush(self._on_their_way, (now + delay, next(self._count), chunk))
            self._next_observation = now + self._replan_s
        while self._on_their_way and now >= self._on_their_way[0][0]:
            self._receive(heapq.heappop(self._on_their_way)[2], now)
        return self._gate.step(self._player.sample(now), measured)

    def _receive(self, chunk: ActionChunk, now: float) -> None:
        try:
            if chunk.stamp < self._player.stamp:
                raise CommandRefused(f"{chunk.source} chunk: older than the one that was played last")
            refuse_untimely(chunk, now)
        except CommandRefused:
            self.refused += 1
            return
        if self._player.stamp == -np.inf:
            # As the driver does it: the robot has stood still since this observation, so the plan begins now.
            chunk = chunk.begun_later(now - chunk.stamp)
        self._player.receive(chunk, now, self._gate.position)

    def _observe(self, world: World[Any], measured: np.ndarray) -> Observation:
        images = {camera.view: render(world, camera) for camera in self._cameras}
        return Observation(images, measured, self._instruction, world.time_s)


class Lockstep:
    """One world of a task on a robot; trials and demonstrations run in it one after another. A context manager."""

    def __init__(self, contract: RobotContract, task: Task[Any]) -> None:
        self.contract, self.task = contract, task
        self._world: World[Any] | None = None
        self._progress: Progress | None = None

    def __enter__(self) -> Lockstep:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the world."""
        if self._world is not None:
            self._world.close()
            self._world = None

    @property
    def world(self) -> World[Any]:
        """The world; there is one from the first `reset` on."""
        assert self._world is not None, "reset comes first"
        return self._world

    @property
    def progress(self) -> Progress:
        """Of the task since the last `reset`."""
        assert self._progress is not None, "reset comes first"
        return self._progress

    def reset(self, scene: BaseScene, joints: np.ndarray | None = None) -> None:
        """Start anew in `scene`, the robot at `joints` (n,), at home by default."""
        if self._world is None:
            self._world = World(self.contract, scene, self.task.spawn, joints)
        else:
            self._world.reset(scene, joints)
        self._progress = self.task.progress(self._world)

    def run(
        self,
        controller: Controller,
        time_limit_s: float,
        observe: Callable[[World[Any]], None] | None = None,
        stop_at_success: bool = True,
        early: EarlyEnd | None = None,
    ) -> LockstepResult:
        """Let `controller` move the robot from the last `reset` until the task is done or time is up.

        Args:
            time_limit_s: of simulated time; rounded up to whole looks at the task, 0.1 s.
            observe: called at the beginning of every policy period.
            stop_at_success: end as soon as every sub-task was done.
            early: when to give up; None never does.
        """
        world, progress = self.world, self.progress
        steps_per_look = max(1, round(LOOK_PERIOD_S / world.step_s))
        steps_per_period = max(1, round(1.0 / (self.contract.policy_rate_hz * world.step_s)))
        steps, ended_by, stillness = 0, "time", _Stillness(world)
        while world.time_s < time_limit_s and not (stop_at_success and progress.success):
            for _ in range(steps_per_look):
                if observe is not None and steps % steps_per_period == 0:
                    observe(world)
                world.target = controller.command(world)
                world.step()
                steps += 1
            progress.update()
            if early is not None and not progress.success:
                if early.lost and self.task.lost(world):
                    ended_by = "lost"
                elif early.still_s and stillness.lasted_s() >= early.still_s:
                    ended_by = "still"
                if ended_by != "time":
                    break
        if progress.success:
            ended_by = "success"
        done = dict(progress.done)
        return LockstepResult(progress.success, progress.completeness, world.time_s, done, ended_by)

    def run_policy(
        self,
        policy: Policy,
        scene: BaseScene,
        seed: int,
        time_limit_s: float = 25.0,
        replan_steps: int = REPLAN_STEPS,
        delay_s: float | Callable[[], float] = DELAY_S,
        early: EarlyEnd | None = None,
    ) -> LockstepResult:
        """One trial of `policy` in `scene`, from home.

        Args:
            seed: what the policy is reset with.
            time_limit_s: of simulated time.
            replan_steps: policy periods between two observations.
            delay_s: from an observation to its chunk, one number or drawn for each.
            early: when to give up; None never does.
        """
        self.reset(scene)
        policy.reset(seed)
        controller = FollowPolicy(
            policy,
            self.contract,
            self.world.step_s,
            self.task.instruction(scene),
            replan_steps,
            delay_s,
        )
        return self.run(controller, time_limit_s, early=early)


class _Stillness:
    """For how long every joint has stayed where it is."""

    def __init__(self, world: World[Any]) -> None:
        self._world = world
        self._since_s, self._at = world.time_s, world.read().position

    def lasted_s(self) -> float:
        """Simulated seconds; asked at every look."""
        position = self._world.read().position
        if np.abs(position - self._at).max() > STILL_RAD:
            self._since_s, self._at = self._world.time_s, position
        return self._world.time_s - self._since_s
