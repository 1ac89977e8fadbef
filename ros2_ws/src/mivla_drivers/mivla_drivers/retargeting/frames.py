"""Frames of hands and arms, left and right.

Human world: ARKit's, x right, y up, z towards the person, who faces -z.
Robot: REP-103, x forward, y left, z up.
A hand's own axes are named by anatomy, alike for both sides: distal (wrist to fingers), radial (to the thumb)
and dorsal (out of the back of the hand). They are right-handed at the right hand and left-handed at the left
one, so whatever is said in them once holds for both hands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mivla_drivers.errors import DataError

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")

ROBOT_FROM_HUMAN = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""R^h of Eq. 2 for a person who faces -z."""
HUMAN_FROM_ROBOT = ROBOT_FROM_HUMAN.T
"""R^m of Eq. 3."""

JOINT_FROM_ANATOMY: dict[Side, np.ndarray] = {
    "left": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]]),
    "right": np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]),
}
"""Columns: distal, radial, dorsal in the axes of an ARKit hand joint.

Left: x to the fingers, y into the palm, z to the little finger. Right: each of them the other way.
Source: Improbable-AI/VisionProTeleop, issue 12.
"""

MIRROR_HUMAN = np.diag([-1.0, 1.0, 1.0])
MIRROR_ROBOT = np.diag([1.0, -1.0, 1.0])

for _array in (ROBOT_FROM_HUMAN, *JOINT_FROM_ANATOMY.values(), MIRROR_HUMAN, MIRROR_ROBOT):
    _array.setflags(write=False)


@dataclass(frozen=True)
class GraspAxes:
    """Axes of an end effector: along which it approaches, and along which its fingers open.

    The opening axis points left where the gripper looks forward.
    """

    approach: Literal["x", "y", "z"] = "z"
    opening: Literal["x", "y", "z"] = "y"

    def __post_init__(self) -> None:
        if self.approach == self.opening:
            raise DataError(f"grasp axes: expected two different axes, got {self.approach!r} twice")

    def vectors(self) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors (3,) of approach and opening in the end effector's frame."""
        axes = np.eye(3)
        return axes["xyz".index(self.approach)], axes["xyz".index(self.opening)]


def robot_from_human(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """R^h of a person who faces anywhere, shape (3, 3): the robot faces as the person does.

    Args:
        left, right: a point of each side of the body, such as the shoulders, in the human world, (3,) [m].

    Raises:
        DataError: the two points lie above each other, so they show no direction.
    """
    leftwards = (np.asarray(left, dtype=float) - np.asarray(right, dtype=float)) * [1.0, 0.0, 1.0]
    length = np.linalg.norm(leftwards)
    if not length > 1e-3:
        raise DataError(f"facing: expected the left and right side apart, got {left} and {right} m")
    leftwards /= length
    up = np.array([0.0, 1.0, 0.0])
    return np.stack([np.cross(leftwards, up), leftwards, up])


def mirror_hand(poses: np.ndarray) -> np.ndarray:
    """Poses (..., 4, 4) of a hand's joints in the human world, seen in a mirror: those of the other hand."""
    across = JOINT_FROM_ANATOMY["left"] @ JOINT_FROM_ANATOMY["right"].T
    return transform(
        MIRROR_HUMAN @ poses[..., :3, :3] @ across,
        poses[..., :3, 3] @ MIRROR_HUMAN,
    )


def mirror_end_effector(poses: np.ndarray, axes: GraspAxes | None = None) -> np.ndarray:
    """Poses (..., 4, 4) of one side's gripper in a robot frame, seen in a mirror: those of the other's.

    Both grippers are built alike, so the mirror's left-handed frame is turned over along the opening axis.
    """
    opening = (axes or GraspAxes()).vectors()[1]
    across = np.eye(3) - 2.0 * np.outer(opening, opening)
    return transform(
        MIRROR_ROBOT @ poses[..., :3, :3] @ across,
        poses[..., :3, 3] @ MIRROR_ROBOT,
    )


def transform(rotation: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Transforms (..., 4, 4) of rotations (..., 3, 3) and positions (..., 3)."""
    shape = np.broadcast_shapes(rotation.shape[:-2], position.shape[:-1])
    poses = np.zeros((*shape, 4, 4))
    poses[..., :3, :3], poses[..., :3, 3], poses[..., 3, 3] = rotation, position, 1.0
    return poses
