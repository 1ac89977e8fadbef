"""Every command on the wire, as a third party on the bus hears it."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

from mivla_bringup.faults.measure import RESAMPLED_STRIDE_S, STRIDE_S
from mivla_drivers.contract import RobotContract
from mivla_drivers.robots.emulator import emulated_name
from mivla_drivers.robots.registry import campaign_module

KEPT = 60_000  # poses: five minutes at 200 Hz


class Wire:
    """Listens on the bus of each part and keeps the commanded poses of the whole robot."""

    def __init__(self, contract: RobotContract) -> None:
        self._pose = np.full(contract.size, np.nan)
        self._lock = threading.Lock()
        self._rows: deque[tuple[float, np.ndarray]] = deque(maxlen=KEPT)
        self._listeners = [
            campaign_module(contract, part).CommandListener(
                emulated_name(part),
                lambda now, pose, at=part.joint_indices: self._note(at, now, pose),
                part.options,
            )
            for part in contract.parts
        ]

        rates = [getattr(listener, "rate_hz", contract.control_rate_hz) for listener in self._listeners]
        # By an SDK that goes on by itself.
        self.is_resampled = any(rate != contract.control_rate_hz for rate in rates)
        self.stride_s = RESAMPLED_STRIDE_S if self.is_resampled else STRIDE_S
        self.period_s = 1.0 / min(rates)  # from one commanded pose of a part to the next, as it should be

    def start(self) -> None:
        """Listen."""
        for listener in self._listeners:
            listener.start()

    def close(self) -> None:
        """Leave the buses."""
        for listener in self._listeners:
            listener.close()

    def commands(self, start: float, end: float) -> tuple[np.ndarray, np.ndarray]:
        """Times (T,) [s, steady clock] and poses (T, n) commanded from `start` to `end`."""
        with self._lock:
            rows = [row for row in self._rows if start <= row[0] <= end]
        poses = np.array([row[1] for row in rows]) if rows else np.empty((0, len(self._pose)))
        return np.array([row[0] for row in rows]), poses

    def _note(self, indices: np.ndarray, now: float, pose: np.ndarray) -> None:
        with self._lock:
            self._pose[indices] = pose
            self._rows.append((now, self._pose.copy()))
