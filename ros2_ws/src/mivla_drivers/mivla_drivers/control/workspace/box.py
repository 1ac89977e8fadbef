"""The box that end effectors must stay inside."""

from __future__ import annotations

import numpy as np

from mivla_drivers.contract.robot_contract import RobotContract, Workspace
from mivla_drivers.control.workspace.bound import Bound
from mivla_drivers.control.workspace.tree import LinkTree

AXES = "xyz"


class Box:
    """Distances of every arm's end effector from the faces of the workspace's box.

    Attributes:
        bounds: a face of an end effector each; length k, none where the workspace states no corner.
        tips: body and place in its frame, homogeneous (4,), of every arm's end effector.
        faces: arm, axis, inward sign and corner [m] of each bound, columns, (4, k).
    """

    def __init__(self, contract: RobotContract, workspace: Workspace, tree: LinkTree) -> None:
        self._tree = tree
        self.tips: list[tuple[int, np.ndarray]] = []
        faces: list[tuple[int, int, float, float]] = []
        bounds = []
        for i, arm in enumerate(contract.arms):
            body, frame = tree.place(arm.end_effector_link)
            self.tips.append((body, frame[:, 3]))
            lever = tree.lever(body, float(np.linalg.norm(frame[:3, 3])))
            for corner, side, sign in ((workspace.lower, "lower", 1.0), (workspace.upper, "upper", -1.0)):
                if corner is None:
                    continue
                for axis in range(3):
                    faces.append((i, axis, sign, float(corner[axis])))
                    text = f"{arm.end_effector_link} is at the box's {side} {AXES[axis]}"
                    bounds.append(Bound(text, f"box.{side}", 0.0, lever))
        self.bounds = tuple(bounds)
        self.faces = np.array(faces).reshape(-1, 4).T

    def inside(self, frames: np.ndarray, which: np.ndarray) -> np.ndarray:
        """How far inside the faces at `which` (k,) the end effectors are, (k, B) [m]; `frames` (bodies, B, 4, 4)."""
        tips = np.array([frames[body, :, :3] @ local for body, local in self.tips])  # (arms, B, 3)
        arms, axes, signs, corners = self.faces[:, which]
        values = tips[arms.astype(int), :, axes.astype(int)]
        return signs[:, None] * (values - corners[:, None])

    def gradient(self, frames: np.ndarray, which: int) -> np.ndarray:
        """Change of the distance from one face per change of each joint, (n,); `frames` (bodies, 4, 4)."""
        arm, axis, sign, _ = self.faces[:, which]
        body, local = self.tips[int(arm)]
        return self._tree.gradient(frames, body, (frames[body] @ local)[:3], sign * np.eye(3)[int(axis)])
