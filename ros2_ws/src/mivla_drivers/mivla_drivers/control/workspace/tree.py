"""Where all links of a robot are, for several poses at once, and how joints move a point."""

from __future__ import annotations

from typing import Any

import numpy as np

from mivla_drivers.contract.robot_contract import RobotContract
from mivla_drivers.control.workspace.kernel import array
from mivla_drivers.control.workspace.urdf import LinkJoint, UrdfModel

SLIDES = "prismatic"


class LinkTree:
    """A robot's links as bodies: 0 is all that never moves, each other one is what a joint carries rigidly.

    URDF joints that the contract does not move stay at zero.

    Attributes:
        model: the URDF.
        moves: which joints of the contract move a body, (bodies, n) bool.
    """

    def __init__(self, contract: RobotContract, where: str) -> None:
        """Raises:
        ContractError: the URDF is no tree of links with finite numbers.
        """
        self.model = UrdfModel(contract.urdf, where)
        factors = [contract.mimics.get(joint, {joint: 1.0}) for joint in contract.joints]
        driven = {name for one in factors for name in one}
        self._place: dict[str, tuple[int, np.ndarray]] = {self.model.root: (0, np.eye(4))}
        chosen = self._sort_by_depth(driven)
        self._spread = np.array([[one.get(joint.name, 0.0) for one in factors] for joint, _, _ in chosen])
        self._offset = self._spread @ contract.zero_offset
        self._terms = np.stack([_terms(fixed, joint) for joint, _, fixed in chosen])
        self._slides = np.array([joint.type == SLIDES for joint, _, _ in chosen])
        self._axes = np.stack([joint.axis for joint, _, _ in chosen])
        parents = np.array([parent for _, parent, _ in chosen])
        self._levels = _levels(parents)
        self._above = np.zeros((len(chosen) + 1, len(chosen)), dtype=bool)
        for i, parent in enumerate(parents):
            self._above[i + 1] = self._above[parent]
            self._above[i + 1, i] = True
        self.moves = (self._above.astype(float) @ np.abs(self._spread)) > 0
        limits = contract.limits
        travel = np.abs(self._spread) @ np.maximum(np.abs(limits.lower), np.abs(limits.upper))
        offsets = np.array([np.linalg.norm(fixed[:3, 3]) for _, _, fixed in chosen])
        self._reach = offsets + np.where(self._slides, travel + np.abs(self._offset), 0.0)
        self._parents = parents

    def place(self, link: str) -> tuple[int, np.ndarray]:
        """Body of a link, and T_body_link (4, 4)."""
        return self._place[link]

    def frames(self, poses: np.ndarray) -> np.ndarray:
        """T_root_body (bodies, B, 4, 4) at `poses` (B, n) in contract order."""
        angles = self._spread @ poses.T + self._offset[:, None]  # (m, B)
        factors = np.empty((*angles.shape, 3))
        factors[..., 0] = 1.0
        np.sin(angles, out=factors[..., 1])
        np.subtract(1.0, np.cos(angles), out=factors[..., 2])
        if self._slides.any():
            factors[self._slides, :, 1] = angles[self._slides]
            factors[self._slides, :, 2] = 0.0
        local = (factors @ self._terms).reshape(*angles.shape, 4, 4)
        frames = np.empty((len(local) + 1, angles.shape[1], 4, 4))
        frames[0] = np.eye(4)
        for first, last, parents in self._levels:
            np.matmul(frames[parents], local[first:last], out=frames[first + 1 : last + 1])
        return frames

    def fields(self) -> dict[str, Any]:
        """What `frames` is made from, as `Kernel` wants it."""
        return {
            "size": self._spread.shape[1],
            "moving": len(self._parents),
            "spread": array(self._spread),
            "offset": array(self._offset),
            "terms": array(self._terms),
            "slides": array(self._slides, bool),
            "parents": array(self._parents, int),
            "axes": array(self._axes),
        }

    def gradient(self, frames: np.ndarray, body: int, point: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """How fast `point` (3,) of a body goes along `direction` (3,) per speed of each joint, (n,).

        `frames` are one pose's, (bodies, 4, 4); point and direction are in the root's frame.
        """
        axes = (frames[1:, :3, :3] @ self._axes[:, :, None])[..., 0]
        x, y, z = direction
        across = (point - frames[1:, :3, 3]) @ np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        along = np.where(self._slides, axes @ direction, (axes * across).sum(axis=1))
        return (along * self._above[body]) @ self._spread

    def lever(self, body: int, reach: float, other: int = 0) -> np.ndarray:
        """Largest speed of a point at most `reach` from a body's origin per speed of each joint, (n,) [m].

        Joints that move the `other` body along with it count nothing.
        """
        levers = np.zeros(len(self._parents))
        at, distance = body, reach
        while at > 0:
            levers[at - 1] = 1.0 if self._slides[at - 1] else distance
            distance += self._reach[at - 1]
            at = int(self._parents[at - 1])
        return np.where(self._above[other], 0.0, levers) @ np.abs(self._spread)

    def _sort_by_depth(self, driven: set[str]) -> list[tuple[LinkJoint, int, np.ndarray]]:
        """Moving joints with their parent's body and T_parentbody_joint, those of least depth first."""
        depth, carried, found = {0: 0}, {self.model.root: (0, np.eye(4))}, []
        for joint in self.model.joints:
            parent, frame = carried[joint.parent]
            fixed = frame @ joint.origin
            if joint.name in driven:
                found.append((joint, parent, fixed))
                number = len(found)
                depth[number] = depth[parent] + 1
                carried[joint.child] = (number, np.eye(4))
            else:
                carried[joint.child] = (parent, fixed)
        order = sorted(range(1, len(found) + 1), key=lambda number: depth[number])
        body = {0: 0} | {number: i + 1 for i, number in enumerate(order)}
        self._place = {link: (body[number], frame) for link, (number, frame) in carried.items()}
        return [(found[i - 1][0], body[found[i - 1][1]], found[i - 1][2]) for i in order]


def _levels(parents: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
    """Ranges of joints whose parents all come before the range, with those parents' bodies."""
    levels = []
    first = 0
    while first < len(parents):
        last = first
        while last < len(parents) and parents[last] <= first:
            last += 1
        levels.append((first, last, parents[first:last]))
        first = last
    return levels


def _terms(fixed: np.ndarray, joint: LinkJoint) -> np.ndarray:
    """Rodrigues' formula behind `fixed` (4, 4): the matrices that sine and cosine weigh, (3, 16)."""
    first, second = np.zeros((4, 4)), np.zeros((4, 4))
    x, y, z = joint.axis
    if joint.type == SLIDES:
        first[:3, 3] = joint.axis
    else:
        first[:3, :3] = [[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]
        second = first @ first
    return np.stack([fixed, fixed @ first, fixed @ second]).reshape(3, 16)
