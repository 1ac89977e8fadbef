"""A scripted expert for "Move bottle onto pad": it knows the scene and plans one joint trajectory."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from mivla_drivers.contract import RobotContract
from mivla_drivers.errors import MivlaError
from mivla_drivers.kinematics import Kinematics
from mivla_drivers.simulation.objects import PAD_THICKNESS_M
from mivla_drivers.simulation.scene import Scene

TOOL_PITCH_DEG = 135.0  # the gripper points forwards and down, half way
GRASP_HEIGHT_M = 0.065
APPROACH_M = 0.09
LIFT_M = 0.09
OPEN_M, CLOSED_M = 0.07, 0.03
JOINT_SPEED = 0.9  # mean [rad/s] of a segment's fastest joint
GRIPPER_TIME_S = 0.7
SHORTEST_SEGMENT_S = 0.6


@dataclass(frozen=True)
class Plan:
    """A joint trajectory: times (T,) [s], positions (T, n) in contract order."""

    times: np.ndarray
    positions: np.ndarray

    def at(self, times: np.ndarray) -> np.ndarray:
        """Positions at `times` (...,), linear between points, held beyond the ends; shape (..., n)."""
        columns = [np.interp(times, self.times, column) for column in self.positions.T]
        return np.stack(columns, axis=-1)

    @property
    def duration_s(self) -> float:
        """Time of the last point."""
        return float(self.times[-1])


class BottleExpert:
    """Plans from the true scene; what it does is what a careful operator with leader arms would do."""

    def __init__(self, contract: RobotContract, period_s: float = 0.02) -> None:
        self._contract = contract
        self._kinematics = Kinematics(contract)
        self._period_s = period_s

    def plan(self, scene: Scene, start: np.ndarray, rng: np.random.Generator) -> Plan:
        """Trajectory from `start` (n,) through grasp and release, and back home.

        Small differences between demonstrations (approach, height, speed) are drawn from `rng`.

        Raises:
            MivlaError: the arm does not reach one of the poses.
        """
        height = scene.table_height + GRASP_HEIGHT_M + rng.uniform(-0.008, 0.008)
        pitch = TOOL_PITCH_DEG + rng.uniform(-4, 4)
        lift = LIFT_M + rng.uniform(-0.01, 0.02)
        approach = APPROACH_M + rng.uniform(-0.015, 0.015)
        grasp = _tool_pose((*scene.bottle, height), pitch)
        place = _tool_pose((*scene.pad, height + PAD_THICKNESS_M + 0.002), pitch)
        poses = [
            (_moved(grasp, back=approach), OPEN_M),
            (grasp, OPEN_M),
            (grasp, CLOSED_M),
            (_moved(grasp, up=lift), CLOSED_M),
            (_moved(place, up=lift), CLOSED_M),
            (place, CLOSED_M),
            (place, OPEN_M),
            (_moved(place, back=approach), OPEN_M),
        ]
        joints = np.asarray(start, dtype=float)
        waypoints = [joints]
        for pose, opening in poses:
            joints = reach(self._kinematics, pose, joints, opening)
            waypoints.append(joints)
        waypoints.append(self._contract.home)
        return timed(waypoints, JOINT_SPEED * rng.uniform(0.9, 1.1), self._period_s)


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


def timed(waypoints: list[np.ndarray], speed: float, period_s: float) -> Plan:
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
    return Plan(np.array(times), np.array(positions))


def _tool_pose(position: tuple[float, float, float], pitch_deg: float) -> np.ndarray:
    """T_base_end_effector of a gripper that points away from the base, `pitch_deg` from straight up."""
    pose = np.eye(4)
    azimuth = np.arctan2(position[1], position[0])
    pose[:3, :3] = Rotation.from_euler("ZY", [azimuth, np.radians(pitch_deg)]).as_matrix()
    pose[:3, 3] = position
    return pose


def _moved(pose: np.ndarray, back: float = 0.0, up: float = 0.0) -> np.ndarray:
    moved = pose.copy()
    moved[:3, 3] += -back * pose[:3, 2] + np.array([0, 0, up])
    return moved
