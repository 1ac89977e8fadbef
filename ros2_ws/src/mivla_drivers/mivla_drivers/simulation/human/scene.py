"""A person at a table, drawn from a seed: the task, whose hand does it, and where the eyes are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mivla_drivers.errors import DataError
from mivla_drivers.retargeting.frames import Side
from mivla_drivers.simulation.tabletop.scene import TabletopScene
from mivla_drivers.simulation.tabletop.task import TabletopTask
from mivla_drivers.simulation.tasks import load_task

LEFT_SHARE = 0.7  # a lone arm stands for the left one in the unified action space
HARD_SHARE = 0.7
HAND_LENGTH_M = (0.165, 0.205)  # wrist to middle fingertip
INWARD_RAD = (0.05, 0.45)  # how far the fingers point to the person's middle
START_AREA = ((0.24, 0.32), (-0.06, 0.06), (0.15, 0.23))  # of the grip [m]: where an arm's home is, about
SKIN = np.array([[0.96, 0.80, 0.69], [0.80, 0.58, 0.44], [0.36, 0.22, 0.15]])  # light to dark
SEED_OFFSET = 77_000_000  # scenes of hands are none of the arms' scenes


@dataclass(frozen=True)
class HandScene:
    """One person in front of one table; frame of the body: x forward, y left, z up, at the table's near edge.

    Attributes:
        task: what is to be done.
        table: the task's scene.
        side: whose hand acts; the other one rests.
        hand_length_m: wrist to middle fingertip.
        skin, sleeve: colours.
        start: of the acting hand's grip (3,) [m].
        eye, gaze: where the head camera is and what it looks at [m].
        field_of_view_deg: vertical.
        heading: of the person in the world of their headset, about its vertical axis [rad].
    """

    task: TabletopTask
    table: TabletopScene
    side: Side
    hand_length_m: float
    skin: tuple[float, float, float]
    sleeve: tuple[float, float, float]
    start: tuple[float, float, float]
    eye: tuple[float, float, float]
    gaze: tuple[float, float, float]
    field_of_view_deg: float
    heading: float


def tabletop_task(task: str) -> TabletopTask:
    """The task of that name or file, which a simulated person can do.

    Raises:
        DataError: there is none, or it is no tabletop task.
    """
    found = load_task(task)
    if not isinstance(found, TabletopTask):
        raise DataError(f"task {found.name}: expected a tabletop task, which simulated hands can do")
    return found


def sample_hand_scene(task: TabletopTask, seed: int) -> HandScene:
    """The scene of `seed`: the same task and seed give the same scene."""
    rng = np.random.default_rng([seed, SEED_OFFSET])
    side: Side = "left" if rng.random() < LEFT_SHARE else "right"
    condition = "hard" if rng.random() < HARD_SHARE else "easy"
    table = task.sample_scene(seed + SEED_OFFSET, condition)
    if not task.own_direction:
        inward = rng.uniform(*INWARD_RAD) * (1.0 if side == "right" else -1.0)
        table = replace(table, object=replace(table.object, yaw=float(inward)))
    tone = rng.uniform(0.0, 2.0)
    lower = SKIN[int(tone)]
    skin = lower + (tone % 1.0) * (SKIN[min(int(tone) + 1, 2)] - lower)
    return HandScene(
        task=task,
        table=table,
        side=side,
        hand_length_m=float(rng.uniform(*HAND_LENGTH_M)),
        skin=_triple(skin),
        sleeve=_triple(rng.uniform(0.1, 0.9, size=3)),
        start=_start(table.table_height, rng),
        eye=_triple(np.array([-0.10, 0.0, 0.50]) + rng.uniform(-0.05, 0.05, size=3)),
        gaze=_triple(np.array([0.33, 0.0, 0.02]) + rng.uniform(-0.03, 0.03, size=3)),
        field_of_view_deg=float(rng.uniform(48.0, 58.0)),
        heading=float(rng.uniform(-np.pi, np.pi)),
    )


def _start(table_height: float, rng: np.random.Generator) -> tuple[float, float, float]:
    x, y, z = (float(rng.uniform(*axis)) for axis in START_AREA)
    return x, y, z + table_height


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = np.asarray(values, dtype=float).tolist()
    return x, y, z
