"""When an ARX-5's commands count as given: evenly spaced, although the driver's periods are not."""

from __future__ import annotations

import math

CATCH_UP = 0.05  # share of a command's delay that the next ones are told to be later


class CommandTimes:
    """Spaces commands by the driver's period, so that one that comes late is no jump in speed for the SDK."""

    def __init__(self, period_s: float, longest_delay_s: float) -> None:
        """After a delay of `longest_delay_s` or more, times begin anew."""
        self._period_s, self._longest_delay_s = period_s, longest_delay_s
        self._last = -math.inf

    def next(self, now: float) -> float:
        """When a command that comes at `now` counts as given [s]: a period after the last, whatever delayed it."""
        due = self._last + self._period_s
        late = now - due
        self._last = due + CATCH_UP * late if abs(late) < self._longest_delay_s else now
        return self._last
