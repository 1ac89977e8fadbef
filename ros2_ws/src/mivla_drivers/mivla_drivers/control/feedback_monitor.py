"""What a driver watches over time before it believes it."""

from __future__ import annotations

import numpy as np


class Lasting:
    """Whether something has been so for long enough, without a break."""

    def __init__(self, duration_s: float) -> None:
        self._duration_s = duration_s
        self._since: float | None = None

    def see(self, so: bool, now: float) -> bool:
        """Note whether it is so at `now` [s, steady clock]; true once it has been for the duration."""
        if not so:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        return now - self._since >= self._duration_s

    def restart(self) -> None:
        """Forget what was seen."""
        self._since = None


class TrackingMonitor:
    """Notices a joint that stays far from where it is commanded: a blocked arm."""

    def __init__(self, tolerance: np.ndarray, patience_s: float) -> None:
        """`tolerance` is (n,) [rad or m], infinite for a joint that may be blocked: a gripper's."""
        self._tolerance = tolerance
        self._far = Lasting(patience_s)

    def blocked(self, commanded: np.ndarray, measured: np.ndarray, now: float) -> int | None:
        """Index of the joint that has been too far away for the patience, or None."""
        excess = np.abs(commanded - measured) - self._tolerance
        return int(np.argmax(excess)) if self._far.see(bool((excess > 0).any()), now) else None

    def restart(self) -> None:
        """Forget what was seen."""
        self._far.restart()
