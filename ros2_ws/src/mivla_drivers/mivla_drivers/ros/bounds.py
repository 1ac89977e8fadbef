"""How large a message may be, judged by its bytes before anything is made of them.

To make Python objects of a message holds up every thread of a process, its control thread too: 5 s for a trajectory of
400,000 points. So a node takes the bytes that came (`raw`), refuses what no contract can mean, and reads the rest.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import MessageInfo, Subscription
from rclpy.timer import Timer

from mivla_drivers.contract import CameraConfig, RobotContract
from mivla_drivers.control.safety_gate import HORIZON_S
from mivla_drivers.errors import DataError, MivlaError
from mivla_drivers.ros.sentence import LONGEST_SENTENCE

ENCAPSULATION = 4  # bytes before a message's first field; the second one is odd where it is little-endian
LONGEST_NAME = 256  # bytes of a joint's or a frame's name
HEADER = 8 + 8 + LONGEST_NAME  # bytes of a std_msgs/Header
MOST_JOINTS = 400  # of a joint state: four times as many as a contract can have
PIXEL = 4  # bytes of a pixel, padding included
PAUSE_S = 1.0  # for which a topic is not listened to after a message that was too large
BURST_S = 0.1  # messages of so long may come at once, as after a pause of this process
FLOOD_TOLD_S = 1.0  # from one word on a flood to the next
Receive = Callable[[Any, MessageInfo], None]

SENTENCE_BYTES = ENCAPSULATION + 8 + 4 * LONGEST_SENTENCE  # a character has at most 4 bytes in UTF-8
STATUS_BYTES = 256 * 1024  # of diagnostics, a task's progress or a line of a log
CHUNK_BYTES = 2 * 1024 * 1024  # of a trajectory for a robot that is not known
PICTURE_BYTES = 64 * 1024 * 1024  # of an image of a size that is not known
JOINT_STATE_BYTES = ENCAPSULATION + HEADER + MOST_JOINTS * (8 + LONGEST_NAME + 3 * 8) + 64


def most_points(contract: RobotContract) -> int:
    """Points of a trajectory: one per control period in the time that a chunk may look ahead."""
    return max(1, round(HORIZON_S * contract.control_rate_hz)) + 1


def trajectory_bytes(contract: RobotContract) -> int:
    """Bytes of a trajectory with `most_points` of positions, velocities, accelerations and efforts."""
    point = 8 + 4 * (8 + 8 * contract.size)
    return ENCAPSULATION + HEADER + contract.size * (8 + LONGEST_NAME) + 16 + most_points(contract) * point


def image_bytes(camera: CameraConfig) -> int:
    """Bytes of a camera's image."""
    return ENCAPSULATION + HEADER + 64 + camera.height * (PIXEL * camera.width + 64)


def require_trajectory(data: bytes, contract: RobotContract) -> None:
    """Refuse a serialised trajectory with more joints or points than a chunk can have.

    Raises:
        DataError: says how many; or the bytes are no trajectory.
    """
    fields = _Fields(data)
    fields.skip_header()
    names = fields.number()
    if names > contract.size:
        raise DataError(f"trajectory: expected {contract.size} joints, got {names}")
    for _ in range(names):
        fields.skip_text()
    points, most = fields.number(), most_points(contract)
    if points > most:
        raise DataError(f"trajectory: expected at most {most} points, got {points}")


def require_image(data: bytes, camera: CameraConfig) -> None:
    """Refuse a serialised image of another size than the contract's.

    Raises:
        DataError: says which size; or the bytes are no image.
    """
    fields = _Fields(data)
    fields.skip_header()
    height, width = fields.number(), fields.number()
    if (width, height) != (camera.width, camera.height):
        expected = f"{camera.width}x{camera.height}"
        raise DataError(f"camera {camera.name}: expected an image of {expected} pixels, got {width}x{height}")


class RateBound:
    """Lets through at most so many messages per second, on average over `BURST_S`."""

    def __init__(self, most_hz: float) -> None:
        self._period = 1.0 / most_hz
        self._due = float("-inf")

    def accept(self, now: float) -> bool:
        """Whether a message that came at `now` [s, steady clock] is one to read."""
        if self._due > now + BURST_S:
            return False
        self._due = max(self._due, now) + self._period
        return True


class BoundedSubscription:
    """Hands over each message that is not too large and not one of a flood, and what the middleware tells of it.

    After one that is, the topic is not listened to for `PAUSE_S`: to take the bytes out of DDS holds up this process
    too, 0.1 s for 40 MB.
    """

    def __init__(
        self,
        node: Node,
        kind: Any,
        topic: str,
        receive: Receive,
        qos: QoSProfile | int,
        longest: int,
        refuse: Callable[[MivlaError], None],
        require: Callable[[bytes], None] = lambda data: None,
        most_hz: float | None = None,
    ) -> None:
        """Listen on `topic`.

        Args:
            node: whose executor calls `receive`.
            kind: type of the messages.
            receive: takes a message and its `MessageInfo`; `publisher_of` says who sent it.
            longest: bytes that a serialised message may have.
            refuse: told why a message was not handed over.
            require: raises a MivlaError for bytes that are not to be read.
            most_hz: messages per second of which anything is read; None reads all.
        """
        self._node, self._kind, self._topic, self._qos = node, kind, topic, qos
        self._receive, self._refuse, self._require = receive, refuse, require
        self._longest = longest
        self._most_hz, self._rate = most_hz, None if most_hz is None else RateBound(most_hz)
        self._flood_told = float("-inf")
        self._pause: Timer | None = None
        self._subscription: Subscription | None = None
        self._listen()

    def close(self) -> None:
        """Listen no more."""
        if self._pause is not None:
            self._node.destroy_timer(self._pause)
            self._pause = None
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _listen(self) -> None:
        self.close()
        self._subscription = self._node.create_subscription(
            self._kind, self._topic, self._take, self._qos, raw=True
        )

    def _take(self, data: bytes, info: MessageInfo) -> None:
        if len(data) > self._longest:
            self.close()
            self._pause = self._node.create_timer(PAUSE_S, self._listen)
            self._refuse(
                DataError(
                    f"{self._topic}: expected at most {self._longest} bytes, got {len(data)}: "
                    f"it is not listened to for {PAUSE_S:g} s"
                )
            )
            return
        if self._rate is not None and not self._rate.accept(time.monotonic()):
            self._refuse_flood()
            return
        try:
            self._require(data)
            message = deserialize_message(data, self._kind)
        except MivlaError as error:
            self._refuse(error)
        except Exception as error:  # rclpy names no type of error for bytes that are no message
            self._refuse(DataError(f"{self._topic}: expected a {self._kind.__name__}, got {error!r}"))
        else:
            self._receive(message, info)

    def _refuse_flood(self) -> None:
        now = time.monotonic()
        if now - self._flood_told < FLOOD_TOLD_S:
            return
        self._flood_told = now
        self._refuse(
            DataError(
                f"{self._topic}: expected at most {self._most_hz:g} messages per second, the rest is not read"
            )
        )


def publisher_of(info: MessageInfo) -> bytes:
    """GID of a message's publisher; empty where the middleware does not tell it."""
    gid = info.get("publisher_gid")
    return bytes(gid["data"]) if gid else b""


class _Fields:
    """Reads the first fields of a serialised message (plain CDR)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order = "<" if len(data) > 1 and data[1] & 1 else ">"
        self._at = ENCAPSULATION

    def number(self) -> int:
        """The next 32-bit number."""
        self._at += -(self._at - ENCAPSULATION) % 4
        try:
            (value,) = struct.unpack_from(f"{self._order}I", self._data, self._at)
        except struct.error:
            raise DataError(f"expected a message, got {len(self._data)} bytes that end within it") from None
        self._at += 4
        return int(value)

    def skip_text(self) -> None:
        """Pass over a text."""
        length = self.number()
        self._at += length

    def skip_header(self) -> None:
        """Pass over a std_msgs/Header."""
        self.number()
        self.number()
        self.skip_text()
