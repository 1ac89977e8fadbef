"""Dates measurements in system time, each one once."""

from __future__ import annotations

CLOCK_SET_BACK_S = 0.1  # a smaller step back is the noise of reading two clocks
SMALLEST_STEP_S = 1e-6  # far below a feedback period, far above the rounding of ages and of today's time


class JointStateClock:
    """Maps the steady time at which a measurement arrived to a stamp of system time.

    Stamps increase, whatever jitter two clocks are read with. Only where the system's clock is set back do they
    follow it, since the cameras' stamps do too.
    """

    def __init__(self) -> None:
        self._received = float("-inf")
        self._stamp = float("-inf")

    def stamp(self, received: float, now: float, system: float) -> float | None:
        """Stamp [s, system time] of the measurement that arrived at `received` [s, steady clock].

        Args:
            received: when the measurement arrived.
            now, system: the same moment on the steady and on the system's clock.

        Returns:
            None for one that was dated before, or is older than one that was.
        """
        if received < self._received + SMALLEST_STEP_S:
            return None
        stamp = system - (now - received)
        if stamp > self._stamp - CLOCK_SET_BACK_S:
            stamp = max(stamp, self._stamp + SMALLEST_STEP_S)
        self._received, self._stamp = received, stamp
        return stamp
