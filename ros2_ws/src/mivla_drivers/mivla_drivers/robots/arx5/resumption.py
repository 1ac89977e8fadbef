"""Leading commands on from where they stood when their process was held up."""

from __future__ import annotations

import numpy as np

SOONEST_S = 0.3  # in which a few hundredths of a radian are made up for within every acceleration limit
SPEED_SHARE = 0.3  # of the speed limits


class Resumption:
    """What commands were off from their target when they went on, faded out smoothly from then on."""

    def __init__(self, stood: np.ndarray, target: np.ndarray, speed_limits: np.ndarray, now: float) -> None:
        """All (n,) [rad or m, and per second]; `stood` is the last command, `now` [s, steady clock]."""
        self._offset, self._began = stood - target, now
        self._duration = max(
            SOONEST_S, float((1.5 * np.abs(self._offset) / (SPEED_SHARE * speed_limits)).max())
        )

    def command(self, target: np.ndarray, now: float) -> np.ndarray:
        """The command (n,) on the way to `target` (n,) at `now`."""
        share = min(1.0, max(0.0, (now - self._began) / self._duration))
        return target + self._offset * (1.0 - share * share * (3.0 - 2.0 * share))

    def is_over(self, now: float) -> bool:
        """Whether nothing is left of the offset."""
        return now - self._began >= self._duration
