"""What every scene has, whatever its task: a table, a light, textures and clutter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

TABLE_HEIGHT_JITTER_M = 0.03  # paper A.1

# Where clutter may stand without being in the arm's way: (x range, y range) [m].
CLUTTER_AREAS = (((0.52, 0.64), (-0.35, 0.35)), ((0.20, 0.50), (0.28, 0.42)), ((0.20, 0.50), (-0.42, -0.30)))
SHAPES = ("box", "cylinder", "sphere")

Area = tuple[tuple[float, float], tuple[float, float]]
"""x and y ranges on the table [m]."""


@dataclass(frozen=True)
class Light:
    """The scene's light: where it shines from, its colour and how strong it is."""

    direction: tuple[float, float, float] = (0.5, 0.4, 1.2)
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    ambient: float = 0.6
    diffuse: float = 0.4
    specular: float = 0.05


@dataclass(frozen=True)
class Clutter:
    """An object that has nothing to do with the task; size is its half extent or radius [m]."""

    shape: str
    position: tuple[float, float]
    size: float
    colour: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class BaseScene:
    """What every scene has; a task's scene adds its own objects. Robot base frame, metres.

    Attributes:
        table_height: of the table top, above the robot's base.
        texture_seed: what table and background look like; None is plain.
    """

    table_height: float = 0.0
    texture_seed: int | None = None
    light: Light = Light()
    clutter: tuple[Clutter, ...] = ()


AnyScene = TypeVar("AnyScene", bound=BaseScene)


def randomised(scene: AnyScene, rng: np.random.Generator) -> AnyScene:
    """`scene` with random table height, textures, light and clutter: the hard condition (paper A.1)."""
    height = float(rng.uniform(-TABLE_HEIGHT_JITTER_M, TABLE_HEIGHT_JITTER_M))
    light = Light(
        direction=(float(rng.uniform(-1, 1)), float(rng.uniform(-1, 1)), float(rng.uniform(0.8, 1.6))),
        colour=_colour(rng, 0.75),
        ambient=float(rng.uniform(0.45, 0.75)),
        diffuse=float(rng.uniform(0.2, 0.6)),
        specular=float(rng.uniform(0.0, 0.2)),
    )
    clutter = tuple(_clutter(rng) for _ in range(int(rng.integers(2, 6))))
    return replace(
        scene, table_height=height, texture_seed=int(rng.integers(2**31)), light=light, clutter=clutter
    )


def place_within(area: Area, rng: np.random.Generator) -> tuple[float, float]:
    """A random place (x, y) in `area` [m]."""
    (x0, x1), (y0, y1) = area
    return float(rng.uniform(x0, x1)), float(rng.uniform(y0, y1))


def _clutter(rng: np.random.Generator) -> Clutter:
    area = CLUTTER_AREAS[int(rng.integers(len(CLUTTER_AREAS)))]
    return Clutter(
        shape=SHAPES[int(rng.integers(len(SHAPES)))],
        position=place_within(area, rng),
        size=float(rng.uniform(0.015, 0.035)),
        colour=_colour(rng, 0.1),
    )


def _colour(rng: np.random.Generator, darkest: float) -> tuple[float, float, float]:
    red, green, blue = rng.uniform(darkest, 1.0, size=3).tolist()
    return red, green, blue
