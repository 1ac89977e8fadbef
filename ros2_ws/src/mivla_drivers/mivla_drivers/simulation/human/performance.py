"""What a person does in a scene: both hands, the object and the head, 30 times a second."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from mivla_drivers.retargeting.frames import SIDES, GraspAxes, Side, transform
from mivla_drivers.retargeting.hand import INDEX, THUMB, HandModel
from mivla_drivers.retargeting.robot_to_human import end_effector_from_anatomy, pinch_distance
from mivla_drivers.simulation.grasping import GraspParameters, Waypoint, grip_pose
from mivla_drivers.simulation.human.scene import HandScene
from mivla_drivers.simulation.human.skeleton import hand_poses

RATE_HZ = 30.0
SPEED_M_S = 0.30  # mean, of the grip
TURN_RAD_S = 1.5
GRIP_TIME_S = 0.35
SHORTEST_SEGMENT_S = 0.3
OPENING_RANGE_M = (0.0, 0.07)  # of a gripper whose opening a pinch stands for
HEAD_SWAY_M = 0.012
RESTING = (0.20, 0.30, 0.035)  # of the idle hand's grip [m], left; above the table
RESTING_OPENING_M = 0.03
START_PITCH_DEG = 156.0

PINCH = GraspParameters(
    pitch_deg=166.0,
    open_m=0.062,
    squeeze_m=0.008,
    push_open_m=0.0,
    push_gap_m=0.020,
    reach_m=0.020,
    radial=False,
)


@dataclass(frozen=True)
class Performance:
    """T frames in the frame of the body, see `HandScene`.

    Attributes:
        joints: poses of both hands' 50 joints by ARKit's names, (T, 4, 4) each.
        object: pose of the object's centre, (T, 4, 4).
        eye: of the head camera, (T, 3).
    """

    joints: dict[str, np.ndarray]
    object: np.ndarray
    eye: np.ndarray

    def __len__(self) -> int:
        return len(self.eye)


def perform(scene: HandScene, rng: np.random.Generator) -> Performance:
    """Do the task of `scene`; differences between repetitions are drawn from `rng`."""
    task, table, side = scene.task, scene.table, scene.side
    start = grip_pose(scene.start, START_PITCH_DEG + rng.uniform(-6, 6), table.object.yaw)
    way = [Waypoint(start, PINCH.open_m if task.opens_first else PINCH.push_open_m)]
    way += task.waypoints(table, PINCH, rng)
    if task.returns_home:
        way.append(Waypoint(start, way[-1].opening))
    grip, opening, item = _timed(way, _object_pose(scene), SPEED_M_S * rng.uniform(0.8, 1.2))
    hand = HandModel(scene.hand_length_m)
    narrowest = min(waypoint.opening for waypoint in way)
    joints = _hand(side, grip, opening, narrowest, hand)
    joints.update(_resting_hand(scene, len(grip), hand, rng))
    return Performance(joints, item, _swaying(scene.eye, len(grip), rng))


def _hand(
    side: Side, grip: np.ndarray, opening: np.ndarray, narrowest: float, hand: HandModel
) -> dict[str, np.ndarray]:
    """Joints of a hand whose closed pinch, `narrowest`, has its middle at `grip` (T, 4, 4).

    The fingers point where the grip does from above: a pinch opens along the forearm, a gripper across it.
    """
    across = np.eye(3)[:, [1, 0, 2]] * [1.0, -1.0, 1.0]  # a quarter turn about the grip's z
    anatomy = grip[:, :3, :3] @ (across if side == "right" else across.T)
    anatomy = anatomy @ end_effector_from_anatomy(side, GraspAxes())
    tips = hand.tips(pinch_distance(np.array([narrowest]), OPENING_RANGE_M, hand))[0]
    middle = (tips[THUMB] + tips[INDEX]) / 2
    wrist = grip[:, :3, 3] - anatomy @ middle
    return hand_poses(side, wrist, anatomy, pinch_distance(opening, OPENING_RANGE_M, hand), hand)


def _resting_hand(
    scene: HandScene, steps: int, hand: HandModel, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    side = SIDES[1 - SIDES.index(scene.side)]
    leftwards = 1.0 if side == "left" else -1.0
    x, y, z = np.array(RESTING) + rng.uniform(-0.03, 0.03, size=3) * [1, 1, 0]
    pose = grip_pose((x, leftwards * y, z + scene.table.table_height), 160.0, -0.3 * leftwards)
    return _hand(
        side, np.tile(pose, (steps, 1, 1)), np.full(steps, RESTING_OPENING_M), RESTING_OPENING_M, hand
    )


def _timed(way: list[Waypoint], item: np.ndarray, speed: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grip poses (T, 4, 4), openings (T,) [m] and the object's poses (T, 4, 4), at rest in each waypoint."""
    grips, openings, items = [way[0].pose[None]], [np.array([way[0].opening])], [item[None]]
    for here, there in itertools.pairwise(way):
        turns = Rotation.from_matrix([here.pose[:3, :3], there.pose[:3, :3]])
        angle = float((turns[0].inv() * turns[1]).magnitude())
        moved = float(np.linalg.norm(there.pose[:3, 3] - here.pose[:3, 3]))
        changes = GRIP_TIME_S if here.opening != there.opening else 0.0
        seconds = max(SHORTEST_SEGMENT_S, moved / speed, angle / TURN_RAD_S, changes)
        steps = max(2, round(seconds * RATE_HZ))
        phase = np.arange(1, steps + 1) / steps
        smooth = phase**3 * (10 - 15 * phase + 6 * phase**2)  # least jerk, as hands move
        position = here.pose[:3, 3] + smooth[:, None] * (there.pose[:3, 3] - here.pose[:3, 3])
        grip = transform(Slerp([0.0, 1.0], turns)(smooth).as_matrix(), position)
        grips.append(grip)
        openings.append(here.opening + smooth * (there.opening - here.opening))
        last = items[-1][-1]
        attached = grip @ np.linalg.inv(here.pose) @ last if there.carries else np.tile(last, (steps, 1, 1))
        items.append(attached)
    return np.concatenate(grips), np.concatenate(openings), np.concatenate(items)


def _object_pose(scene: HandScene) -> np.ndarray:
    item = scene.table.object
    height = scene.table.table_height + scene.task.stand_m + item.shape.height / 2
    return transform(Rotation.from_euler("z", item.yaw).as_matrix(), np.array([*item.position, height]))


def _swaying(eye: tuple[float, float, float], steps: int, rng: np.random.Generator) -> np.ndarray:
    """A head that is never quite still, (T, 3) [m]."""
    time = np.arange(steps)[:, None] / RATE_HZ
    frequency, phase = rng.uniform(0.1, 0.5, size=3), rng.uniform(0, 2 * np.pi, size=3)
    return np.array(eye) + HEAD_SWAY_M * (np.sin(2 * np.pi * frequency * time + phase) - np.sin(phase))
