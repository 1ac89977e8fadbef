"""What tabletop tasks have in common; `verbs` says what is done to the object."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from typing import NamedTuple

import numpy as np

from mivla_drivers.contract import RobotContract
from mivla_drivers.simulation.expert import WaypointExpert
from mivla_drivers.simulation.grasping import (
    PARALLEL_GRIPPER,
    GraspParameters,
    Waypoint,
    azimuth,
    grip_pose,
)
from mivla_drivers.simulation.tabletop.objects import COLOURS, ObjectShape, TaskObject, add_object
from mivla_drivers.simulation.tabletop.scene import TabletopScene, decoy_beside
from mivla_drivers.simulation.task import Task
from mivla_drivers.simulation.world.base_scene import place_within, randomised
from mivla_drivers.simulation.world.furniture import PAD_THICKNESS_M, add_mark, add_pad
from mivla_drivers.simulation.world.physics import World

OBJECT_AREA = ((0.27, 0.41), (-0.19, 0.02))  # x and y ranges [m]; half of all scenes are mirrored in y
PAD_AREA = ((0.31, 0.37), (0.13, 0.19))
TURN_RAD = 0.12  # how far an object is turned from where it is approached

Place = tuple[float, float]


class Places(NamedTuple):
    """Where object, pad and goal of a scene are, (x, y) [m]."""

    object: Place
    pad: Place
    goal: Place


class TabletopTask(Task[TabletopScene]):
    """A verb and the shape of its object.

    Attributes:
        verb: what is done.
        sentences: that ask for it; {object} stands for colour and name.
        reverse_sentences: that ask for the opposite; none where there is none.
        starts_on_pad: the object stands on the pad at first.
        flat_pad: the pad has no edge, so that what is pushed does not stumble over it.
        returns_home: afterwards the grip goes back to where it started.
        opens_first: the grip begins wide open.
        own_direction: the task itself says in which direction the object is approached.
    """

    verb: str
    sentences: tuple[str, ...]
    reverse_sentences: tuple[str, ...] = ()
    starts_on_pad = False
    flat_pad = False
    returns_home = True
    opens_first = True
    own_direction = False

    def __init__(self, name: str, shape: ObjectShape) -> None:
        self.name, self.shape = name, shape
        self.instructions = tuple(sentence.format(object=shape.name) for sentence in self.sentences)

    def sample_scene(self, seed: int, condition: str) -> TabletopScene:
        """The scene of `seed`: its own places, colours and sentence.

        Raises:
            DataError: there is no such condition.
        """
        self.check_condition(condition)
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        places = self.sample_places(rng)
        colour, other = (str(name) for name in rng.permutation(list(COLOURS))[:2])
        item = TaskObject(self.shape, colour, places.object, self.sample_yaw(places, rng))
        sentence = self.sentences[int(rng.integers(len(self.sentences)))].format(object=item.name)
        decoy = decoy_beside(item, (places.pad, places.goal), other, rng)
        scene = TabletopScene(sentence, item, places.pad, places.goal, decoy)
        return scene if condition == "easy" else randomised(scene, rng)

    def sample_places(self, rng: np.random.Generator) -> Places:
        """Where object and pad stand; the object stays where it is unless a verb says otherwise."""
        mirror = float(rng.choice([-1.0, 1.0]))
        x, y = place_within(self.object_area, rng)
        pad_x, pad_y = place_within(PAD_AREA, rng)
        spot, pad = (x, mirror * y), (pad_x, mirror * pad_y)
        return Places(spot, pad, spot)

    @property
    def object_area(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Where the object may stand, x and y ranges [m]; half of all scenes are mirrored in y."""
        return OBJECT_AREA

    def sample_yaw(self, places: Places, rng: np.random.Generator) -> float:
        """The direction that the object is approached in [rad]."""
        return azimuth(places.object) + float(rng.uniform(-TURN_RAD, TURN_RAD))

    def instruction(self, scene: TabletopScene) -> str:
        """The scene's own sentence."""
        return scene.instruction

    def spawn(self, world: World[TabletopScene]) -> None:
        """Put pad, object and decoy on the table."""
        world.bodies.update(self.add_objects(world.client, world.scene))

    def add_objects(self, client: int, scene: TabletopScene) -> dict[str, int]:
        """As `spawn`, in any PyBullet client; returns the bodies by name."""
        height = scene.table_height
        add = add_mark if self.flat_pad else add_pad
        bodies = {"pad": add(client, scene.pad, height)}
        bodies["object"] = add_object(client, scene.object, height + self.stand_m)
        if scene.decoy is not None:
            bodies["decoy"] = add_object(client, scene.decoy, height)
        return bodies

    @property
    def stand_m(self) -> float:
        """Height of what the object stands on at first, above the table [m]."""
        return PAD_THICKNESS_M if self.starts_on_pad else 0.0

    def expert(self, contract: RobotContract) -> WaypointExpert[TabletopScene]:
        """Follows the waypoints with a parallel gripper."""
        return WaypointExpert(
            contract, lambda scene, rng: self.waypoints(scene, PARALLEL_GRIPPER, rng), self.returns_home
        )

    @abstractmethod
    def waypoints(
        self, scene: TabletopScene, grasp: GraspParameters, rng: np.random.Generator
    ) -> list[Waypoint]:
        """The grip's way through `scene`; small differences between demonstrations are drawn from `rng`."""

    def grasp_pose(
        self, scene: TabletopScene, grasp: GraspParameters, rng: np.random.Generator
    ) -> tuple[np.ndarray, float]:
        """Pose at the object, (4, 4), and the opening that holds it [m]."""
        item = scene.object
        height = max(item.shape.grip_height + rng.uniform(-0.006, 0.006), grasp.reach_m + 0.006)
        position = (*item.position, scene.table_height + self.stand_m + height)
        pitch = grasp.pitch_deg + rng.uniform(-4, 4)
        pose = grip_pose(position, pitch, direction(item.position, scene, grasp))
        return pose, 2 * item.shape.half_width - grasp.squeeze_m


def direction(place: Place, scene: TabletopScene, grasp: GraspParameters) -> float:
    """Where a grip at `place` points in the plane [rad]."""
    return azimuth(place) if grasp.radial else scene.object.yaw
