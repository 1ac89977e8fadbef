"""What a recording session is to record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class SessionPlan:
    """What a session is to record.

    Attributes:
        task, instruction: the episodes' label, and the sentence; None takes the scene's own.
        source: who commands: "teleop" or "policy".
        wanted: episodes that can be learned from.
        mode: of simulated scenes.
    """

    task: str
    instruction: Callable[[int | None], str]
    source: str
    wanted: int
    mode: str
