"""What a driver says about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np


class Mode(str, Enum):
    """What the driver does. Only ACTIVE follows a source; every other mode waits for an operator."""

    DISABLED = "disabled"  # motors are not commanded; an arm left powered keeps its last target
    ENABLING = "enabling"  # motors are being given power
    ACTIVE = "active"
    STOPPED = "stopped"  # an operator stopped it: motors have power, the arm holds
    FAULT = "fault"  # the robot, or a step of the driver, failed: the arm holds
    SILENT = "silent"  # nothing is heard on the bus: the arm holds its last target


@dataclass(frozen=True)
class StepReport:
    """One step of the driver; arrays are (n,) in contract order.

    Attributes:
        target: what was commanded; the measured position where nothing was.
        measured, velocity, effort: newest feedback.
        source: who was followed: "policy", "teleop", "home", or "hold".
        mode: see `Mode`.
        age_s: age of the feedback.
        received: when that feedback arrived [s, steady clock]; minus infinity before the first.
    """

    target: np.ndarray
    measured: np.ndarray
    velocity: np.ndarray
    effort: np.ndarray
    source: str
    mode: Mode
    age_s: float
    received: float


@dataclass(frozen=True)
class Diagnostics:
    """State of the driver for an operator: level "ok", "warn" or "error", a sentence, and numbers."""

    level: str
    message: str
    values: dict[str, object] = field(default_factory=dict)
