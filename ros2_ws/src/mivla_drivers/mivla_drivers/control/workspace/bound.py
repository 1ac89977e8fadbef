"""One thing that a robot keeps away from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bound:
    """One of the things that a robot must keep away from.

    Attributes:
        text: what it says to an operator while it holds a robot back.
        field: the contract's field that states it.
        margin: distance that must be left [m].
        lever: largest change of the distance per change of each joint, (n,).
    """

    text: str
    field: str
    margin: float
    lever: np.ndarray
