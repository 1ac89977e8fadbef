"""The paper's ARX-5 task, "Tidy up umbrella rack": umbrellas that lie askew end straight, each in its lane.

Folded ones lie on a rack. From left to right, each is picked up, turned until its tip faces the back rail, and put
back. Conditions beyond easy and hard ask how far a policy generalises:

seen               the umbrellas lie askew by a middle angle, all else as in the easy condition
unseen_locations   they lie nearly straight or far askew
unseen_objects     other umbrellas: their colours, length and width
unseen_scenes      the hard condition's table, background, light, clutter and table height
unseen_poses       they lie further askew than in any other condition (section C of the paper)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from mivla_drivers.bullet import load_urdf_text, pybullet
from mivla_drivers.contract import RobotContract
from mivla_drivers.simulation.expert import WaypointExpert
from mivla_drivers.simulation.grasping import Waypoint, grip_pose, pick_and_place
from mivla_drivers.simulation.task import GENERALISATION, Task
from mivla_drivers.simulation.world.base_scene import BaseScene, randomised
from mivla_drivers.simulation.world.physics import World

LANES_Y_M = (0.115, 0.0, -0.115)  # from left to right, robot base frame
ROW_X_M = 0.31
JITTER_M = 0.012
ASKEW_DEG = (15.0, 50.0)
SEEN_DEG = (24.0, 41.0)  # between the two ends of ASKEW_DEG
FAR_ASKEW_DEG = (58.0, 68.0)

STRAIGHT_DEG = 8.0
IN_LANE_M = 0.025
LIFTED_M = 0.02
ROTATED_DEG = 12.0

TOOL_PITCH_DEG = 180.0  # straight down
LIFT_M = 0.07
APPROACH_M = 0.07
OPEN_M, SQUEEZE_M = 0.06, 0.012

BOARD_HALF_M = (0.12, 0.19, 0.006)
RAIL_HALF_M = (0.008, 0.19, 0.02)
BOARD_COLOUR, RAIL_COLOUR, LANE_COLOUR = (0.36, 0.27, 0.20, 1), (0.22, 0.16, 0.12, 1), (0.80, 0.74, 0.60, 1)
PLAIN_COLOURS = ((0.75, 0.12, 0.15), (0.12, 0.30, 0.75), (0.10, 0.50, 0.30))
OTHER_COLOURS = (
    (0.95, 0.80, 0.15),
    (0.50, 0.20, 0.60),
    (0.10, 0.10, 0.10),
    (0.90, 0.90, 0.90),
    (0.90, 0.45, 0.10),
)
UMBRELLA_URDF = """<?xml version="1.0"?>
<robot name="umbrella"><link name="umbrella">
  <inertial><mass value="0.08"/><inertia ixx="2e-5" ixy="0" ixz="0" iyy="2e-4" iyz="0" izz="2e-4"/></inertial>
  <visual><origin xyz="{canopy_x} 0 0" rpy="0 1.570796 0"/>
    <geometry><cylinder radius="{radius}" length="{canopy}"/></geometry>
    <material name="cloth"><color rgba="{colour} 1"/></material></visual>
  <visual><origin xyz="{handle_x} 0 0" rpy="0 1.570796 0"/>
    <geometry><cylinder radius="0.005" length="{handle}"/></geometry>
    <material name="wood"><color rgba="0.85 0.70 0.45 1"/></material></visual>
  <visual><origin xyz="{hook_x} 0.012 0" rpy="1.570796 0 0"/>
    <geometry><cylinder radius="0.005" length="0.024"/></geometry>
    <material name="wood"/></visual>
  <collision><geometry><box size="{length} {width} {width}"/></geometry></collision>
</link></robot>
"""


@dataclass(frozen=True)
class Umbrella:
    """One umbrella: centre (x, y) [m] and direction of its tip from +x [rad], robot base frame; its body and colour."""

    position: tuple[float, float]
    yaw: float
    colour: tuple[float, float, float]
    length: float = 0.15
    radius: float = 0.013


@dataclass(frozen=True)
class RackScene(BaseScene):
    """Umbrellas from left to right, one to a lane."""

    umbrellas: tuple[Umbrella, ...]


class TidyUmbrellaRack(Task[RackScene]):
    """Pick up each umbrella from left to right, turn it to face the rack, put it in its lane."""

    name = "tidy_umbrella_rack"
    instructions = ("Tidy up the umbrella rack.",)
    subtasks = tuple(
        f"{done}_{i}" for i in range(1, len(LANES_Y_M) + 1) for done in ("picked", "rotated", "placed")
    )
    conditions = (*Task.conditions, *GENERALISATION)

    def sample_scene(self, seed: int, condition: str) -> RackScene:
        """The scene of `seed`; its umbrellas lie alike in the easy and the hard condition.

        Raises:
            DataError: there is no such condition.
        """
        self.check_condition(condition)
        rng = np.random.default_rng(seed)
        ranges = {"unseen_poses": FAR_ASKEW_DEG} | dict.fromkeys(
            ("seen", "unseen_objects", "unseen_scenes"), SEEN_DEG
        )
        angles = ranges.get(condition, ASKEW_DEG)
        scene = RackScene(tuple(_umbrella(lane, angles, condition, rng) for lane in range(len(LANES_Y_M))))
        if condition == "unseen_objects":
            return replace(scene, umbrellas=_others(scene.umbrellas, np.random.default_rng([seed, 4])))
        if condition in ("hard", "unseen_scenes"):
            return randomised(scene, np.random.default_rng([seed, 5]))
        return scene

    def spawn(self, world: World[RackScene]) -> None:
        """Put the rack on the table and the umbrellas on it."""
        height = world.scene.table_height
        _add_box(world.client, BOARD_HALF_M, (ROW_X_M, 0.0, height + BOARD_HALF_M[2]), BOARD_COLOUR)
        rail = (ROW_X_M + BOARD_HALF_M[0] - RAIL_HALF_M[0], 0.0, height + RAIL_HALF_M[2])
        _add_box(world.client, RAIL_HALF_M, rail, RAIL_COLOUR)
        for y in LANES_Y_M:  # painted, so that one sees where an umbrella belongs
            _add_box(
                world.client, (0.09, 0.004, 0.0003), (ROW_X_M, y, _board_top(world.scene)), LANE_COLOUR, False
            )
        for i, umbrella in enumerate(world.scene.umbrellas, start=1):
            world.bodies[f"umbrella_{i}"] = _add_umbrella(world.client, umbrella, _board_top(world.scene))

    def holds(self, world: World[RackScene]) -> dict[str, bool]:
        """What is true now; an umbrella is placed when it lies still and straight in its lane, touched by no finger."""
        found: dict[str, bool] = {}
        for i, (umbrella, lane) in enumerate(zip(world.scene.umbrellas, LANES_Y_M, strict=True), start=1):
            name = f"umbrella_{i}"
            position, quaternion = world.pose(name)
            tip = Rotation.from_quat(quaternion).as_matrix()[:, 0]
            askew = np.degrees(np.arctan2(np.hypot(tip[1], tip[2]), tip[0]))
            lifted = position[2] - umbrella.radius - _board_top(world.scene) > LIFTED_M
            picked = world.grasped(name) and bool(lifted)
            found[f"picked_{i}"] = picked
            found[f"rotated_{i}"] = picked and bool(askew < ROTATED_DEG)
            in_lane = abs(position[1] - lane) < IN_LANE_M and abs(position[0] - ROW_X_M) < IN_LANE_M
            lies = not lifted and not world.fingers_touching(name) and world.at_rest(name)
            found[f"placed_{i}"] = bool(in_lane and askew < STRAIGHT_DEG and lies)
        return found

    def expert(self, contract: RobotContract) -> WaypointExpert[RackScene]:
        """Does what a careful operator with a leader arm would do."""
        return WaypointExpert(contract, waypoints)


def waypoints(scene: RackScene, rng: np.random.Generator) -> list[Waypoint]:
    """The grip's way to each umbrella from left to right and to its lane; heights and lifts differ with `rng`."""
    way = []
    for umbrella, lane in zip(scene.umbrellas, LANES_Y_M, strict=True):
        height = _board_top(scene) + umbrella.radius + rng.uniform(0.001, 0.005)
        pick = grip_pose((*umbrella.position, height), TOOL_PITCH_DEG, umbrella.yaw)
        place = grip_pose((ROW_X_M, lane, height + 0.002), TOOL_PITCH_DEG, 0.0)
        closed = 2 * umbrella.radius - SQUEEZE_M
        lift, approach = LIFT_M + rng.uniform(-0.01, 0.01), APPROACH_M + rng.uniform(-0.01, 0.01)
        way += pick_and_place(pick, place, closed, OPEN_M, lift, approach, approach)
    return way


def _board_top(scene: RackScene) -> float:
    return scene.table_height + 2 * BOARD_HALF_M[2]


def _umbrella(lane: int, angles: tuple[float, float], condition: str, rng: np.random.Generator) -> Umbrella:
    dx, dy = rng.uniform(-JITTER_M, JITTER_M, size=2)
    share, side = rng.uniform(), rng.choice([-1.0, 1.0])
    low, high = angles
    if condition == "unseen_locations":  # on either end of what `seen` has, and all else as there
        low, high = (ASKEW_DEG[0], SEEN_DEG[0]) if share < 0.5 else (SEEN_DEG[1], ASKEW_DEG[1])
        share = 2 * share % 1
    yaw = float(np.radians(side * (low + share * (high - low))))
    return Umbrella((ROW_X_M + float(dx), LANES_Y_M[lane] + float(dy)), yaw, PLAIN_COLOURS[lane])


def _others(umbrellas: tuple[Umbrella, ...], rng: np.random.Generator) -> tuple[Umbrella, ...]:
    length, radius = float(rng.uniform(0.13, 0.165)), float(rng.uniform(0.010, 0.016))
    colours = [OTHER_COLOURS[i] for i in rng.permutation(len(OTHER_COLOURS))]
    return tuple(
        replace(umbrella, colour=colour, length=length, radius=radius)
        for umbrella, colour in zip(umbrellas, colours, strict=False)
    )


def _add_box(
    client: int,
    half: tuple[float, float, float],
    centre: tuple[float, float, float],
    colour: tuple[float, float, float, float],
    touchable: bool = True,
) -> None:
    shape = {"halfExtents": half, "physicsClientId": client}
    collision = pybullet.createCollisionShape(pybullet.GEOM_BOX, **shape) if touchable else -1
    visual = pybullet.createVisualShape(pybullet.GEOM_BOX, rgbaColor=colour, **shape)
    body = pybullet.createMultiBody(0.0, collision, visual, centre, physicsClientId=client)
    pybullet.changeDynamics(body, -1, lateralFriction=0.8, physicsClientId=client)


def _add_umbrella(client: int, umbrella: Umbrella, height: float) -> int:
    handle = 0.35 * umbrella.length
    canopy = umbrella.length - handle
    urdf = UMBRELLA_URDF.format(
        radius=umbrella.radius,
        width=2 * umbrella.radius,
        length=umbrella.length,
        canopy=canopy,
        canopy_x=handle / 2,
        handle=handle,
        handle_x=-canopy / 2,
        hook_x=-umbrella.length / 2,
        colour=" ".join(map(str, umbrella.colour)),
    )
    body = load_urdf_text(client, urdf, [*umbrella.position, height + umbrella.radius + 0.0005], fixed=False)
    turned = pybullet.getQuaternionFromEuler([0, 0, umbrella.yaw])
    place = pybullet.getBasePositionAndOrientation(body, physicsClientId=client)[0]
    pybullet.resetBasePositionAndOrientation(body, place, turned, physicsClientId=client)
    pybullet.changeDynamics(body, -1, lateralFriction=1.0, spinningFriction=0.004, physicsClientId=client)
    return body


TASK = TidyUmbrellaRack()
