"""Hands to look at: capsules between joints, a box for the palm, a sleeve over the forearm."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from mivla_drivers.bullet import pybullet
from mivla_drivers.retargeting.frames import JOINT_FROM_ANATOMY, Side
from mivla_drivers.retargeting.hand import FINGERS, HandModel
from mivla_drivers.simulation.human.skeleton import finger_joints

FINGER_RADIUS_MM = (9.5, 8.0, 8.2, 7.6, 6.8)
PALM_MM = (78.0, 78.0, 24.0)  # along, across, thick
PALM_CENTRE_MM = (62.0, -6.0, 0.0)
SLEEVE_RADIUS_M = 0.030
SLEEVE_GAP_M = 0.025  # of bare wrist


@dataclass(frozen=True)
class Part:
    """A body and its poses over T frames: positions (T, 3) [m], quaternions xyzw (T, 4)."""

    body: int
    positions: np.ndarray
    quaternions: np.ndarray


def hand_parts(
    client: int,
    side: Side,
    joints: dict[str, np.ndarray],
    elbow: np.ndarray,
    hand: HandModel,
    colours: tuple[tuple[float, float, float], tuple[float, float, float]],
) -> list[Part]:
    """Bodies of one hand in motion.

    Args:
        joints: poses by ARKit's names, (T, 4, 4) each.
        elbow: where the forearm ends, (3,) [m].
        colours: of skin and sleeve.
    """
    skin, sleeve = colours
    parts = []
    for finger, radius in zip(FINGERS, FINGER_RADIUS_MM, strict=True):
        names = finger_joints(finger)[0 if finger == "thumb" else 1 :]  # the palm hides metacarpals
        points = [joints[f"{side}{name}"][:, :3, 3] for name in names]
        for here, there in itertools.pairwise(points):
            parts.append(_capsule(client, here, there, hand.scale * radius, skin))
    parts.append(_palm(client, side, joints[f"{side}Hand"], hand, skin))
    wrist = joints[f"{side}Hand"][:, :3, 3]
    lengths = np.linalg.norm(elbow - wrist, axis=1, keepdims=True)
    back = (elbow - wrist) / lengths
    cuff, end = (
        wrist + SLEEVE_GAP_M * back,
        wrist + lengths.max() * back,
    )  # a sleeve is stiff: it ends off the view
    parts.append(_capsule(client, wrist, cuff, 0.75 * SLEEVE_RADIUS_M, skin))
    parts.append(_capsule(client, cuff, end, SLEEVE_RADIUS_M, sleeve))
    return parts


def elbow_at(side: Side, table_height: float) -> np.ndarray:
    """Where a person at the table keeps the elbow of that side, (3,) [m], frame of the body."""
    return np.array([-0.16, 0.36 if side == "left" else -0.36, table_height + 0.03])


def _capsule(
    client: int, here: np.ndarray, there: np.ndarray, radius: float, colour: tuple[float, float, float]
) -> Part:
    bone = there - here
    length = float(np.linalg.norm(bone[0]))
    visual = pybullet.createVisualShape(
        pybullet.GEOM_CAPSULE, radius=radius, length=length, rgbaColor=(*colour, 1.0), physicsClientId=client
    )
    direction = bone / np.linalg.norm(bone, axis=1, keepdims=True)
    direction = np.where(direction[:, 2:] < 0.0, -direction, direction)  # both ends of a capsule are alike
    x, y, z = direction.T
    quaternion = np.stack([-y, x, np.zeros_like(x), 1.0 + z], axis=1)  # turns z to `direction`
    quaternion /= np.linalg.norm(quaternion, axis=1, keepdims=True)
    return Part(_body(client, visual), (here + there) / 2, quaternion)


def _palm(
    client: int, side: Side, wrist: np.ndarray, hand: HandModel, colour: tuple[float, float, float]
) -> Part:
    along, across, thick = (hand.scale * np.array(PALM_MM) / 2).tolist()
    visual = pybullet.createVisualShape(
        pybullet.GEOM_BOX,
        halfExtents=(along, thick, across),  # a joint's axes: distal, dorsal, radial but for their signs
        rgbaColor=(*colour, 1.0),
        physicsClientId=client,
    )
    centre = JOINT_FROM_ANATOMY[side] @ (hand.scale * np.array(PALM_CENTRE_MM))
    positions = wrist[:, :3, 3] + wrist[:, :3, :3] @ centre
    return Part(_body(client, visual), positions, Rotation.from_matrix(wrist[:, :3, :3]).as_quat())


def _body(client: int, visual: int) -> int:
    return pybullet.createMultiBody(0.0, -1, visual, physicsClientId=client)
