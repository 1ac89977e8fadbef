"""A condition that counts only once it has lasted."""

from __future__ import annotations


class Debounce:
    """Whether a condition has held for long enough, without a break."""

    def __init__(self, duration_s: float) -> None:
        self._duration_s = duration_s
        self._since: float | None = None

    def update(self, condition: bool, now: float) -> bool:
        """Note the condition at `now` [s, steady clock]; true once it has held for the duration."""
        if not condition:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        return now - self._since >= self._duration_s

    def reset(self) -> None:
        """Start counting anew."""
        self._since = None
