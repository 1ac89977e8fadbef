"""The `camera` node: USB cameras of the contract, one thread each that grabs and one that publishes.

Parameters: `robot`; `camera`, one of the contract's, with its `device`; or `camera` empty for all of them,
with `<camera>.device` each. A device is a path in /dev/v4l/by-id, a video file or an image sequence.
`pixel_format` (MJPG or YUYV) and `size` (of the sensor's mode, such as 640x480), or `<camera>.pixel_format` and
`<camera>.size`, are refused where the device does not grant them. `jpeg_quality` of the compressed images.
Out: `<camera>/image_raw`, `<camera>/image_raw/compressed`, `<camera>/camera_info`, `/diagnostics`.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from mivla_drivers.cameras import PIXEL_FORMATS, CaptureRequest, open_capture, parse_size
from mivla_drivers.contract import CameraConfig, RobotContract, load_contract
from mivla_drivers.errors import ContractError
from mivla_drivers.robots import DEFAULT_ROBOT
from mivla_drivers.ros.camera_publisher import JPEG_QUALITY_PARAMETER
from mivla_drivers.ros.camera_stream import CameraStream
from mivla_drivers.ros.conversions import diagnostic_message
from mivla_drivers.ros.parameters import ParameterSpec, declare
from mivla_drivers.ros.spin import spin

DIAGNOSTICS_PERIOD_S = 0.5
PARAMETERS = {
    "robot": ParameterSpec(DEFAULT_ROBOT, "a robot's name or the path of a robot.yaml", check=load_contract),
    "camera": ParameterSpec("", "one of the contract's cameras; empty for all of them"),
    "device": ParameterSpec("", "device of `camera`"),
    "pixel_format": ParameterSpec("", "MJPG or YUYV; empty leaves it to the device", choices=PIXEL_FORMATS),
    "size": ParameterSpec(
        "", "of the sensor's mode, such as 640x480; empty takes what fits", check=parse_size
    ),
    "jpeg_quality": JPEG_QUALITY_PARAMETER,
}


class CameraNode(Node):
    """Starts a reader and a publisher a camera, and tells how they are."""

    def __init__(self) -> None:
        super().__init__("camera")
        self._streams: list[CameraStream] = []
        declare(self, PARAMETERS)
        contract = load_contract(self._value("robot"))
        chosen = self._value("camera")
        for camera in _chosen(contract, chosen):
            self._streams.append(self._stream(camera, self._value("device") if chosen else ""))
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics)
        for stream in self._streams:
            stream.start()

    def _stream(self, camera: CameraConfig, device: str) -> CameraStream:
        """The stream of a camera, whose own parameters come before those of all."""
        name = camera.name
        specs = {
            f"{name}.{key}": replace(PARAMETERS[key], default=default, description=f"{key} of {name}")
            for key, default in (
                ("device", device),
                ("pixel_format", self._value("pixel_format")),
                ("size", self._value("size")),
            )
        }
        declare(self, specs)
        device, pixel_format, size = (self._value(key) for key in specs)
        request = CaptureRequest(pixel_format, parse_size(size))
        return CameraStream(
            self, camera, device, partial(open_capture, request=request), self._value("jpeg_quality")
        )

    def close(self) -> None:
        """Leave the devices."""
        for stream in self._streams:
            stream.close()

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _publish_diagnostics(self) -> None:
        for stream in self._streams:
            state = stream.diagnostics(time.monotonic())
            name = f"{self.get_fully_qualified_name().lstrip('/')}/{stream.camera.name}"
            device = str(state.values["device"])
            self._diagnostics.publish(
                diagnostic_message(name, state.level, state.message, state.values, time.time(), device)
            )


def _chosen(contract: RobotContract, name: str) -> list[CameraConfig]:
    """The contract's camera of this name, or all of them for an empty one."""
    cameras = [camera for camera in contract.cameras if name in ("", camera.name)]
    if not cameras:
        known = [camera.name for camera in contract.cameras]
        raise ContractError(f"camera: expected one of {known} or none for all of them, got {name!r}")
    return cameras


def main() -> int:
    """Run the node until a signal ends it; 1 where a parameter is refused."""
    # OpenCV warns at every try to open a device, and says less than the reader's own message.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    return spin(CameraNode, CameraNode.close)


if __name__ == "__main__":
    sys.exit(main())
