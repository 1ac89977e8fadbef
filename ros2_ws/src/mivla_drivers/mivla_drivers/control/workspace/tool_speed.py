"""How fast end effectors move, and how much slower joints must go for a limit."""

from __future__ import annotations

import numpy as np

from mivla_drivers.contract.robot_contract import RobotContract
from mivla_drivers.control.workspace.kernel import Kernel
from mivla_drivers.control.workspace.tree import LinkTree


class ToolSpeed:
    """Slows the joints of an arm, all alike, so that its end effector keeps a speed.

    Attributes:
        joints: which joints of the contract move an end effector, (n,) bool.
    """

    def __init__(self, contract: RobotContract, tree: LinkTree, kernel: Kernel | None) -> None:
        """`kernel` reckons the same faster."""
        self._tree, self._kernel = tree, kernel
        places = [tree.place(arm.end_effector_link) for arm in contract.arms]
        self._tips = [(body, frame[:, 3]) for body, frame in places]
        self._moves = np.array([tree.moves[body] for body, _ in self._tips])
        self.joints: np.ndarray = np.logical_or.reduce(self._moves)
        self._levers = np.array(
            [tree.lever(body, float(np.linalg.norm(tip[:3]))) for body, tip in self._tips]
        )

    def tips(self, frames: np.ndarray) -> np.ndarray:
        """Where the end effectors are, (arms, B, 3) [m]."""
        return np.array([(frames[body] @ local)[:, :3] for body, local in self._tips])

    def surely_below(self, velocity: np.ndarray, limit: float) -> bool:
        """Whether no pose lets `velocity` (n,), or less of it, move an end effector faster than `limit` [m/s]."""
        return bool((self._levers @ np.abs(velocity)).max() <= limit)

    def slowed(
        self, position: np.ndarray, velocity: np.ndarray, slowest: np.ndarray, period_s: float, limit: float
    ) -> np.ndarray:
        """`velocity` (n,), each arm's part brought so far towards `slowest` that its end effector keeps `limit`.

        `slowest` (n,) itself is as slow as it gets, whatever its speed. It returns `velocity` where nothing is changed.
        """
        result = velocity
        shares = (self.shares if self._kernel is None else self._kernel.shares)(
            position, slowest, velocity, period_s, limit
        )
        for share, moves in zip(shares, self._moves, strict=True):
            if share < 1.0:
                result = np.where(moves, slowest + share * (velocity - slowest), result)
        return result

    def shares(
        self, position: np.ndarray, slowest: np.ndarray, velocity: np.ndarray, period_s: float, limit: float
    ) -> list[float]:
        """How far from `slowest` towards `velocity` each arm may go in the next period, 0 to 1, (arms,)."""
        after = np.stack([np.zeros_like(velocity), slowest, velocity]) * period_s
        tips = self.tips(self._tree.frames(position + after))
        return [_largest_share(at[1] - at[0], at[2] - at[1], limit * period_s) for at in tips]

    def steps(self, frames: np.ndarray, moments: np.ndarray) -> np.ndarray:
        """The longest way of each end effector from one period to the next, (arms,) [m].

        `frames` are of the poses at `moments` (K,), ascending periods; two that are further apart are not compared.
        """
        consecutive = np.diff(moments) == 1
        steps = np.diff(self.tips(frames), axis=1)[:, consecutive]
        return np.sqrt(np.einsum("akx,akx->ak", steps, steps).max(axis=1, initial=0.0))

    def joints_of(self, arms: np.ndarray) -> np.ndarray | None:
        """Joints (n,) bool that move the end effectors of `arms` (arms,) bool; None of none."""
        return self._moves[arms].any(axis=0) if arms.any() else None


def _largest_share(least: np.ndarray, more: np.ndarray, limit: float) -> float:
    """The largest s of 0 to 1 with |least + s more| <= limit; 0 where there is none. Both (3,)."""
    a, b, c = float(more @ more), float(least @ more), float(least @ least) - limit**2
    if a + 2 * b + c <= 0:
        return 1.0
    if a == 0.0 or b * b < a * c:
        return 0.0
    return min(1.0, max(0.0, (np.sqrt(b * b - a * c) - b) / a))
