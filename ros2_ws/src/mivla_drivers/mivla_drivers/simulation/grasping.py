"""Where a grip goes and how wide it is, alike for grippers and hands.

A grip's frame is an end effector's: z is where it points, y is the axis along which it opens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from mivla_drivers.contract import Side


@dataclass(frozen=True)
class GraspParameters:
    """How a gripper or a hand grasps, pushes and touches.

    Attributes:
        pitch_deg: where it points, from straight up; 180 is down.
        open_m, squeeze_m: wide open, and how much narrower than the object it closes.
        push_open_m, push_gap_m: opening while pushing, and from grip centre to the pushed face.
        reach_m: from grip centre down to the finger's lowest point.
        radial: it grasps in the direction away from its base, whichever way the object is turned: what an arm
            does well, since sideways its wrist would pass a singularity.
    """

    pitch_deg: float
    open_m: float
    squeeze_m: float
    push_open_m: float
    push_gap_m: float
    reach_m: float
    radial: bool


PARALLEL_GRIPPER = GraspParameters(
    pitch_deg=148.0,
    open_m=0.07,
    squeeze_m=0.018,
    push_open_m=0.024,
    push_gap_m=0.022,
    reach_m=0.021,
    radial=True,
)


@dataclass(frozen=True)
class Waypoint:
    """Where the grip is to be.

    Attributes:
        pose: T_base_grip, (4, 4).
        opening: of the grip [m].
        carries: the object moves with the grip on the way here.
        side: the arm that goes there; None is the one that does the task.
    """

    pose: np.ndarray
    opening: float
    carries: bool = False
    side: Side | None = None


def azimuth(position: tuple[float, float], origin: tuple[float, float] = (0.0, 0.0)) -> float:
    """Direction from `origin` to `position`, from +x to +y [rad]."""
    return float(np.arctan2(position[1] - origin[1], position[0] - origin[0]))


def grip_pose(position: tuple[float, float, float], pitch_deg: float, direction: float) -> np.ndarray:
    """T_base_grip of a grip that points `direction` [rad] in the plane, `pitch_deg` from straight up."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("ZY", [direction, np.radians(pitch_deg)]).as_matrix()
    pose[:3, 3] = position
    return pose


def pick_and_place(
    pick: np.ndarray,
    place: np.ndarray,
    closed_m: float,
    open_m: float = PARALLEL_GRIPPER.open_m,
    lift_m: float = 0.10,
    approach_m: float = 0.08,
    retreat_m: float = 0.08,
) -> list[Waypoint]:
    """To an object, around it, up, over, down, and away.

    Args:
        pick, place: T_base_grip where it is grasped and let go, (4, 4).
        closed_m, open_m: openings that hold the object and let it go.
        lift_m: how high it is carried.
        approach_m, retreat_m: from how far away the grip comes, and how far it goes afterwards.
    """
    return [
        Waypoint(moved(pick, back=approach_m), open_m),
        Waypoint(pick, open_m),
        Waypoint(pick, closed_m),
        Waypoint(moved(pick, up=lift_m), closed_m, carries=True),
        Waypoint(moved(place, up=lift_m), closed_m, carries=True),
        Waypoint(place, closed_m, carries=True),
        Waypoint(place, open_m),
        Waypoint(moved(place, back=retreat_m), open_m),
    ]


def moved(pose: np.ndarray, back: float = 0.0, up: float = 0.0) -> np.ndarray:
    """`pose` (4, 4) moved against where it points and upwards [m]."""
    result = pose.copy()
    result[:3, 3] += -back * pose[:3, 2] + np.array([0, 0, up])
    return result
