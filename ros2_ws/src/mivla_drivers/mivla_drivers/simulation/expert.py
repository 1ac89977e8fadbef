"""Scripted experts: they know the scene and plan one joint trajectory through waypoints of the grip."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from mivla_drivers.contract import RobotContract
from mivla_drivers.errors import MivlaError
from mivla_drivers.kinematics import Kinematics
from mivla_drivers.simulation.grasping import Waypoint
from mivla_drivers.simulation.world.base_scene import AnyScene

JOINT_SPEED = 0.9  # mean [rad/s] of a segment's fastest joint
GRIPPER_TIME_S = 0.7
SHORTEST_SEGMENT_S = 0.6

SceneSeen = TypeVar("SceneSeen", contravariant=True)


@dataclass(frozen=True)
class JointPlan:
    """A joint trajectory: times (T,) [s], positions (T, n) in contract order."""

    times: np.ndarray
    positions: np.ndarray

    def at(self, times: np.ndarray | float) -> np.ndarray:
        """Positions at `times` (...,), linear between points, held beyond the ends; shape (..., n)."""
        columns = [np.interp(times, self.times, column) for column in self.positions.T]
        return np.stack(columns, axis=-1)

    @property
    def duration_s(self) -> float:
        """Time of the last point."""
        return float(self.times[-1])


class Expert(Protocol[SceneSeen]):
    """Plans from the true scene."""

    def plan(self, scene: SceneSeen, start: np.ndarray, rng: np.random.Generator) -> JointPlan:
        """Trajectory from `start` (n,) through the task; differences between repetitions come from `rng`.

        Raises:
            MivlaError: the arm does not reach one of the poses.
        """
        ...


class WaypointExpert(Generic[AnyScene]):
    """Reaches a task's waypoints by inverse kinematics, at rest in each; then goes home."""

    def __init__(
        self,
        contract: RobotContract,
        waypoints: Callable[[AnyScene, np.random.Generator], Sequence[Waypoint]],
        returns_home: bool = True,
        period_s: float = 0.02,
    ) -> None:
        """`waypoints` gives the way through a scene; `period_s` is between two points of a plan."""
        self._contract = contract
        self._kinematics = Kinematics(contract)
        self._waypoints = waypoints
        self._returns_home = returns_home
        self._period_s = period_s

    def plan(self, scene: AnyScene, start: np.ndarray, rng: np.random.Generator) -> JointPlan:
        """Trajectory from `start` (n,) through the waypoints; its speed is drawn from `rng` too.

        Raises:
            MivlaError: the arm does not reach one of the poses.
        """
        joints = np.asarray(start, dtype=float)
        way = [joints]
        for waypoint in self._waypoints(scene, rng):
            joints = reach(self._kinematics, waypoint.pose, joints, waypoint.opening)
            way.append(joints)
        if self._returns_home:
            way.append(self._contract.home)
        return timed(way, JOINT_SPEED * rng.uniform(0.9, 1.1), self._period_s)


def reach(kinematics: Kinematics, pose: np.ndarray, start: np.ndarray, opening: float) -> np.ndarray:
    """Joints (n,) with the end effector at `pose` (4, 4), searched from `start` (n,); gripper at `opening` [m].

    Raises:
        MivlaError: the arm does not reach it.
    """
    result = kinematics.inverse(pose, start)
    if not result.converged:
        raise MivlaError(
            f"expert: expected to reach {np.round(pose[:3, 3], 3).tolist()} m, "
            f"got within {result.position_error_m * 1000:.1f} mm"
        )
    joints = result.joints.copy()
    joints[kinematics.arm.gripper_index] = opening
    return joints


def timed(waypoints: list[np.ndarray], speed: float, period_s: float) -> JointPlan:
    """Plan through `waypoints` (n,), at rest in each; the fastest joint moves at a mean `speed` [rad/s]."""
    times, positions = [0.0], [waypoints[0]]
    for here, there in itertools.pairwise(waypoints):
        arm_moves = float(np.abs(there[:-1] - here[:-1]).max())
        duration = max(SHORTEST_SEGMENT_S, arm_moves / speed) if arm_moves > 1e-6 else GRIPPER_TIME_S
        steps = max(2, round(duration / period_s))
        phase = np.arange(1, steps + 1) / steps
        smooth = phase**2 * (3 - 2 * phase)  # starts and ends at rest
        positions += list(here + smooth[:, None] * (there - here))
        times += list(times[-1] + phase * duration)
    return JointPlan(np.array(times), np.array(positions))
