"""What slows a robot within its workspace, for as long as an operator takes to read it."""

from __future__ import annotations

HELD_S = 0.5  # so long a bound must hold the robot back until an operator is warned
SHOWN_S = 0.3  # so long a bound is named after it last held the robot back


class SlowingReason:
    """Names the bound that slowed the robot last, and notices when one goes on holding it back."""

    def __init__(self, period_s: float) -> None:
        """`period_s` [s] lies between two calls of `step`."""
        self._period_s = period_s
        self._reason, self._shown, self._holds, self._held = "", 0, False, 0

    @property
    def text(self) -> str:
        """In an operator's words; empty where nothing slows the robot."""
        return self._reason if self._shown > 0 else ""

    @property
    def holds_back(self) -> bool:
        """Whether a bound of the place, not of the tool's speed, has slowed the robot for `HELD_S`."""
        return self._held * self._period_s >= HELD_S

    def step(self) -> None:
        """A control period begins."""
        self._shown -= 1
        self._held = self._held + 1 if self._holds and self._shown > 0 else 0

    def note(self, reason: str, holds: bool) -> None:
        """`reason` slows the robot in this period; `holds` where it is a bound of the place."""
        self._reason, self._holds, self._shown = reason, holds, round(SHOWN_S / self._period_s)
