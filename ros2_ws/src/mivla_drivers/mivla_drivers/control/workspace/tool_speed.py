"""How fast end effectors move, and how much slower joints must go for a limit."""

from __future__ import annotations

import numpy as np

from mivla_drivers.contract.robot_contract import RobotContract
from mivla_drivers.control.workspace.tree import LinkTree


class ToolSpeed:
    """Slows the joints of an arm, all alike, so that its end effector keeps a speed.

    Attributes:
        joints: which joints of the contract move an end effector, (n,) bool.
    """

    def __init__(self, contract: RobotContract, tree: LinkTree) -> None:
        self._tree = tree
        places = [tree.place(arm.end_effector_link) for arm in contract.arms]
        self._tips = [(body, frame[:, 3]) for body, frame in places]
        self._moves = [tree.moves[body] for body, _ in self._tips]
        self.joints = np.any(self._moves, axis=0)
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
        after = np.stack([np.zeros_like(velocity), slowest, velocity]) * period_s
        frames = self._tree.frames(position + after)
        result = velocity
        for tips, moves in zip(self.tips(frames), self._moves, strict=True):
            share = _largest_share(tips[1] - tips[0], tips[2] - tips[1], limit * period_s)
            if share < 1.0:
                result = np.where(moves, slowest + share * (velocity - slowest), result)
        return result

    def too_fast(
        self, frames: np.ndarray, periods: np.ndarray, period_s: float, limit: float
    ) -> np.ndarray | None:
        """Joints (n,) bool of arms whose end effector exceeds `limit` from one period to the next; None of none.

        Args:
            frames: of the poses at `periods`.
            periods: (K,), ascending; two that are further apart are not compared.
            period_s: [s].
            limit: [m/s].
        """
        joints = None
        consecutive = np.diff(periods) == 1
        for tips, moves in zip(self.tips(frames), self._moves, strict=True):
            steps = np.diff(tips, axis=0)[consecutive]
            if (np.einsum("kx,kx->k", steps, steps) > (limit * period_s) ** 2).any():
                joints = moves if joints is None else joints | moves
        return joints


def _largest_share(least: np.ndarray, more: np.ndarray, limit: float) -> float:
    """The largest s of 0 to 1 with |least + s more| <= limit; 0 where there is none. Both (3,)."""
    a, b, c = float(more @ more), float(least @ more), float(least @ least) - limit**2
    if a + 2 * b + c <= 0:
        return 1.0
    if a == 0.0 or b * b < a * c:
        return 0.0
    return min(1.0, max(0.0, (np.sqrt(b * b - a * c) - b) / a))
