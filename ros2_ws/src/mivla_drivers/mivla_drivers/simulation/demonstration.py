"""Expert demonstrations in lockstep: simulation as fast as the machine can, no ROS and no clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mivla_drivers.contract import RobotContract
from mivla_drivers.simulation.expert import BottleExpert, Plan
from mivla_drivers.simulation.renderer import render
from mivla_drivers.simulation.scene import Scene, sample_scene
from mivla_drivers.simulation.task import MoveBottleOntoPad
from mivla_drivers.simulation.world import TableWorld, World

START_SPREAD_RAD = 0.12
PUSH_RAD = 0.05  # how far a disturbance may lead the arm away from the plan
PUSH_TIME_S = 0.5
JPEG_QUALITY = 95


@dataclass(frozen=True)
class Demonstration:
    """One episode sampled at the policy's rate.

    Attributes:
        joints: measured, shape (T, n) contract order.
        commands: the expert's target at the following steps, shape (T, H, n).
        images: {view: T JPEG images}.
        success: whether every sub-task was done.
    """

    joints: np.ndarray
    commands: np.ndarray
    images: dict[str, list[bytes]]
    success: bool


class Demonstrator:
    """Runs the expert in one world; seeds and modes are given an episode."""

    def __init__(self, contract: RobotContract) -> None:
        self._contract = contract
        self._world = World(contract, sample_scene(0, "easy"))
        self._expert = BottleExpert(contract)
        self._task = MoveBottleOntoPad()

    def run(self, seed: int, mode: str, horizon: int, disturbed: bool) -> Demonstration:
        """The demonstration of `seed`; where `disturbed`, pushes lead the arm astray and the plan leads it back.

        Raises:
            MivlaError: the arm does not reach a pose of the plan.
            ValueError: `mode` is neither easy nor hard.
        """
        return self.perform(sample_scene(seed, mode), seed, horizon, disturbed)

    def perform(self, scene: Scene, seed: int, horizon: int, disturbed: bool) -> Demonstration:
        """As `run`, in any scene; `seed` draws start, pushes and manner.

        Raises:
            MivlaError: the arm does not reach a pose of the plan.
        """
        rng = np.random.default_rng([seed, 1])
        start = random_start(self._contract, rng) if disturbed else self._contract.home
        self._world.reset(scene, start)
        self._task.reset()
        plan = self._expert.plan(scene, start, rng)
        executed = astray(plan, self._contract, rng) if disturbed else plan
        frames = record(self._world, plan, executed, horizon, lambda: self._task.update(self._world))
        return Demonstration(*frames, self._task.success)


def random_start(contract: RobotContract, rng: np.random.Generator) -> np.ndarray:
    """Joints (n,) near home, the gripper as at home."""
    spread = rng.uniform(-START_SPREAD_RAD, START_SPREAD_RAD, size=contract.size)
    spread[contract.is_gripper] = 0.0
    return np.clip(contract.home + spread, contract.limits.lower, contract.limits.upper)


def record(
    world: TableWorld[Any], plan: Plan, executed: Plan, horizon: int, look: Callable[[], object]
) -> tuple[np.ndarray, np.ndarray, dict[str, list[bytes]]]:
    """Joints, commands and images of an episode, as in `Demonstration`.

    Args:
        plan: what is noted as commanded.
        executed: what the arm follows.
        look: called after each policy period.
    """
    contract = world.contract
    period = 1.0 / contract.policy_rate_hz
    ahead = period * np.arange(1, horizon + 1)
    joints, commands = [], []
    images: dict[str, list[bytes]] = {camera.view: [] for camera in contract.cameras}
    steps_each = round(period / world.step_s)
    while world.time_s < plan.duration_s:
        joints.append(world.read().position)
        commands.append(plan.at(world.time_s + ahead))
        for camera in contract.cameras:
            images[camera.view].append(encode_jpeg(render(world, camera)))
        for _ in range(steps_each):
            world.target = executed.at(np.array(world.time_s + world.step_s))
            world.step()
        look()
    return np.array(joints), np.array(commands), images


def astray(plan: Plan, contract: RobotContract, rng: np.random.Generator) -> Plan:
    """`plan` with smooth random pushes; none where the gripper moves or the arm holds still."""
    return Plan(plan.times, plan.positions + _pushes(plan, contract, rng))


def encode_jpeg(rgb: np.ndarray) -> bytes:
    """JPEG bytes of an image (H, W, 3) uint8 rgb."""
    return bytes(
        cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[
            1
        ]
    )


def _pushes(plan: Plan, contract: RobotContract, rng: np.random.Generator) -> np.ndarray:
    """Smooth random offsets of the arm's joints, shape (T, n); none where the gripper moves or holds still."""
    count = max(2, int(plan.duration_s / PUSH_TIME_S))
    knots = rng.normal(0, 0.5 * PUSH_RAD, size=(count, contract.size)) * (rng.random((count, 1)) < 0.6)
    at = np.linspace(0, plan.duration_s, count)
    offset = np.stack([np.interp(plan.times, at, column) for column in knots.T], axis=-1)
    arm_speed = np.abs(np.gradient(plan.positions[:, ~contract.is_gripper], plan.times, axis=0)).max(axis=1)
    offset *= np.clip(arm_speed / 0.5, 0, 1)[:, None]
    offset[:, contract.is_gripper] = 0.0
    return offset
