"""Damped least squares from many joint positions at once, within limits; arrays only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from mivla_drivers.kinematics.chain import KinematicChain

POSITION_TOLERANCE_M = 1e-4
ROTATION_TOLERANCE_RAD = 1e-3
RADIAN_IN_METRES = 0.3  # what an error of one radian weighs: about the lever of an arm of this size
MAX_STEP = 0.6  # [rad or m] a joint; the linear model is not to be trusted further
DAMPING = 1e-2  # times the squared error: calm far away, Newton's speed near the goal
REST_WEIGHT = 1e-6  # far below the tolerance, yet it decides where the pose leaves the arm free
REDUNDANT_PULL = 0.05  # of the way home a step on a path, for arms of more joints than a pose has freedoms
SEED_POSES = 16384
SEED_DAMPING = 1e-2


class IkCandidates(NamedTuple):
    """State of B solutions: joints (B, m), weighted error (B, 6), its size, errors left, which have converged."""

    q: np.ndarray
    error: np.ndarray
    size: np.ndarray
    metres: np.ndarray
    radians: np.ndarray
    converged: np.ndarray

    def best(self, here: np.ndarray) -> int:
        """Row nearest to `here` (m,) of those that converged, else the row with the smallest error left."""
        if self.converged.any():
            return int(np.where(self.converged, np.abs(self.q - here).sum(axis=1), np.inf).argmin())
        return int(self.size.argmin())

    def joined(self, other: IkCandidates) -> IkCandidates:
        """The rows of both."""
        return IkCandidates(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


class _Seeds(NamedTuple):
    """Random joints (N, m), poses they reach (N, 4, 4), what turns an error there into a step (N, m, 6)."""

    q: np.ndarray
    reached: np.ndarray
    first_step: np.ndarray
    tree: cKDTree


class IkSolver:
    """Solves one chain for wanted poses, from random seed poses kept with their first step."""

    def __init__(self, chain: KinematicChain, lower: np.ndarray, upper: np.ndarray, home: np.ndarray) -> None:
        self._chain, self._lower, self._upper, self._home = chain, lower, upper, home
        self._identity = np.eye(len(home))
        self._pull_on_paths = REDUNDANT_PULL if len(home) > 6 else 0.0
        self._seeds: _Seeds | None = self._sample_seeds()

    def release(self) -> None:
        """Free the seed poses; the next solution that needs them samples them again."""
        self._seeds = None

    def seeds(self, pose: np.ndarray, goal: np.ndarray, count: int) -> np.ndarray:
        """Joints (count, m) of the seed poses nearest to `pose` (4, 4), one step on to its `goal`."""
        seeds = self._seeds = self._seeds or self._sample_seeds()
        rows = seeds.tree.query(_features(pose), count)[1]
        q = seeds.q[rows]
        error = _compare(goal, seeds.reached[rows], q).error
        return self._within_limits(q, (seeds.first_step[rows] @ error[..., None])[..., 0])

    def _sample_seeds(self) -> _Seeds:
        q = np.random.default_rng(0).uniform(self._lower, self._upper, size=(SEED_POSES, len(self._home)))
        frames, reached = self._chain.frames(q)
        jacobian = self._chain.jacobian(frames, reached) * WEIGHTS[:, None]
        gram = jacobian @ jacobian.swapaxes(1, 2) + SEED_DAMPING * np.eye(6)
        return _Seeds(q, reached, jacobian.swapaxes(1, 2) @ np.linalg.inv(gram), cKDTree(_features(reached)))

    def solve(
        self,
        goals: np.ndarray,
        q: np.ndarray,
        steps: int,
        give_up_beyond: float = np.inf,
        wait_for_all: bool = False,
        smooth: bool = False,
    ) -> IkCandidates:
        """Damped least squares from each of `q` (B, m), until one converges or, with `wait_for_all`, all do.

        `goals` is (16, 7) for all rows or (B, 16, 7), from `goals_of`. Nothing is tried where the first row's
        weighed error is beyond `give_up_beyond`. `smooth` is for a pose of a path: it moves the joints
        least instead of towards home, and takes one more step once converged, since near a singular pose the
        tolerance leaves joints room in which a path should not wander.
        """
        q = np.minimum(np.maximum(q, self._lower), self._upper)
        frames, reached = self._chain.frames(q)
        found = _compare(goals, reached, q)
        if found.size[0] > give_up_beyond:
            return found
        enough = len(q) if wait_for_all else 1
        pull = REST_WEIGHT * (self._pull_on_paths if smooth else 1.0)
        polished = False
        for _ in range(steps):
            if np.count_nonzero(found.converged) >= enough:
                if not smooth or polished:
                    break
                polished = True
            q = self._improved(found, self._chain.jacobian(frames, reached), pull)
            frames, reached = self._chain.frames(q)
            found = _compare(goals, reached, q)
        return found

    def _improved(self, found: IkCandidates, jacobian: np.ndarray, pull: float) -> np.ndarray:
        """One step of each row; joints pushed against a limit drop out and leave the work to the others."""
        q = found.q
        jacobian *= WEIGHTS[:, None]
        downhill = (found.error[:, None] @ jacobian)[:, 0]
        free = self._within_limits(q, downhill) != q
        jacobian *= free[:, None]
        damping = DAMPING * found.size**2 + REST_WEIGHT
        gram = jacobian.swapaxes(1, 2) @ jacobian + damping[:, None, None] * self._identity
        target = (downhill + pull * (self._home - q)) * free
        return self._within_limits(q, np.linalg.solve(gram, target[..., None])[..., 0])

    def _within_limits(self, q: np.ndarray, step: np.ndarray) -> np.ndarray:
        step = np.minimum(np.maximum(step, -MAX_STEP), MAX_STEP)
        return np.minimum(np.maximum(q + step, self._lower), self._upper)


def goals_of(poses: np.ndarray) -> np.ndarray:
    """Wanted poses (..., 4, 4) as matrices (..., 16, 7): `reached.reshape(16) @ goal` is what is left.

    The seven are, in the base frame, the weighed shift (3), the axis of the turn that is left times its
    sine (3), and one plus twice its cosine; each is linear in the reached pose.
    """
    return (poses.reshape(*poses.shape[:-2], 16) @ DIFFERENCE).reshape(*poses.shape[:-2], 16, 7)


def _difference() -> np.ndarray:
    """The constant tensor behind `goals_of`, (16, 112): wanted by (reached, what is left) entries."""
    table = np.zeros((4, 4, 4, 4, 7))  # wanted row and column, reached row and column, what is left
    for i in range(3):
        table[i, 3, 3, 3, i], table[3, 3, i, 3, i] = WEIGHTS[i], -WEIGHTS[i]
        j, k = (i + 1) % 3, (i + 2) % 3
        for column in range(3):
            table[k, column, j, column, 3 + i], table[j, column, k, column, 3 + i] = 0.5, -0.5
            table[i, column, i, column, 6] = 1.0
    return table.reshape(16, 112)


def _compare(goals: np.ndarray, reached: np.ndarray, q: np.ndarray) -> IkCandidates:
    """What is left from the poses `reached` (B, 4, 4), at joints `q`, to `goals` (16, 7) or (B, 16, 7)."""
    reached = reached.reshape(-1, 16)
    left = reached @ goals if goals.ndim == 2 else (reached[:, None] @ goals)[:, 0]
    error = left[:, :6]
    shift, sine = np.sqrt(HALVES @ (error * error).T)
    # The angle comes from sine and cosine: at half a turn the sine alone would vanish and look like success.
    radians = np.arctan2(sine, 0.5 * (left[:, 6] - 1.0))
    error[:, 3:] *= (radians / np.maximum(sine, 1e-9))[:, None]
    converged = (shift < POSITION_TOLERANCE_M / RADIAN_IN_METRES) & (radians < ROTATION_TOLERANCE_RAD)
    return IkCandidates(q, error, shift + radians, shift * RADIAN_IN_METRES, radians, converged)


def _features(poses: np.ndarray) -> np.ndarray:
    """Points (..., 12) whose distance grows with the weighed difference of two poses (..., 4, 4)."""
    rotations = poses[..., :3, :3].reshape(*poses.shape[:-2], 9) / np.sqrt(2.0)
    return np.concatenate([poses[..., :3, 3] / RADIAN_IN_METRES, rotations], axis=-1)


WEIGHTS = np.array([1 / RADIAN_IN_METRES] * 3 + [1.0] * 3)
HALVES = np.repeat(np.eye(2), 3, axis=1)  # sums the shift's three squares, and the turn's
DIFFERENCE = _difference()
