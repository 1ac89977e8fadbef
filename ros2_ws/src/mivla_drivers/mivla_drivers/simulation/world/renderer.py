"""The world's cameras, drawn by PyBullet's software renderer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from mivla_drivers.bullet import pybullet
from mivla_drivers.contract import Camera
from mivla_drivers.errors import ContractError
from mivla_drivers.simulation.world.base_scene import Light
from mivla_drivers.simulation.world.physics import World

NEAR_M, FAR_M = 0.02, 4.0


@dataclass(frozen=True)
class Mount:
    """Where a camera sits and what it looks at, in the frame of `link` (None: the robot's base).

    Attributes:
        eye, at, up: positions and direction [m], in that frame.
        field_of_view_deg: vertical.
    """

    link: str | None
    eye: tuple[float, float, float]
    at: tuple[float, float, float]
    up: tuple[float, float, float]
    field_of_view_deg: float


MOUNTS = {
    "front": Mount(None, (0.90, 0.0, 0.52), (0.30, 0.0, 0.06), (0, 0, 1), 40.0),
    "left_wrist": Mount("link6", (-0.09, 0.0, 0.05), (-0.012, 0.0, 0.17), (-1, 0, 0), 75.0),
}


def render(world: World[Any], camera: Camera) -> np.ndarray:
    """What `camera` sees, shape (height, width, 3) uint8 rgb.

    Raises:
        ContractError: the simulation has no mount for this view.
    """
    if camera.view not in MOUNTS:
        raise ContractError(
            f"simulation: camera {camera.name}: expected a view of {sorted(MOUNTS)}, got {camera.view!r}"
        )
    mount = MOUNTS[camera.view]
    eye, at, up = (np.array(v, dtype=float) for v in (mount.eye, mount.at, mount.up))
    if mount.link is not None:
        position, quaternion = world.link_pose(mount.link)
        turn = Rotation.from_quat(quaternion)
        eye, at, up = position + turn.apply(eye), position + turn.apply(at), turn.apply(up)
    lens = (mount.field_of_view_deg, camera.width, camera.height)
    return picture(world.client, world.scene.light, eye, at, up, lens)


def picture(
    client: int, light: Light, eye: np.ndarray, at: np.ndarray, up: np.ndarray, lens: tuple[float, int, int]
) -> np.ndarray:
    """What a camera sees, shape (height, width, 3) uint8 rgb.

    Args:
        client: the PyBullet client.
        eye, at, up: where it is, what it looks at and which way is up [m], (3,), world frame.
        lens: vertical field of view [deg], width and height [px].
    """
    field_of_view, width, height = lens
    pixels = pybullet.getCameraImage(
        width,
        height,
        viewMatrix=pybullet.computeViewMatrix(eye, at, up),
        projectionMatrix=pybullet.computeProjectionMatrixFOV(field_of_view, width / height, NEAR_M, FAR_M),
        lightDirection=light.direction,
        lightColor=light.colour,
        lightDistance=2.0,
        lightAmbientCoeff=light.ambient,
        lightDiffuseCoeff=light.diffuse,
        lightSpecularCoeff=light.specular,
        shadow=1,
        renderer=pybullet.ER_TINY_RENDERER,
        flags=pybullet.ER_NO_SEGMENTATION_MASK,
        physicsClientId=client,
    )[2]
    image = np.asarray(pixels, dtype=np.uint8).reshape(height, width, 4)
    return np.ascontiguousarray(image[:, :, :3])
