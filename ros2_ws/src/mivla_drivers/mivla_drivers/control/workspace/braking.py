"""How far joints go while they brake, in whole periods."""

from __future__ import annotations

import math

import numpy as np

ALMOST_WHOLE = 1e-9
SAMPLE_SPACING = (
    0.025  # of the poses of a braking path that are looked at [rad or m], of the joint that moves most
)
MOST_PERIODS = 150  # of a braking path that are looked at one by one
MOST_SAMPLES = 90  # more than the longest braking path needs that a contract may have


class BrakingPath:
    """Where joints are that brake as hard as they may, each on its own, as the safety gate lets them.

    The path begins with one period at the speed that is asked about; m periods of braking follow.

    Attributes:
        period_s: [s].
        change: what one period takes from each speed, (n,).
    """

    def __init__(self, acceleration: np.ndarray, period_s: float) -> None:
        """`acceleration` is the joints' largest, (n,)."""
        self.period_s = period_s
        self._acceleration = acceleration
        self.change = acceleration * period_s

    def slowed(self, velocity: np.ndarray) -> np.ndarray:
        """Velocity (n,) after one period of braking as hard as allowed."""
        return np.sign(velocity) * np.maximum(np.abs(velocity) - self.change, 0.0)

    def periods(self, velocity: np.ndarray) -> int:
        """Periods until every joint stands still."""
        return int(np.ceil(float((np.abs(velocity) / self.change).max()) - ALMOST_WHOLE))

    def whole_periods(self, velocity: np.ndarray) -> np.ndarray:
        """Whole periods of braking that each of the speeds (n,) has; the next one brings the joint to rest."""
        return np.floor(np.abs(velocity) / self.change + ALMOST_WHOLE)

    def stop(self, velocity: np.ndarray) -> np.ndarray:
        """Displacement (n,) until every joint stands still, or a little more."""
        speed = np.abs(velocity)
        return velocity * (self.period_s + speed / (2 * self._acceleration))

    def moved(self, velocity: np.ndarray, periods: np.ndarray) -> np.ndarray:
        """Displacement (K, n) after one period at `velocity` (n,) and `periods` (K,) of braking; -1 is now."""
        speed = np.abs(velocity)
        braked = np.minimum(periods[:, None], self.whole_periods(velocity))
        distance = (braked + 1) * speed - self.change * braked * (braked + 1) / 2
        return np.copysign(self.period_s * distance, velocity)

    def moments(self, velocity: np.ndarray, bends: np.ndarray | None = None) -> np.ndarray:
        """Which moments of the path from `velocity` (n,) are to be looked at, (K,), as `moved` takes them.

        They ascend, and the first is now. Where joints `bends` (n,) bool are given, those of an end effector whose
        speed is limited, it is every period: links that turn while they slow down may carry it faster at any of them.
        Of a path of more than `MOST_PERIODS` they come in pairs, a period apart, and each of these joints adds its
        last two periods: joints may cancel each other's motion, so it is faster once one of them has stopped.
        """
        periods = self.periods(velocity)
        if bends is not None and periods <= MOST_PERIODS:
            return np.arange(-1.0, periods + 2)
        most = float(np.abs(self.stop(velocity)).max())
        count = min(MOST_SAMPLES, 1 + math.ceil(most / SAMPLE_SPACING))
        moments = np.empty(count + 1)
        moments[0] = -1.0
        moments[1:] = np.arange(count) * (periods / max(1, count - 1))
        moments = np.rint(moments)
        if bends is None:
            return moments
        whole = self.whole_periods(velocity)[bends]
        return np.unique(np.concatenate([moments, moments + 1, whole - 1, whole, whole + 1]))

    def velocity(self, displacement: np.ndarray, periods: float) -> np.ndarray:
        """The velocity (n,) whose path is `displacement` (n,) long after `periods` of braking: inverse of `moved`."""
        moved = np.abs(displacement) / (self.change * self.period_s)
        braked = np.minimum(np.floor((np.sqrt(1 + 8 * moved) - 1) / 2), periods)
        speed = self.change * (moved / (braked + 1) + braked / 2)
        return np.copysign(speed, displacement)
