"""Every joint of a hand as ARKit names them, from wrist and pinch: the bones of `HandModel`, bent."""

from __future__ import annotations

import numpy as np

from mivla_drivers.retargeting.frames import JOINT_FROM_ANATOMY, Side, transform
from mivla_drivers.retargeting.hand import (
    CARPUS_MM,
    CLOSED_FLEXION,
    FINGERS,
    KNUCKLE_ROW_MM,
    OPEN_FLEXION,
    THUMB,
    HandModel,
)

FINGER_BONES = ("Metacarpal", "Knuckle", "IntermediateBase", "IntermediateTip", "Tip")
THUMB_BONES = ("Knuckle", "IntermediateBase", "IntermediateTip", "Tip")
RADIAL = np.array([0.0, 1.0, 0.0])
_BENDS = np.linspace(0.0, np.radians(110.0), 400)  # of the thumb, the same at both its joints


def finger_joints(finger: str) -> tuple[str, ...]:
    """ARKit's names of a finger's joints without the side, from the palm outwards."""
    if finger == "thumb":
        return tuple(f"Thumb{bone}" for bone in THUMB_BONES)
    return tuple(f"{finger.capitalize()}Finger{bone}" for bone in FINGER_BONES)


def hand_poses(
    side: Side, wrist: np.ndarray, anatomy: np.ndarray, pinch: np.ndarray, hand: HandModel
) -> dict[str, np.ndarray]:
    """Poses (T, 4, 4) of a hand's 25 joints, by ARKit's names with the side before them.

    A joint's x axis lies along its bone as ARKit's does; the thumb knuckle's axes are the wrist's.

    Args:
        wrist: positions (T, 3) [m], any right-handed frame.
        anatomy: columns distal, radial, dorsal of the hand in that frame, (T, 3, 3).
        pinch: thumb to index fingertip, (T,) [m].
    """
    joint_axes = JOINT_FROM_ANATOMY[side].T
    poses = {f"{side}Hand": transform(anatomy @ joint_axes, wrist)}
    for finger, (points, bones) in joint_points(pinch, hand).items():
        for i, joint in enumerate(finger_joints(finger)):
            position = wrist + np.einsum("tij,tj->ti", anatomy, points[:, i])
            poses[f"{side}{joint}"] = transform(anatomy @ bones[:, i] @ joint_axes, position)
    knuckle = poses[f"{side}ThumbKnuckle"]
    knuckle[:, :3, :3] = poses[f"{side}Hand"][:, :3, :3]
    return poses


def joint_points(pinch: np.ndarray, hand: HandModel) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each finger, its joints' points (T, J, 3) and bone axes (T, J, 3, 3), in anatomical axes from the wrist.

    The last point is the tip of `HandModel.tips`; between two points lies a bone of the hand's length.
    """
    tips = hand.tips(pinch)  # (T, 5, 3)
    closed, wide = hand.pinch_range
    openness = np.clip((pinch - closed) / (wide - closed), 0.0, 1.0)[:, None]
    flexion = CLOSED_FLEXION + openness * (OPEN_FLEXION - CLOSED_FLEXION)  # (T, 3)
    fingers = {"thumb": _thumb(tips[:, THUMB], hand)}
    for i, finger in enumerate(FINGERS[1:], start=1):
        fingers[finger] = _finger(i, finger, flexion, hand)
    return fingers


def _finger(number: int, finger: str, flexion: np.ndarray, hand: HandModel) -> tuple[np.ndarray, np.ndarray]:
    metacarpal, proximal, middle, distal, soft = hand.scale * np.array(hand.phalanges_mm[finger])
    steps, row = len(flexion), hand.scale * KNUCKLE_ROW_MM[number]
    base = np.tile([hand.scale * CARPUS_MM, row, 0.0], (steps, 1))
    bends = np.concatenate([np.zeros((steps, 1)), flexion], axis=1)  # (T, 4)
    directions = np.stack([np.cos(bends), np.zeros_like(bends), -np.sin(bends)], axis=-1)
    lengths = np.array([metacarpal, proximal, middle, distal + soft])
    points = base[:, None] + np.cumsum(
        np.concatenate([np.zeros((steps, 1, 3)), directions * lengths[:, None]], axis=1), axis=1
    )
    return points, _axes(directions, np.tile(RADIAL, (steps, 1)))


def _thumb(tip: np.ndarray, hand: HandModel) -> tuple[np.ndarray, np.ndarray]:
    """The thumb's three bones bend alike towards the tip, their bow on the radial side."""
    metacarpal, proximal, _, distal, soft = hand.scale * np.array(hand.phalanges_mm["thumb"])
    lengths = np.array([metacarpal, proximal, distal + soft])
    span = tip - hand.thumb_knuckle
    distance = np.linalg.norm(span, axis=1)
    ends = np.abs(lengths @ np.exp(-1j * np.arange(3)[:, None] * _BENDS))  # falls as the bend grows
    bend = np.interp(distance, ends[::-1], _BENDS[::-1])
    phases = np.exp(-1j * np.arange(3) * bend[:, None])  # (T, 3)
    end = phases @ lengths
    phases *= (end.conj() / np.abs(end))[:, None]
    along = span / distance[:, None]
    bow = RADIAL - (along @ RADIAL)[:, None] * along
    bow /= np.linalg.norm(bow, axis=1, keepdims=True)
    directions = phases.real[..., None] * along[:, None] + phases.imag[..., None] * bow[:, None]  # (T, 3, 3)
    points = hand.thumb_knuckle + np.cumsum(
        np.concatenate([np.zeros((len(tip), 1, 3)), directions * lengths[:, None]], axis=1), axis=1
    )
    return points, _axes(directions, np.cross(bow, along))


def _axes(directions: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Axes (T, J, 3, 3) of bones (T, J - 1, 3) that bend about `across` (T, 3); the tip's are its bone's."""
    bones = np.concatenate([directions, directions[:, -1:]], axis=1)
    radial = np.broadcast_to(across[:, None], bones.shape)
    return np.stack([bones, radial, np.cross(bones, radial)], axis=-1)
