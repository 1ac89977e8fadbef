"""Things that the tasks are about: blocks, cans, bottles and buttons in named colours."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mivla_drivers.bullet import pybullet
from mivla_drivers.simulation.objects import CAP_HEIGHT_M, PAD_COLOUR
from mivla_drivers.simulation.scene import BOTTLE_HEIGHT_M, BOTTLE_RADIUS_M, PAD_RADIUS_M

COLOURS = {  # red is the pad's
    "blue": (0.10, 0.30, 0.85),
    "green": (0.10, 0.60, 0.20),
    "yellow": (0.95, 0.80, 0.10),
    "orange": (0.95, 0.50, 0.05),
    "purple": (0.50, 0.20, 0.65),
    "white": (0.95, 0.95, 0.95),
    "black": (0.12, 0.12, 0.12),
}
GREY = (0.45, 0.45, 0.45)
MARK_THICKNESS_M = 0.001


@dataclass(frozen=True)
class Kind:
    """Shape of a thing [m] and its mass [kg]; no mass is fixed to the table.

    Attributes:
        half_width: radius, or half an edge.
        height: without a bottle's neck.
        grip_height: where it is taken hold of, above the table.
        square: a block, not a cylinder.
    """

    half_width: float
    height: float
    grip_height: float
    mass: float
    square: bool = False


KINDS = {
    "block": Kind(0.0225, 0.045, 0.031, 0.08, square=True),
    "can": Kind(0.025, 0.09, 0.052, 0.12),
    "bottle": Kind(BOTTLE_RADIUS_M, BOTTLE_HEIGHT_M, 0.065, 0.12),
    "button": Kind(0.022, 0.03, 0.03, 0.0),
}


@dataclass(frozen=True)
class Thing:
    """One thing on the table.

    Attributes:
        kind: of `KINDS`.
        colour: of `COLOURS`.
        position: its centre (x, y) [m].
        yaw: the direction it is approached from, from +x to +y [rad]; a block's faces look there.
    """

    kind: str
    colour: str
    position: tuple[float, float]
    yaw: float = 0.0

    @property
    def shape(self) -> Kind:
        """Its measures."""
        return KINDS[self.kind]

    @property
    def name(self) -> str:
        """As a sentence calls it."""
        return f"{self.colour} {self.kind}"


def add_thing(client: int, thing: Thing, table_height: float) -> int:
    """Put `thing` on the table; returns its body, whose centre is half its height above the table."""
    kind = thing.shape
    centre = (*thing.position, table_height + kind.height / 2 + (0.0005 if kind.mass else 0.0))
    colour = (*COLOURS[thing.colour], 1.0)
    collision, visual = _shape(client, kind, colour)
    parts: dict[str, list] = {}
    if thing.kind == "bottle":
        parts = _fixed_part(client, (kind.height + CAP_HEIGHT_M) / 2, 0.011, CAP_HEIGHT_M, COLOURS["white"])
    elif thing.kind == "button":
        parts = _fixed_part(client, -kind.height / 4, 1.6 * kind.half_width, kind.height / 2, GREY)
    body = pybullet.createMultiBody(
        kind.mass,
        collision,
        visual,
        centre,
        pybullet.getQuaternionFromEuler((0.0, 0.0, thing.yaw)),
        physicsClientId=client,
        **parts,
    )
    pybullet.changeDynamics(
        body, -1, lateralFriction=1.0, spinningFriction=0.004, rollingFriction=0.0005, physicsClientId=client
    )
    return body


def add_mark(client: int, position: tuple[float, float], table_height: float) -> int:
    """A pad so flat that things slide onto it: seen, never touched."""
    visual = pybullet.createVisualShape(
        pybullet.GEOM_CYLINDER,
        radius=PAD_RADIUS_M,
        length=MARK_THICKNESS_M,
        rgbaColor=PAD_COLOUR,
        physicsClientId=client,
    )
    centre = (*position, table_height + MARK_THICKNESS_M / 2)
    return pybullet.createMultiBody(0.0, -1, visual, centre, physicsClientId=client)


def distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Between two places on the table [m]."""
    return math.hypot(a[0] - b[0], a[1] - b[1])


def _shape(client: int, kind: Kind, colour: tuple[float, ...]) -> tuple[int, int]:
    if kind.square:
        box = {"halfExtents": (kind.half_width, kind.half_width, kind.height / 2), "physicsClientId": client}
        return (
            pybullet.createCollisionShape(pybullet.GEOM_BOX, **box),
            pybullet.createVisualShape(pybullet.GEOM_BOX, rgbaColor=colour, **box),
        )
    round_ = {"radius": kind.half_width, "physicsClientId": client}
    return (
        pybullet.createCollisionShape(pybullet.GEOM_CYLINDER, height=kind.height, **round_),
        pybullet.createVisualShape(pybullet.GEOM_CYLINDER, length=kind.height, rgbaColor=colour, **round_),
    )


def _fixed_part(
    client: int, height: float, radius: float, length: float, colour: tuple[float, ...]
) -> dict[str, list]:
    """A cylinder at `height` above the centre, without mass and collision, as createMultiBody takes it."""
    visual = pybullet.createVisualShape(
        pybullet.GEOM_CYLINDER,
        radius=radius,
        length=length,
        rgbaColor=(*colour, 1.0),
        physicsClientId=client,
    )
    still = (0.0, 0.0, 0.0, 1.0)
    return {
        "linkMasses": [0.0],
        "linkCollisionShapeIndices": [-1],
        "linkVisualShapeIndices": [visual],
        "linkPositions": [(0.0, 0.0, height)],
        "linkOrientations": [still],
        "linkInertialFramePositions": [(0.0, 0.0, 0.0)],
        "linkInertialFrameOrientations": [still],
        "linkParentIndices": [0],
        "linkJointTypes": [pybullet.JOINT_FIXED],
        "linkJointAxis": [(0.0, 0.0, 1.0)],
    }
