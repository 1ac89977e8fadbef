"""Lockstep rollouts: simulation waits for the policy, so a trial takes as long as the machine needs.

The same player and safety gate stand between policy and arm as on the robot, and a chunk reaches the
player `delay_s` after its observation, as it does there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mivla_drivers.contract import RobotContract
from mivla_drivers.control.safety_gate import SafetyGate
from mivla_drivers.control.trajectory import ActionChunk, TrajectoryPlayer
from mivla_drivers.observation import Observation
from mivla_drivers.policy import Policy
from mivla_drivers.simulation.renderer import render
from mivla_drivers.simulation.scene import Scene
from mivla_drivers.simulation.task import MoveBottleOntoPad
from mivla_drivers.simulation.world import World


@dataclass(frozen=True)
class RolloutResult:
    """What one lockstep trial came to; time is simulated seconds until success or the limit."""

    success: bool
    completeness: float
    time_s: float
    subtasks: dict[str, bool]


class LockstepWorld:
    """One world in which trials run one after another."""

    def __init__(self, contract: RobotContract, scene: Scene) -> None:
        self._contract = contract
        self._world = World(contract, scene)
        self._task = MoveBottleOntoPad()

    def run(
        self,
        policy: Policy,
        scene: Scene,
        time_limit_s: float = 25.0,
        replan_steps: int = 8,
        delay_s: float = 0.1,
    ) -> RolloutResult:
        """One trial of `policy` in `scene`, from home.

        Args:
            time_limit_s: of simulated time.
            replan_steps: policy periods between two chunks.
            delay_s: from an observation to its chunk.
        """
        world, contract = self._world, self._contract
        world.reset(scene)
        self._task.reset()
        period = 1.0 / contract.policy_rate_hz
        player, gate = TrajectoryPlayer(), SafetyGate(contract.limits, world.step_s)
        arriving: tuple[float, ActionChunk] | None = None
        next_observation = 0.0
        done: dict[str, bool] = dict.fromkeys(self._task.subtasks, False)
        looks = 0
        while world.time_s < time_limit_s and not self._task.success:
            now = world.time_s
            if now >= next_observation:
                arriving = (now + delay_s, self._decide(policy, now))
                next_observation = now + replan_steps * period
            if arriving is not None and now >= arriving[0]:
                player.receive(arriving[1], now, gate.position)
                arriving = None
            world.target = gate.step(player.sample(now), world.read().position)
            world.step()
            if world.time_s >= looks * 0.1:
                done, looks = self._task.update(world), looks + 1
        return RolloutResult(self._task.success, float(np.mean(list(done.values()))), world.time_s, done)

    def close(self) -> None:
        """Release the world."""
        self._world.close()

    def _decide(self, policy: Policy, now: float) -> ActionChunk:
        cameras = [camera for camera in self._contract.cameras if camera.view in policy.views]
        images = {camera.view: render(self._world, camera) for camera in cameras}
        return policy.infer(Observation(images, self._world.read().position, self._task.instruction, now))
