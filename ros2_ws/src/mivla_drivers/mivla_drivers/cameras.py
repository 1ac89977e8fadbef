"""Cameras as a driver needs them: opened by a stable name, stamped by the sensor, back after an unplug."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from mivla_drivers.contract import CameraConfig
from mivla_drivers.control.driver_report import Diagnostics
from mivla_drivers.errors import ContractError, HardwareError

BY_ID = Path("/dev/v4l/by-id")
STABLE = ("/dev/v4l/by-id/", "/dev/v4l/by-path/")
CLOCK_TOLERANCE_S = 1.0  # no driver holds a frame for longer
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0
STALE_PERIODS = 5.0


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used here."""

    def read(self) -> tuple[bool, np.ndarray | None]: ...

    def get(self, propId: int, /) -> float: ...

    def release(self) -> None: ...


class Log(Protocol):
    """The part of a logger, ROS's or Python's, that is used here."""

    def info(self, message: str, /) -> object: ...

    def warning(self, message: str, /) -> object: ...


Opener = Callable[[str, CameraConfig], Capture]


@dataclass(frozen=True)
class Frame:
    """One image of a camera in the contract's size.

    Attributes:
        rgb: (height, width, 3) uint8.
        stamp: when the sensor took it [s, system time]; when it was grabbed, where the sensor does not tell.
        number: counts from 1 on, so that one who waits can tell a new frame from an old one.
    """

    rgb: np.ndarray
    stamp: float
    number: int


def check_device(device: str, camera: str) -> str:
    """The device, where its name can be trusted after a replug; a video file or image sequence is one too.

    Raises:
        ContractError: it is /dev/videoN, or empty; the message lists what is plugged in.
    """
    if not device or (device.startswith("/dev/") and not device.startswith(STABLE)):
        plugged = sorted(str(path) for path in BY_ID.glob("*-video-index0"))
        raise ContractError(
            f"camera {camera}: device: expected a path in {BY_ID}, got {device or 'none'}: numbers of "
            "/dev/video* are given in the order of plugging in, so a replug would swap two cameras' views. "
            f"Plugged in now: {', '.join(plugged) or 'none'}"
        )
    return device


def open_capture(device: str, camera: CameraConfig) -> Capture:
    """Open a V4L2 camera in the contract's size and rate, as far as it can; a file plays at that rate.

    Raises:
        HardwareError: it cannot be opened.
    """
    if not device.startswith("/dev/"):
        return FilePlayer(device, camera.rate_hz)
    capture = cv2.VideoCapture(os.path.realpath(device), cv2.CAP_V4L2)
    if not capture.isOpened():
        capture.release()
        state = "is there but taken or broken" if os.path.exists(device) else "is not plugged in"
        raise HardwareError(f"camera {camera.name}: expected to open {device}, but it {state}")
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, camera.width)
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, camera.height)
    capture.set(cv2.CAP_PROP_FPS, camera.rate_hz)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # a queue in the driver would only make frames older
    return capture


class FilePlayer:
    """A video file, or an image sequence such as `frame_%03d.png`, played over and over at one rate."""

    def __init__(self, path: str, rate_hz: float) -> None:
        self._path, self._period = path, 1.0 / rate_hz
        self._due = time.monotonic()
        self._capture = self._open()

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self._path)
        if not capture.isOpened():
            raise HardwareError(f"camera: expected a video file or image sequence, cannot open {self._path}")
        return capture

    def read(self) -> tuple[bool, np.ndarray | None]:
        """The next image, when it is due."""
        self._due = max(self._due + self._period, time.monotonic())
        time.sleep(max(0.0, self._due - time.monotonic()))
        good, image = self._capture.read()
        if not good:
            self._capture.release()
            self._capture = self._open()
            good, image = self._capture.read()
        return good, image

    def get(self, propId: int, /) -> float:
        """A property of the file."""
        return self._capture.get(propId)

    def release(self) -> None:
        """Close the file."""
        self._capture.release()


def sensor_stamp(position_ms: float, steady: float, system: float) -> float | None:
    """When the sensor took a frame [s, system time], of what V4L2 says; None where that is no clock's time.

    Args:
        position_ms: CAP_PROP_POS_MSEC: V4L2's buffer timestamp, of the steady clock with nearly all drivers.
        steady, system: readings of both clocks just now [s].
    """
    taken = position_ms / 1000
    for now in (steady, system):
        if 0 <= now - taken < CLOCK_TOLERANCE_S and taken > 0:
            return system - (now - taken)
    return None


def fit(image: np.ndarray, camera: CameraConfig) -> np.ndarray:
    """An image (H, W, 3) in the contract's size: the middle is kept, the proportions stay."""
    height, width = image.shape[:2]
    if (width, height) == (camera.width, camera.height):
        return image
    scale = min(width / camera.width, height / camera.height)
    crop_width, crop_height = round(camera.width * scale), round(camera.height * scale)
    left, top = (width - crop_width) // 2, (height - crop_height) // 2
    crop = image[top : top + crop_height, left : left + crop_width]
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    return cv2.resize(crop, (camera.width, camera.height), interpolation=method)


class Thinning:
    """Keeps a wanted rate out of a faster sensor's frames, and every frame of one that is as fast."""

    def __init__(self, rate_hz: float) -> None:
        self._period = 1.0 / rate_hz
        self._due = -math.inf

    def keep(self, stamp: float) -> bool:
        """Whether the frame of `stamp` [s] is one to publish."""
        if stamp < self._due - self._period / 2:
            return False
        self._due = max(self._due, stamp - self._period / 2) + self._period
        return True


class CameraReader:
    """Grabs a camera's frames in a thread of its own, and opens it again whenever it goes away.

    Whoever publishes waits for frames with `wait`; being slow costs them frames, never the grabbing.
    """

    def __init__(
        self,
        camera: CameraConfig,
        device: str,
        log: Log,
        opener: Opener = open_capture,
    ) -> None:
        """Check the device's name.

        Args:
            log: told what an operator should read, once each time it happens; called in the thread.

        Raises:
            ContractError: see `check_device`.
        """
        self._camera, self._device = camera, check_device(device, camera.name)
        self._log, self._opener = log, opener
        self._thinning = Thinning(camera.rate_hz)
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._grabbed = -math.inf  # steady clock
        self._problem = "not opened yet"
        self._opened = self._sensor_stamped = 0
        self._told_size = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"camera {camera.name}", daemon=True)

    def start(self) -> None:
        """Begin to grab."""
        self._thread.start()

    def close(self) -> None:
        """End the thread and leave the device; a read under way may take V4L2's timeout to return."""
        self._end.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def wait(self, after: int, timeout_s: float) -> Frame | None:
        """The newest frame with a number above `after`; None when there is none within the time."""
        with self._changed:
            self._changed.wait_for(lambda: self._end.is_set() or self._number > after, timeout_s)
            return self._frame if self._number > after else None

    def diagnostics(self, now: float) -> Diagnostics:
        """How the camera is at `now` [s, steady clock]."""
        age = now - self._grabbed
        values = {
            "device": self._device,
            "age_s": f"{age:.3f}" if math.isfinite(age) else "none",
            "frames": self._number,
            "sensor_stamped": self._sensor_stamped,
            "reconnects": max(0, self._opened - 1),
        }
        if self._problem:
            return Diagnostics("error", self._problem, values)
        if age > STALE_PERIODS / self._camera.rate_hz:
            return Diagnostics("error", f"camera {self._camera.name}: no frame for {age:.1f} s", values)
        return Diagnostics("ok", "grabbing", values)

    @property
    def _number(self) -> int:
        return 0 if self._frame is None else self._frame.number

    def _run(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._end.is_set():
            before = self._number
            try:
                self._grab_until_it_fails()
            except (HardwareError, cv2.error) as error:
                if str(error) != self._problem:
                    self._log.warning(str(error))
                self._problem = str(error)
            pause = FIRST_PAUSE_S if self._number > before else min(2 * pause, LONGEST_PAUSE_S)
            self._end.wait(pause)

    def _grab_until_it_fails(self) -> None:
        """Open the device and keep its frames.

        Raises:
            HardwareError: it cannot be opened, or gives no frame.
        """
        capture = self._opener(self._device, self._camera)
        try:
            while not self._end.is_set():
                good, image = capture.read()
                if not good or image is None:
                    raise HardwareError(
                        f"camera {self._camera.name}: {self._device} gives no frame: unplugged? Opening it again"
                    )
                if self._problem:
                    self._log.info(f"camera {self._camera.name}: grabbing from {self._device}")
                    self._problem, self._opened = "", self._opened + 1
                self._keep(image, capture.get(cv2.CAP_PROP_POS_MSEC))
        finally:
            capture.release()

    def _keep(self, image: np.ndarray, position_ms: float) -> None:
        self._grabbed, system = time.monotonic(), time.time()
        stamp = sensor_stamp(position_ms, self._grabbed, system)
        self._sensor_stamped += stamp is not None
        stamp = system if stamp is None else stamp
        if not self._thinning.keep(stamp):
            return
        self._tell_size(image)
        rgb = np.ascontiguousarray(fit(image, self._camera)[:, :, ::-1])
        with self._changed:
            self._frame = Frame(rgb, stamp, self._number + 1)
            self._changed.notify_all()

    def _tell_size(self, image: np.ndarray) -> None:
        height, width = image.shape[:2]
        if (width, height) != (self._camera.width, self._camera.height) and not self._told_size:
            self._told_size = True
            self._log.warning(
                f"camera {self._camera.name}: the sensor gives {width}x{height}, the contract asks for "
                f"{self._camera.width}x{self._camera.height}: the middle is cut out and scaled"
            )
