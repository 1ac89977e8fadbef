"""Whether the robot follows what it is commanded."""

from __future__ import annotations

import numpy as np

from mivla_drivers.contract import RobotContract
from mivla_drivers.control.debounce import Debounce

ERROR_RAD = 0.2  # a joint further away than this for longer than `BLOCKED_S` is blocked
BLOCKED_S = 0.3
LEAD = 1.5  # times the tracking error: no command goes further ahead of a joint that is held back


class TrackingMonitor:
    """Notices a joint that stays far from where it is commanded: a blocked arm.

    Attributes:
        tolerance: how far each joint may be away [rad], shape (n,); infinite for a gripper, which squeezes.
    """

    def __init__(self, contract: RobotContract) -> None:
        self._contract = contract
        self.tolerance = np.where(contract.is_gripper, np.inf, contract.tracking_error_rad or ERROR_RAD)
        self._far = Debounce(BLOCKED_S)

    @property
    def lead(self) -> np.ndarray:
        """How far a command may go ahead of a joint that is held back [rad], shape (n,)."""
        return LEAD * self.tolerance

    def error_rad(self, commanded: np.ndarray, measured: np.ndarray) -> float:
        """Largest distance of a joint from its command, grippers aside."""
        return float(np.abs(commanded - measured)[~self._contract.is_gripper].max(initial=0.0))

    def blocked(self, commanded: np.ndarray, measured: np.ndarray, now: float) -> str:
        """Which joint has been too far away for too long, in an operator's words; empty where none has.

        Args:
            commanded, measured: shape (n,).
            now: [s, steady clock].
        """
        excess = np.abs(commanded - measured) - self.tolerance
        if not self._far.update(bool((excess > 0).any()), now):
            return ""
        joint = int(np.argmax(excess))
        name, unit = self._contract.joints[joint], self._contract.units[joint]
        return f"{name} is blocked: commanded {commanded[joint]:.3f} {unit}, measured {measured[joint]:.3f}"

    def reset(self) -> None:
        """Start counting anew."""
        self._far.reset()
