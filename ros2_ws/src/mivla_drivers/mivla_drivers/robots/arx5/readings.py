"""The newest readings of an ARX-5's motors, and how old each of them is."""

from __future__ import annotations

import math

import numpy as np

UNCHANGED_S = 0.05  # readings of a motor that is alive change more often than this


class MotorReadings:
    """Positions, velocities and efforts of `count` motors, as the SDK tells them.

    The SDK never says that a motor has fallen silent: it goes on telling that motor's last reading. A motor that is
    alive never reads the same speed and torque for long, so a reading that stands still is an old one.
    """

    def __init__(self, count: int) -> None:
        self._values = np.zeros((3, count))
        self._changed = np.full(count, -math.inf)
        self._received = -math.inf
        self._number = 0

    @property
    def received_any(self) -> bool:
        """Whether anything came since the SDK was started."""
        return self._number != 0

    @property
    def position(self) -> np.ndarray:
        """Newest positions [rad, m], (count,)."""
        return self._values[0]

    @property
    def silent(self) -> np.ndarray:
        """Which motors' readings have never changed, (count,) bool."""
        return np.isinf(self._changed)

    def copies(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position, velocity and effort, each (count,)."""
        position, velocity, effort = (row.copy() for row in self._values)
        return position, velocity, effort

    def restart(self) -> None:
        """The SDK counts its states from the start again."""
        self._number = 0

    def update(self, values: np.ndarray, number: int, now: float) -> bool:
        """Take the SDK's state `number`, (3 * count,), received at `now` [s]; False where it was taken before."""
        if number == self._number:
            return False
        reading = values.reshape(self._values.shape)
        self._changed[(reading != self._values).any(axis=0)] = now
        self._values, self._number, self._received = reading, number, now
        return True

    def ages(self, now: float) -> np.ndarray:
        """How old each motor's reading is [s], (count,); infinite before the first."""
        if np.isinf(self._received):
            return np.full(self._changed.shape, math.inf)
        behind = self._received - self._changed  # no motor is called silent where nothing at all is received
        behind[behind <= UNCHANGED_S] = 0.0
        return now - self._received + behind
