"""The paper's task "Move bottle onto pad": the bottle stands on the table and ends upright on the pad.

Its conditions beyond easy and hard ask how far a policy generalises (Table 5 of the MiVLA paper):

seen               the bottle stands in the middle of its area, all else as in the easy condition
unseen_locations   it stands in the rim around that middle
unseen_objects     another bottle: its colour, width and height
unseen_scenes      the hard condition's table, background, light, clutter and table height
unseen_poses       it lies on its side, turned anyhow (section C of the paper): no demonstration sets one upright, and
                   neither does the expert
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from mivla_drivers.bullet import load_urdf_text, pybullet
from mivla_drivers.contract import RobotContract
from mivla_drivers.simulation.expert import WaypointExpert
from mivla_drivers.simulation.grasping import Waypoint, azimuth, grip_pose, moved, pick_and_place
from mivla_drivers.simulation.task import GENERALISATION, Task
from mivla_drivers.simulation.world import furniture
from mivla_drivers.simulation.world.base_scene import BaseScene, place_within, randomised
from mivla_drivers.simulation.world.furniture import PAD_RADIUS_M, PAD_THICKNESS_M
from mivla_drivers.simulation.world.physics import World

BOTTLE_AREA = ((0.26, 0.42), (-0.20, 0.02))  # x and y ranges [m], robot base frame
PAD_CENTRE = (0.34, 0.17)
PAD_JITTER_M = 0.02

RIM_M = (0.025, 0.035)  # between the middle and the edge of the bottle's area, in x and in y
RADIUS_RANGE_M = (0.019, 0.029)
HEIGHT_RANGE_M = (0.095, 0.13)
COLOURS = {
    "green": (0.10, 0.60, 0.20),
    "yellow": (0.95, 0.80, 0.10),
    "purple": (0.50, 0.20, 0.65),
    "white": (0.95, 0.95, 0.95),
    "black": (0.12, 0.12, 0.12),
}

BEYOND_REACH_M = 0.8  # from the arm's base; the bottle's area ends at 0.47 m

LIFTED_M = 0.03
DOWN_M = 0.01
UPRIGHT_DEG = 10.0

TOOL_PITCH_DEG = 135.0  # the gripper points forwards and down, half way
GRASP_HEIGHT_M = 0.065
APPROACH_M = 0.09
LIFT_M = 0.09
OPEN_M, CLOSED_M = 0.07, 0.03

CORRECTED_SHARE = 0.6  # of the ways to bottle and pad that first lead beside them, as an operator's do
BESIDE_M, BESIDE_BACK_M, BESIDE_UP_M = 0.035, 0.02, 0.025
BESIDE_TURN_RAD = 0.17

CAP_HEIGHT_M = 0.025
BOTTLE_URDF = """<?xml version="1.0"?>
<robot name="bottle"><link name="bottle">
  <inertial><mass value="0.12"/><inertia ixx="2e-4" ixy="0" ixz="0" iyy="2e-4" iyz="0" izz="6e-5"/></inertial>
  <visual><geometry><cylinder radius="{radius}" length="{height}"/></geometry>
    <material name="body"><color rgba="{colour} 1"/></material></visual>
  <visual><origin xyz="0 0 {cap_centre}"/>
    <geometry><cylinder radius="0.011" length="{cap_height}"/></geometry>
    <material name="cap"><color rgba="0.95 0.95 0.95 1"/></material></visual>
  <collision><geometry><cylinder radius="{radius}" length="{height}"/></geometry></collision>
</link></robot>
"""


@dataclass(frozen=True)
class BottleShape:
    """What the bottle is: radius and height of its body, without the neck [m], and its colour."""

    radius: float = 0.024
    height: float = 0.11
    colour: tuple[float, float, float] = (0.1, 0.3, 0.85)


@dataclass(frozen=True)
class BottleScene(BaseScene):
    """Where bottle and pad are: centres (x, y) on the table, robot base frame [m].

    Attributes:
        lying: where the cap of a bottle that lies on its side points, about the vertical [rad]; None: it stands.
    """

    bottle: tuple[float, float]
    pad: tuple[float, float]
    bottle_shape: BottleShape = BottleShape()
    lying: float | None = None


class MoveBottleOntoPad(Task[BottleScene]):
    """Grasp the bottle, lift it, carry it over the pad, and let it stand there."""

    name = "move_bottle_onto_pad"
    instructions = ("Move the bottle onto the pad.",)
    subtasks = ("grasped", "lifted", "over_the_pad", "placed")
    conditions = (*Task.conditions, *GENERALISATION)

    def sample_scene(self, seed: int, condition: str) -> BottleScene:
        """The scene of `seed`; the hard condition randomises as the paper's A.1 does.

        The bottle and the pad of a seed stand in the same place in the easy and the hard condition.

        Raises:
            DataError: there is no such condition.
        """
        self.check_condition(condition)
        rng = np.random.default_rng(seed)
        bottle = place_within(BOTTLE_AREA, rng)
        jitter = rng.uniform(-PAD_JITTER_M, PAD_JITTER_M, size=2)
        scene = BottleScene(bottle, (PAD_CENTRE[0] + float(jitter[0]), PAD_CENTRE[1] + float(jitter[1])))
        if condition == "easy":
            return scene
        if condition == "hard":
            return randomised(scene, rng)
        rng = np.random.default_rng([seed, 3])
        if condition == "unseen_locations":
            return replace(scene, bottle=_in_the_rim(rng))
        scene = replace(scene, bottle=_in_the_middle(rng))
        if condition == "unseen_objects":
            return replace(scene, bottle_shape=_another_bottle(np.random.default_rng([seed, 4])))
        if condition == "unseen_scenes":
            return randomised(scene, np.random.default_rng([seed, 5]))
        if condition == "unseen_poses":
            return replace(scene, lying=float(np.random.default_rng([seed, 6]).uniform(-np.pi, np.pi)))
        return scene

    def spawn(self, world: World[BottleScene]) -> None:
        """Put pad and bottle on the table."""
        scene = world.scene
        world.bodies["pad"] = furniture.add_pad(world.client, scene.pad, scene.table_height)
        world.bodies["bottle"] = _add_bottle(world.client, scene)

    def holds(self, world: World[BottleScene]) -> dict[str, bool]:
        """What is true now; the bottle is placed when it stands upright and still on the pad, touched by no finger."""
        scene, (position, _) = world.scene, world.pose("bottle")
        bottom = position[2] - scene.bottle_shape.height / 2 - scene.table_height
        from_pad = np.linalg.norm(position[:2] - np.array(scene.pad))
        over_pad = bool(from_pad < PAD_RADIUS_M - scene.bottle_shape.radius / 2)
        stands = bottom < DOWN_M and world.tilt_deg("bottle") < UPRIGHT_DEG
        grasped = world.grasped("bottle")
        return {
            "grasped": grasped,
            "lifted": grasped and bottom > LIFTED_M,
            "over_the_pad": over_pad and bottom > 0.0,
            "placed": over_pad
            and stands
            and not world.fingers_touching("bottle")
            and world.at_rest("bottle"),
        }

    def lost(self, world: World[BottleScene]) -> bool:
        """Whether the bottle is below the table, or has rolled out of the arm's reach."""
        position, _ = world.pose("bottle")
        fallen = position[2] < world.scene.table_height
        return bool(fallen or np.hypot(*position[:2]) > BEYOND_REACH_M)

    def expert(self, contract: RobotContract) -> WaypointExpert[BottleScene]:
        """Does what a careful operator with leader arms would do."""
        return WaypointExpert(contract, waypoints)


def waypoints(scene: BottleScene, rng: np.random.Generator) -> list[Waypoint]:
    """The grip's way through grasp and release; approach, height and tilt differ with `rng`.

    Some ways lead beside bottle and pad first and are corrected: demonstrations that never err show no policy how to
    come back from where it erred to.
    """
    height = scene.table_height + GRASP_HEIGHT_M + rng.uniform(-0.008, 0.008)
    pitch = TOOL_PITCH_DEG + rng.uniform(-4, 4)
    lift = LIFT_M + rng.uniform(-0.01, 0.02)
    approach = APPROACH_M + rng.uniform(-0.015, 0.015)
    grasp = grip_pose((*scene.bottle, height), pitch, azimuth(scene.bottle))
    place = grip_pose((*scene.pad, height + PAD_THICKNESS_M + 0.002), pitch, azimuth(scene.pad))
    way = pick_and_place(grasp, place, CLOSED_M, OPEN_M, lift, approach, approach)
    approached, above_pad = way[0], way[4]
    if rng.random() < CORRECTED_SHARE:
        way.insert(4, replace(above_pad, pose=_beside(above_pad.pose, rng)))
    if rng.random() < CORRECTED_SHARE:
        way.insert(0, replace(approached, pose=_beside(approached.pose, rng)))
    return way


def _beside(pose: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`pose` (4, 4) to one side, back, up and turned about the vertical, never nearer to what it approaches."""
    aside = rng.uniform(-BESIDE_M, BESIDE_M) * pose[:3, 1]
    result = moved(pose, back=rng.uniform(0.0, BESIDE_BACK_M), up=rng.uniform(0.0, BESIDE_UP_M))
    result[:3, 3] += aside
    turn = Rotation.from_euler("z", rng.uniform(-BESIDE_TURN_RAD, BESIDE_TURN_RAD))
    result[:3, :3] = turn.as_matrix() @ pose[:3, :3]
    return result


def in_middle(bottle: tuple[float, float]) -> bool:
    """Whether demonstrations of the `seen` condition may have the bottle there."""
    return all(
        low + rim <= value <= high - rim
        for value, (low, high), rim in zip(bottle, BOTTLE_AREA, RIM_M, strict=True)
    )


def _in_the_middle(rng: np.random.Generator) -> tuple[float, float]:
    x, y = (
        float(rng.uniform(low + rim, high - rim)) for (low, high), rim in zip(BOTTLE_AREA, RIM_M, strict=True)
    )
    return x, y


def _in_the_rim(rng: np.random.Generator) -> tuple[float, float]:
    while True:
        place = place_within(BOTTLE_AREA, rng)
        if not in_middle(place):
            return place


def _another_bottle(rng: np.random.Generator) -> BottleShape:
    return BottleShape(
        radius=float(rng.uniform(*RADIUS_RANGE_M)),
        height=float(rng.uniform(*HEIGHT_RANGE_M)),
        colour=list(COLOURS.values())[int(rng.integers(len(COLOURS)))],
    )


def _add_bottle(client: int, scene: BottleScene) -> int:
    shape = scene.bottle_shape
    urdf = BOTTLE_URDF.format(
        radius=shape.radius,
        height=shape.height,
        colour=" ".join(map(str, shape.colour)),
        cap_height=CAP_HEIGHT_M,
        cap_centre=(shape.height + CAP_HEIGHT_M) / 2,
    )
    above = shape.height / 2 if scene.lying is None else shape.radius
    centre = [*scene.bottle, scene.table_height + above + 0.0005]
    body = load_urdf_text(client, urdf, position=centre, fixed=False)
    if scene.lying is not None:
        turned = pybullet.getQuaternionFromEuler([0.0, np.pi / 2, scene.lying])
        pybullet.resetBasePositionAndOrientation(body, centre, turned, physicsClientId=client)
    pybullet.changeDynamics(
        body, -1, lateralFriction=1.0, spinningFriction=0.004, rollingFriction=0.0005, physicsClientId=client
    )
    return body


TASK = MoveBottleOntoPad()
