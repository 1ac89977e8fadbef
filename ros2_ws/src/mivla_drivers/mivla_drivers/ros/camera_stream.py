"""One camera's reader, and the thread that publishes what it grabs."""

from __future__ import annotations

import math
import threading
import time

from rclpy.node import Node

from mivla_drivers.cameras import CameraReader
from mivla_drivers.cameras.camera_report import STALE_PERIODS
from mivla_drivers.cameras.device import Opener
from mivla_drivers.contract import CameraConfig
from mivla_drivers.control.driver_report import Diagnostics
from mivla_drivers.ros.camera_publisher import CameraPublisher
from mivla_drivers.ros.conversions import JPEG_QUALITY

WAIT_S = 0.5


class CameraStream:
    """Grabs and publishes in two threads, and tells whether both of them get anywhere."""

    def __init__(
        self,
        node: Node,
        camera: CameraConfig,
        device: str,
        opener: Opener,
        jpeg_quality: int = JPEG_QUALITY,
    ) -> None:
        """Not started yet; `jpeg_quality` of the compressed images, from 1 to 100.

        Raises:
            ContractError: the device's name cannot be trusted.
        """
        self.camera = camera
        self._log = node.get_logger()
        self._reader = CameraReader(camera, device, self._log, opener)
        self._publisher = CameraPublisher(node, camera, jpeg_quality=jpeg_quality)
        self._published = -math.inf  # steady clock
        self._failure = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"publish {camera.name}", daemon=True)

    def start(self) -> None:
        """Grab and publish."""
        self._reader.start()
        self._thread.start()

    def close(self) -> None:
        """End both threads."""
        self._end.set()
        self._reader.close()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def diagnostics(self, now: float) -> Diagnostics:
        """How the camera and its publishing are at `now` [s, steady clock]."""
        state = self._reader.diagnostics(now)
        age_s = now - self._published
        values = state.values | {"published_age_s": f"{age_s:.3f}" if math.isfinite(age_s) else "none"}
        level, message = state.level, state.message
        if level != "error" and age_s > STALE_PERIODS / self.camera.rate_hz:
            why = self._failure or "nothing raised"
            level, message = (
                "error",
                f"camera {self.camera.name}: frames are grabbed, none is published: {why}",
            )
        return Diagnostics(level, message, values)

    def _run(self) -> None:
        number = 0
        while not self._end.is_set():
            try:
                frame = self._reader.wait(number, WAIT_S)
                if frame is None:
                    continue
                number = frame.number
                self._publisher.publish(frame.rgb, frame.stamp)
                self._published, self._failure = time.monotonic(), ""
            except (
                Exception
            ) as error:  # of whatever kind: a thread that ends would be a camera that is silent
                if self._end.is_set():
                    return
                self._failure = f"{type(error).__name__}: {error}"
                self._log.error(
                    f"camera {self.camera.name}: publishing: {self._failure}", throttle_duration_sec=1.0
                )
                self._end.wait(1.0 / self.camera.rate_hz)
