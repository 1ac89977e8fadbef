"""What is observed of a robot at one moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Observation:
    """What a policy sees at one moment.

    Attributes:
        images: {view: (H, W, 3) uint8 rgb}; of the policy's views at least.
        joints: measured at the images' time, shape (n,), contract order.
        instruction: what the operator asks for.
        stamp: of the oldest image [s, system time; in lockstep, simulated time].
        end_effectors: where the contract says that they are observed, xyz [m] and quaternion xyzw of each,
            shape (7,) or (14,); otherwise they follow from the joints.
    """

    images: dict[str, np.ndarray]
    joints: np.ndarray
    instruction: str
    stamp: float
    end_effectors: np.ndarray | None = None
