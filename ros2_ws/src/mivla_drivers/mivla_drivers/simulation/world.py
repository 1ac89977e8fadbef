"""A PyBullet world with one arm, moved in steps of one control period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import numpy as np
import pybullet

from mivla_drivers.contract import RobotContract
from mivla_drivers.simulation import objects
from mivla_drivers.simulation.scene import AnyScene, Scene
from mivla_drivers.simulation.textures import texture

ARM_FORCE_N_M = 100.0
FINGER_FORCE_N = 12.0
LIMP_FRICTION_N_M = 0.4  # what a motor without current still holds
FIRMWARE_VELOCITY = {"rad": 3.0, "m": 0.1}  # what the arm's own controller lets a joint do [1/s]


@dataclass(frozen=True)
class Reading:
    """Measured joints in contract order: position [rad or m], velocity [per s], effort [N.m or N], each (n,)."""

    position: np.ndarray
    velocity: np.ndarray
    effort: np.ndarray


class TableWorld(Generic[AnyScene]):
    """Arm, table and what the scene adds. Not thread-safe: one owner steps it.

    The arm's joints follow `target` where `enabled`; a joint that is not falls limp under gravity.
    What the task is about stands on the table through `_furnish_task`.
    """

    def __init__(self, contract: RobotContract, scene: AnyScene) -> None:
        self.contract = contract
        self.step_s = 1.0 / contract.control_rate_hz
        self.client = -1
        self.target = contract.home.copy()
        self.enabled = np.ones(contract.size, dtype=bool)
        self.reset(scene)

    def close(self) -> None:
        """Release the PyBullet client."""
        if self.client >= 0:
            pybullet.disconnect(self.client)
            self.client = -1

    def reset(self, scene: AnyScene, joints: np.ndarray | None = None) -> None:
        """Furnish anew for `scene`; the arm stands at `joints` (n,), at home by default."""
        self.scene = scene
        self.time_s = 0.0
        self.close()  # a new client: resetSimulation keeps the memory of every texture and shape
        self.client = pybullet.connect(pybullet.DIRECT)
        pybullet.setPhysicsEngineParameter(
            fixedTimeStep=self.step_s, numSolverIterations=80, numSubSteps=1, physicsClientId=self.client
        )
        pybullet.setGravity(0, 0, -9.81, physicsClientId=self.client)
        self._furnish(scene)
        self._place_arm(self.contract.home if joints is None else joints)

    def step(self) -> None:
        """Advance by one control period, `step_s`."""
        self._drive()
        pybullet.stepSimulation(physicsClientId=self.client)
        self.time_s += self.step_s

    def read(self) -> Reading:
        """The arm's joints as its encoders see them."""
        states = pybullet.getJointStates(self.arm, self._urdf_joints, physicsClientId=self.client)
        position, velocity, effort = (np.array([s[i] for s in states]) for i in (0, 1, 3))
        fold = self._fold  # (n, urdf joints): a gripper's opening is the sum of its fingers'
        return Reading(fold @ position - self.contract.zero_offset, fold @ velocity, fold @ effort)

    def body_pose(self, body: int) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] and quaternion xyzw (4,) of a body in the robot's base frame."""
        position, quaternion = pybullet.getBasePositionAndOrientation(body, physicsClientId=self.client)
        return np.array(position), np.array(quaternion)

    def link_pose(self, link: str) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) [m] and quaternion xyzw (4,) of one of the arm's links."""
        state = pybullet.getLinkState(
            self.arm, self._links[link], computeForwardKinematics=True, physicsClientId=self.client
        )
        return np.array(state[4]), np.array(state[5])

    def touches(self, link: str, body: int) -> bool:
        """Whether one of the arm's links is in contact with `body`."""
        return bool(pybullet.getContactPoints(self.arm, body, self._links[link], physicsClientId=self.client))

    def _furnish(self, scene: AnyScene) -> None:
        table_texture = wall_texture = None
        if scene.texture_seed is not None:
            rng = np.random.default_rng(scene.texture_seed)
            table_texture = objects.load_texture(self.client, texture(rng))
            wall_texture = objects.load_texture(self.client, texture(rng))
        objects.add_background(self.client, wall_texture)
        self.table = objects.add_table(self.client, scene.table_height, table_texture)
        self._furnish_task(scene)
        for thing in scene.clutter:
            objects.add_clutter(self.client, thing, scene.table_height)

    def _furnish_task(self, scene: AnyScene) -> None:
        """Put what the task is about on the table."""
        raise NotImplementedError(f"{type(self).__name__}: a world of one task says what stands on its table")

    def _place_arm(self, joints: np.ndarray) -> None:
        contract = self.contract
        self.arm = objects.load_urdf_text(self.client, contract.urdf, position=[0, 0, 0], fixed=True)
        index = {}
        self._links = {}
        for i in range(pybullet.getNumJoints(self.arm, physicsClientId=self.client)):
            info = pybullet.getJointInfo(self.arm, i, physicsClientId=self.client)
            index[info[1].decode()], self._links[info[12].decode()] = i, i
        moves = [contract.mimics.get(joint, {joint: 1.0}) for joint in contract.joints]
        names = [name for move in moves for name in move]
        self._urdf_joints = [index[name] for name in names]
        self._spread = np.array(
            [[move.get(name, 0.0) for move in moves] for name in names]
        )  # (urdf joints, n)
        self._fold = np.linalg.pinv(self._spread)
        moved_by = np.abs(self._spread).argmax(axis=1)
        units = [contract.units[i] for i in moved_by]
        is_finger = contract.is_gripper[moved_by]
        self._reach = self.step_s * np.array([FIRMWARE_VELOCITY[unit] for unit in units])
        self._forces = np.where(is_finger, FINGER_FORCE_N, ARM_FORCE_N_M)
        self._limp = np.where(is_finger, 0.0, LIMP_FRICTION_N_M)
        for joint, value in zip(
            self._urdf_joints, self._spread @ (joints + contract.zero_offset), strict=True
        ):
            pybullet.resetJointState(self.arm, joint, value, physicsClientId=self.client)
        for finger in (i for i, flag in zip(self._urdf_joints, is_finger, strict=True) if flag):
            pybullet.changeDynamics(
                self.arm, finger, lateralFriction=1.2, spinningFriction=0.004, physicsClientId=self.client
            )
        self.target = np.array(joints, dtype=float)
        self._last_targets = self._spread @ (self.target + contract.zero_offset)

    def _drive(self) -> None:
        """Position control of enabled joints; the set point moves at most as fast as the firmware lets it."""
        wanted = self._spread @ (self.target + self.contract.zero_offset)
        self._last_targets += np.clip(wanted - self._last_targets, -self._reach, self._reach)
        powered = np.abs(self._spread) @ self.enabled > 0
        if not powered.all():
            states = pybullet.getJointStates(self.arm, self._urdf_joints, physicsClientId=self.client)
            self._last_targets = np.where(powered, self._last_targets, [s[0] for s in states])
        pybullet.setJointMotorControlArray(
            self.arm,
            self._urdf_joints,
            pybullet.POSITION_CONTROL,
            targetPositions=self._last_targets.tolist(),
            forces=np.where(powered, self._forces, self._limp).tolist(),
            positionGains=[0.3] * len(self._urdf_joints),
            physicsClientId=self.client,
        )


class World(TableWorld[Scene]):
    """The world of the bottle task."""

    def _furnish_task(self, scene: Scene) -> None:
        self.pad = objects.add_pad(self.client, scene.pad, scene.table_height)
        self.bottle = objects.add_bottle(self.client, scene.bottle, scene.table_height, scene.bottle_shape)
