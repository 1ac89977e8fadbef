"""A human hand: its bones, its pinch, and its motion as the paper's action space sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mivla_drivers.errors import DataError
from mivla_drivers.retargeting.frames import JOINT_FROM_ANATOMY, Side, transform

FINGERS = ("thumb", "index", "middle", "ring", "little")
THUMB, INDEX = 0, 1

PHALANGES_MM = {
    "thumb": (46.22, 31.57, 0.0, 21.67, 5.67),
    "index": (68.12, 39.78, 22.38, 15.82, 3.84),
    "middle": (64.60, 44.63, 26.33, 17.40, 3.95),
    "ring": (58.00, 41.37, 25.65, 17.30, 3.95),
    "little": (53.69, 32.74, 18.11, 15.96, 3.73),
}
"""Mean metacarpal, proximal, middle, distal bone and soft tip [mm].

Attributed to Buryanov and Kotiuk, "Proportions of hand segments", Int. J. Morphol. 28(3), 2010, as several
public hand models give them; the article itself was not read. Four lengths were not found in those models, and are
estimates until somebody has a source: metacarpal and soft tip of the ring finger (58.00, 3.95) and of the little
finger (53.69, 3.73).
"""

# What the table does not say is this project's estimate, at the table's hand size.
CARPUS_MM = 32.0  # wrist joint to the bases of the metacarpals
KNUCKLE_ROW_MM = (0.0, 22.0, 0.0, -20.0, -38.0)  # knuckles to the thumb's side of the middle finger's
THUMB_KNUCKLE_MM = (20.0, 20.0, -10.0)  # ARKit's thumbKnuckle: the joint that the thumb's metacarpal turns in
PINCH_MM = (20.0, 90.0)  # between thumb and index fingertip: holding a thin thing, wide open
CLOSED_FLEXION = np.radians([50.0, 120.0, 150.0])  # proximal, middle, distal bone against the palm's plane
OPEN_FLEXION = np.radians([15.0, 50.0, 70.0])
PINCH_TILT = np.radians(60.0)  # the thumb is short: it meets the fingers from the wrist's side


@dataclass(frozen=True)
class HandModel:
    """A hand of a given length: where fingers are (f_d of Eq. 3) while thumb and index finger pinch.

    Points are in the hand's anatomical axes (distal, radial, dorsal) from the wrist [m].

    Attributes:
        length_m: wrist to the tip of the straight middle finger; None keeps the table's.
        phalanges_mm: bones a finger, as `PHALANGES_MM`.
    """

    length_m: float | None = None
    phalanges_mm: dict[str, tuple[float, ...]] = field(default_factory=lambda: dict(PHALANGES_MM))

    def __post_init__(self) -> None:
        table = self.phalanges_mm
        if sorted(table) != sorted(FINGERS) or any(len(row) != 5 for row in table.values()):
            raise DataError(f"hand: phalanges: expected five lengths for each of {FINGERS}, got {table}")
        if self.length_m is not None and not 0.05 < self.length_m < 0.3:
            raise DataError(
                f"hand: length: expected 0.05 to 0.3 m from wrist to middle fingertip, got {self.length_m}"
            )

    @property
    def scale(self) -> float:
        """Metres a millimetre of the table."""
        if self.length_m is None:
            return 1e-3
        return self.length_m / (CARPUS_MM + sum(self.phalanges_mm["middle"]))

    @property
    def thumb_knuckle(self) -> np.ndarray:
        """Thumb knuckle, shape (3,)."""
        return self.scale * np.array(THUMB_KNUCKLE_MM)

    @property
    def thumb_reach_m(self) -> float:
        """Length of the straight thumb from its knuckle."""
        return self.scale * sum(self.phalanges_mm["thumb"])

    @property
    def pinch_range(self) -> tuple[float, float]:
        """Distance of thumb and index fingertip, closed and wide open [m]."""
        return self.scale * PINCH_MM[0], self.scale * PINCH_MM[1]

    def tips(self, pinch: np.ndarray) -> np.ndarray:
        """Fingertips, thumb to little, shape (T, 5, 3), while thumb and index tip are `pinch` (T,) [m] apart.

        The fingers bend together as the pinch closes; the thumb's tip stands against the index finger's.
        """
        pinch = np.asarray(pinch, dtype=float)
        closed, wide = self.pinch_range
        openness = np.clip((pinch - closed) / (wide - closed), 0.0, 1.0)[..., None]
        flexion = CLOSED_FLEXION + openness * (OPEN_FLEXION - CLOSED_FLEXION)  # (T, 3)
        tips = np.empty((*pinch.shape, 5, 3))
        for i, finger in enumerate(FINGERS[1:], start=1):
            metacarpal, proximal, middle, distal, soft = self.phalanges_mm[finger]
            bones = self.scale * np.array([proximal, middle, distal + soft])
            tips[..., i, 0] = self.scale * (CARPUS_MM + metacarpal) + np.cos(flexion) @ bones
            tips[..., i, 1] = self.scale * KNUCKLE_ROW_MM[i]
            tips[..., i, 2] = -np.sin(flexion) @ bones
        tips[..., THUMB, :] = tips[..., INDEX, :] - pinch[..., None] * opposition()[1]
        return tips


def opposition() -> tuple[np.ndarray, np.ndarray]:
    """Where the pinch approaches, and from thumb to index tip: unit vectors (3,) in anatomical axes."""
    cos, sin = np.cos(PINCH_TILT), np.sin(PINCH_TILT)
    return np.array([cos, 0.0, -sin]), np.array([sin, 0.0, cos])


@dataclass(frozen=True)
class HandMotion:
    """A hand over T steps in the human world.

    Attributes:
        side: which hand.
        wrist, thumb_knuckle: poses of ARKit's joints, shape (T, 4, 4).
        tips: thumb to little, shape (T, 5, 3) [m].
    """

    side: Side
    wrist: np.ndarray
    thumb_knuckle: np.ndarray
    tips: np.ndarray

    def __post_init__(self) -> None:
        steps = len(self.tips)
        shapes = {"wrist": (steps, 4, 4), "thumb_knuckle": (steps, 4, 4), "tips": (steps, 5, 3)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape or not np.isfinite(array).all():
                raise DataError(
                    f"{self.side} hand: {name}: expected finite numbers of shape {shape}, got {array.shape}"
                )

    def __len__(self) -> int:
        return len(self.tips)

    @property
    def pinch(self) -> np.ndarray:
        """Distance of thumb and index fingertip, shape (T,) [m]."""
        return np.linalg.norm(self.tips[:, INDEX] - self.tips[:, THUMB], axis=-1)

    def vector(self) -> np.ndarray:
        """H-RDT's order, shape (T, 24): wrist xyz [m], first two columns of its rotation, tips xyz [m]."""
        columns = self.wrist[:, :3, :2].swapaxes(1, 2).reshape(-1, 6)
        return np.concatenate([self.wrist[:, :3, 3], columns, self.tips.reshape(-1, 15)], axis=1)

    @classmethod
    def from_vector(cls, vector: np.ndarray, side: Side, model: HandModel) -> HandMotion:
        """Motion held in `vector` (T, 24), which knows no thumb knuckle: it is where `model` has it."""
        wrist = transform(_rotation(vector[:, 3:9]), vector[:, :3])
        return cls(side, wrist, knuckle_at(wrist, side, model), vector[:, 9:].reshape(-1, 5, 3))


def knuckle_at(wrist: np.ndarray, side: Side, model: HandModel) -> np.ndarray:
    """Thumb knuckle poses (T, 4, 4) of `model` at `wrist` (T, 4, 4), axes parallel to the wrist's."""
    offset = wrist[:, :3, :3] @ (JOINT_FROM_ANATOMY[side] @ model.thumb_knuckle)
    return transform(wrist[:, :3, :3], wrist[:, :3, 3] + offset)


def _rotation(columns: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) of two columns (T, 6): the first keeps its direction, the second is squared."""
    first, second = columns[:, :3], columns[:, 3:]
    x = first / np.linalg.norm(first, axis=1, keepdims=True)
    y = second - (x * second).sum(axis=1, keepdims=True) * x
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    return np.stack([x, y, np.cross(x, y)], axis=-1)
