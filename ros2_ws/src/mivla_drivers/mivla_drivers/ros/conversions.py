"""Pairs of pure functions between ROS messages and arrays."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping

import cv2
import numpy as np
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from sensor_msgs.msg import CompressedImage, Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from mivla_drivers.contract import CameraConfig, RobotContract
from mivla_drivers.control.trajectory import ActionChunk
from mivla_drivers.errors import CommandRefused, ContractError, DataError
from mivla_drivers.text import shortened

NANOSECONDS = 1_000_000_000
JPEG_QUALITY = 95
LONGEST_MESSAGE = 2000  # characters of a status
LONGEST_VALUE = 1000  # characters of one of its values: a whole sentence
LEVELS = {"ok": DiagnosticStatus.OK, "warn": DiagnosticStatus.WARN, "error": DiagnosticStatus.ERROR}


def time_message(seconds: float) -> Time:
    """A moment of system time [s since the epoch] as a ROS stamp."""
    whole, nanoseconds = _split(seconds)
    return Time(sec=whole, nanosec=nanoseconds)


def stamp_seconds(stamp: Time | Duration) -> float:
    """A ROS stamp or duration in seconds; a double resolves a quarter of a microsecond of today's time."""
    return stamp.sec + stamp.nanosec / NANOSECONDS


def joint_state_message(
    contract: RobotContract, position: np.ndarray, velocity: np.ndarray, effort: np.ndarray, stamp: float
) -> JointState:
    """Measured joints, each array (n,) in contract order, at `stamp` [s, system time]."""
    message = JointState()
    message.header.stamp = time_message(stamp)
    message.name = list(contract.joints)
    message.position, message.velocity, message.effort = (a.tolist() for a in (position, velocity, effort))
    return message


def positions_message(contract: RobotContract, position: np.ndarray, stamp: float) -> JointState:
    """Commanded joints (n,) in contract order, at `stamp` [s, system time]; no velocity, no effort."""
    message = JointState()
    message.header.stamp = time_message(stamp)
    message.name, message.position = list(contract.joints), position.tolist()
    return message


def joint_vector(message: JointState, contract: RobotContract) -> np.ndarray:
    """Positions of a joint state, matched by name, in contract order, shape (n,) [rad or m].

    Raises:
        DataError: a joint of the contract is missing, or a position is not finite.
    """
    try:
        vector = contract.joint_vector(message.name, message.position, "joint state")
    except ContractError as error:
        raise DataError(str(error)) from None
    if not np.isfinite(vector).all():
        found = dict(zip(contract.joints, vector.tolist(), strict=True))
        raise DataError(f"joint state: expected finite positions, got {found}")
    return vector


def trajectory_message(chunk: ActionChunk, contract: RobotContract) -> JointTrajectory:
    """A chunk as the message that drivers play; its stamp must be system time."""
    message = JointTrajectory()
    message.header.stamp = time_message(chunk.stamp)
    message.joint_names = list(contract.joints)
    for positions, time in zip(chunk.positions, chunk.times, strict=True):
        whole, nanoseconds = _split(float(time))
        due = Duration(sec=whole, nanosec=nanoseconds)
        message.points.append(JointTrajectoryPoint(positions=positions.tolist(), time_from_start=due))
    return message


def action_chunk(message: JointTrajectory, contract: RobotContract, source: str) -> ActionChunk:
    """The chunk of a trajectory, joints matched by name; its stamp is the message's, system time.

    Raises:
        CommandRefused: joints are unknown, missing or named twice, a point lacks a position, there is no
            point or no stamp, numbers are not finite, times are unordered.
    """
    names = list(message.joint_names)
    where = f"{source} trajectory"
    if sorted(names) != sorted(contract.joints):
        raise CommandRefused(f"{where}: expected joints {list(contract.joints)}, got {names}")
    if not message.points:
        raise CommandRefused(f"{where}: expected at least one point, got none")
    for index, point in enumerate(message.points):
        if len(point.positions) != len(names):
            raise CommandRefused(
                f"{where}: point {index}: expected {len(names)} positions, got {len(point.positions)}"
            )
    stamp = stamp_seconds(message.header.stamp)
    if stamp == 0:
        raise CommandRefused(f"{where}: expected header.stamp to be the observation's time, got 0")
    order = [names.index(joint) for joint in contract.joints]
    positions = np.array([point.positions for point in message.points], dtype=float)[:, order]
    times = np.array([stamp_seconds(point.time_from_start) for point in message.points])
    return ActionChunk(positions, times, stamp, source)


def image_message(rgb: np.ndarray, stamp: float, frame_id: str) -> Image:
    """An image (H, W, 3) uint8 RGB, seen at `stamp` [s, system time], as rgb8."""
    height, width, _ = rgb.shape
    message = Image(height=height, width=width, encoding="rgb8", is_bigendian=0, step=3 * width)
    message.header.stamp, message.header.frame_id = time_message(stamp), frame_id
    message.data = array("B", np.ascontiguousarray(rgb).tobytes())  # bytes would be checked one by one
    return message


def image_array(message: Image, camera: CameraConfig) -> np.ndarray:
    """Pixels of a camera's image, (height, width, 3) uint8 RGB; rgb8 and bgr8 are read.

    Raises:
        DataError: the size is not the contract's, the encoding is another one, or bytes are missing.
    """
    _check_size((message.width, message.height), camera)
    if message.encoding not in ("rgb8", "bgr8"):
        raise DataError(f"camera {camera.name}: expected encoding rgb8 or bgr8, got {message.encoding!r}")
    row = 3 * message.width
    if message.step < row or len(message.data) != message.step * message.height:
        raise DataError(
            f"camera {camera.name}: expected {message.height} rows of at least {row} bytes, "
            f"got {len(message.data)} bytes with a step of {message.step}"
        )
    rows = np.frombuffer(message.data, dtype=np.uint8).reshape(message.height, message.step)
    pixels = rows[:, :row].reshape(message.height, message.width, 3)
    return np.ascontiguousarray(pixels[:, :, ::-1] if message.encoding == "bgr8" else pixels)


def compressed_image_message(
    rgb: np.ndarray, stamp: float, frame_id: str, quality: int = JPEG_QUALITY
) -> CompressedImage:
    """An image (H, W, 3) uint8 RGB, seen at `stamp` [s, system time], as JPEG of a quality from 1 to 100."""
    message = CompressedImage(format="rgb8; jpeg compressed bgr8")
    message.header.stamp, message.header.frame_id = time_message(stamp), frame_id
    _, jpeg = cv2.imencode(".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    message.data = array("B", jpeg.tobytes())
    return message


def compressed_image_array(message: CompressedImage, camera: CameraConfig) -> np.ndarray:
    """Pixels of a camera's compressed image, (height, width, 3) uint8 RGB.

    Raises:
        DataError: it is no image, or its size is not the contract's.
    """
    data = np.frombuffer(message.data, dtype=np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if bgr is None:
        raise DataError(
            f"camera {camera.name}: expected a JPEG, got {data.size} bytes of format {message.format!r}"
        )
    _check_size((bgr.shape[1], bgr.shape[0]), camera)
    return np.ascontiguousarray(bgr[:, :, ::-1])


def diagnostic_message(
    name: str, level: str, text: str, values: Mapping[str, object], stamp: float, hardware_id: str = ""
) -> DiagnosticArray:
    """One status for /diagnostics, its texts shortened; `level`: "ok", "warn" or "error"; `stamp` [s, system time]."""
    status = DiagnosticStatus(
        name=name, hardware_id=hardware_id, level=LEVELS[level], message=shortened(text, LONGEST_MESSAGE)
    )
    status.values = [
        KeyValue(key=key, value=shortened(value, LONGEST_VALUE)) for key, value in values.items()
    ]
    message = DiagnosticArray(status=[status])
    message.header.stamp = time_message(stamp)
    return message


def _split(seconds: float) -> tuple[int, int]:
    whole = math.floor(seconds)
    nanoseconds = round((seconds - whole) * NANOSECONDS)
    return (whole + 1, 0) if nanoseconds == NANOSECONDS else (whole, nanoseconds)


def _check_size(size: tuple[int, int], camera: CameraConfig) -> None:
    if size != (camera.width, camera.height):
        expected = f"{camera.width}x{camera.height}"
        raise DataError(
            f"camera {camera.name}: expected an image of {expected} pixels, got {size[0]}x{size[1]}"
        )
