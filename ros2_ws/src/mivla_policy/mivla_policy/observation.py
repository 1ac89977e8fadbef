"""Pairs camera images and joint states by their stamps into one observation."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

import numpy as np

from mivla_drivers.contract import RobotContract
from mivla_drivers.errors import MivlaError
from mivla_drivers.observation import Observation

JOINT_MEMORY_S = 2.0
LARGEST_PAIRING_GAP_S = 0.1  # between an image and the joint state that goes with it


class ObservationMissing(MivlaError):
    """There is nothing fresh to look at; the policy waits and the driver holds."""


class ObservationBuffer:
    """Keeps the newest image a view and the last two seconds of joint states; times are system time [s]."""

    def __init__(self, contract: RobotContract, stale_after_s: float = 0.5) -> None:
        self._views = tuple(camera.view for camera in contract.cameras)
        self._stale_after_s = stale_after_s
        self._images: dict[str, tuple[float, np.ndarray]] = {}
        self._joints: deque[tuple[float, np.ndarray]] = deque()
        self.instruction = ""

    def push_image(self, view: str, stamp: float, image: np.ndarray) -> None:
        """The newest image of `view`, (H, W, 3) uint8 rgb."""
        self._images[view] = (stamp, image)

    def push_joints(self, stamp: float, joints: np.ndarray) -> None:
        """A measured joint state, shape (n,)."""
        self._joints.append((stamp, joints))
        while self._joints[0][0] < stamp - JOINT_MEMORY_S:
            self._joints.popleft()

    def observe(self, now: float) -> Observation:
        """The newest complete observation.

        Raises:
            ObservationMissing: names the view or the joints that are missing or stale, and for how long.
        """
        if not self.instruction:
            raise ObservationMissing("instruction: expected a sentence, got none; publish one on instruction")
        for view in self._views:
            if view not in self._images:
                raise ObservationMissing(f"camera view {view}: expected images, got none yet")
            age = now - self._images[view][0]
            if age > self._stale_after_s:
                raise ObservationMissing(
                    f"camera view {view}: expected an image within {self._stale_after_s} s, "
                    f"the newest is {age:.2f} s old"
                )
        stamp = min(self._images[view][0] for view in self._views)
        images = {view: self._images[view][1] for view in self._views}
        return Observation(images, self._joints_at(stamp), self.instruction, stamp)

    def _joints_at(self, stamp: float) -> np.ndarray:
        if not self._joints:
            raise ObservationMissing("joint_states: expected the arm's joints, got none yet")
        samples = list(self._joints)
        after = bisect_left(samples, stamp, key=lambda sample: sample[0])
        nearest = min(samples[max(0, after - 1) : after + 1], key=lambda sample: abs(sample[0] - stamp))
        gap = abs(nearest[0] - stamp)
        if gap > LARGEST_PAIRING_GAP_S:
            raise ObservationMissing(
                f"joint_states: expected one within {LARGEST_PAIRING_GAP_S} s of the image, "
                f"the nearest is {gap:.2f} s away"
            )
        return nearest[1]
