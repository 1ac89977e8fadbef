"""How far joints go while they brake, in whole periods."""

from __future__ import annotations

import numpy as np

ALMOST_WHOLE = 1e-9


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

    def velocity(self, displacement: np.ndarray, periods: float) -> np.ndarray:
        """The velocity (n,) whose path is `displacement` (n,) long after `periods` of braking: inverse of `moved`."""
        moved = np.abs(displacement) / (self.change * self.period_s)
        braked = np.minimum(np.floor((np.sqrt(1 + 8 * moved) - 1) / 2), periods)
        speed = self.change * (moved / (braked + 1) + braked / 2)
        return np.copysign(speed, displacement)
