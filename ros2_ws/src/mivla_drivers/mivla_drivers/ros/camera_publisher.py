"""Publishes one camera's images as ROS camera drivers do."""

from __future__ import annotations

import math

import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mivla_drivers.contract import CameraConfig
from mivla_drivers.ros.conversions import (
    JPEG_QUALITY,
    compressed_image_message,
    image_message,
    time_message,
)
from mivla_drivers.ros.parameters import ParameterSpec

JPEG_QUALITY_PARAMETER = ParameterSpec(
    JPEG_QUALITY, "of the compressed images, which the recorder keeps", minimum=1, maximum=100
)


class CameraPublisher:
    """`<topic>/image_raw`, `<topic>/image_raw/compressed` while somebody listens, and `<topic>/camera_info`."""

    def __init__(
        self,
        node: Node,
        camera: CameraConfig,
        info: CameraInfo | None = None,
        jpeg_quality: int = JPEG_QUALITY,
    ) -> None:
        """`info` is the camera's calibration, see `pinhole`; without it, the camera is not calibrated.

        `jpeg_quality`: from 1 to 100.
        """
        self._jpeg_quality = jpeg_quality
        self._info_message = info or uncalibrated(camera)
        self._frame_id = f"{camera.name}_optical"
        self._raw = node.create_publisher(Image, f"{camera.topic}/image_raw", qos_profile_sensor_data)
        self._compressed = node.create_publisher(
            CompressedImage, f"{camera.topic}/image_raw/compressed", qos_profile_sensor_data
        )
        self._info = node.create_publisher(CameraInfo, f"{camera.topic}/camera_info", qos_profile_sensor_data)

    def publish(self, rgb: np.ndarray, stamp: float) -> None:
        """Publish an image (H, W, 3) uint8 that was taken at `stamp` [s, system time]."""
        self._raw.publish(image_message(rgb, stamp, self._frame_id))
        if self._compressed.get_subscription_count():
            self._compressed.publish(compressed_image_message(rgb, stamp, self._frame_id, self._jpeg_quality))
        self._info_message.header.stamp = time_message(stamp)
        self._info_message.header.frame_id = self._frame_id
        self._info.publish(self._info_message)


def uncalibrated(camera: CameraConfig) -> CameraInfo:
    """All zero but the size: ROS's way to say that a camera is not calibrated."""
    return CameraInfo(width=camera.width, height=camera.height)


def pinhole(camera: CameraConfig, field_of_view_deg: float) -> CameraInfo:
    """Calibration of a simulated camera: a pinhole without distortion, with a vertical field of view [deg]."""
    focal = 0.5 * camera.height / math.tan(math.radians(field_of_view_deg) / 2)
    centre_x, centre_y = camera.width / 2, camera.height / 2
    return CameraInfo(
        width=camera.width,
        height=camera.height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[focal, 0.0, centre_x, 0.0, focal, centre_y, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[focal, 0.0, centre_x, 0.0, 0.0, focal, centre_y, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
