"""From recorded motion and commands to the numbers of a row; plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WINDOW_S = 0.05  # speeds are taken over so long: single steps carry the bus' own jitter
REST_SHARE = 0.03  # of a joint's velocity limit, below which it is at rest
STRIDE_S = 0.02  # to each side, over which accelerations are taken: a wire rounds
# Where an SDK samples commands anew, one that reaches it a period late bends them: less so over twice the time.
RESAMPLED_STRIDE_S = 0.04
GAP_S = 0.03
QUIET_S = 0.15  # an arm that rests so long is at rest


@dataclass(frozen=True)
class Speeds:
    """Largest step and speed of a series of poses.

    Attributes:
        step: largest change between two samples of an arm's joint [rad].
        share: largest speed over `WINDOW_S`, as a share of the joint's velocity limit; 1.0 is at the limit.
        joint: the joint's index that had it.
    """

    step: float
    share: float
    joint: int


def speeds(times: np.ndarray, poses: np.ndarray, limits: np.ndarray, is_gripper: np.ndarray) -> Speeds:
    """Of poses (T, n) at `times` (T,) [s], against velocity limits (n,) [rad/s or m/s]; zeros for too few samples."""
    poses, times = _whole(times, poses)
    if len(times) < 2:
        return Speeds(0.0, 0.0, 0)
    arm = np.flatnonzero(~is_gripper)
    step = float(np.abs(np.diff(poses[:, arm], axis=0)).max())
    shares = np.abs(_windowed(times, poses)) / limits
    joint = int(np.unravel_index(shares.argmax(), shares.shape)[1])
    return Speeds(step, float(shares.max()), joint)


def acceleration_share(
    times: np.ndarray, poses: np.ndarray, limits: np.ndarray, period_s: float, stride_s: float = STRIDE_S
) -> float:
    """Largest acceleration of poses (T, n), one per period, in shares of the joints' limits (n,) [rad/s^2 or m/s^2].

    Taken over `stride_s` to each side, once by counting periods and once by the clock; the smaller counts: a listener
    that was late disturbs the clock, a sender that left periods out the count. What is abrupt shows in both. What lies
    beside a gap of `GAP_S` is left out.
    """
    poses, times = _whole(times, poses)
    stride = max(1, round(stride_s / period_s))
    if len(poses) <= 2 * stride:
        return 0.0
    bend = poses[2 * stride :] - 2 * poses[stride:-stride] + poses[: -2 * stride]
    counted = (np.abs(bend) / (stride * period_s) ** 2 / limits).max(axis=1)
    middle = times[stride:-stride]
    before, after = _at(middle - stride_s, times, poses), _at(middle + stride_s, times, poses)
    timed = (np.abs(before - 2 * poses[stride:-stride] + after) / stride_s**2 / limits).max(axis=1)
    shares = np.minimum(counted, timed)
    gaps = np.concatenate([[0], np.cumsum(np.diff(times) > GAP_S)])
    together = gaps[2 * stride :] == gaps[: -2 * stride]
    return float(shares[together].max(initial=0.0))


def longest_gap(times: np.ndarray, start: float, end: float) -> float:
    """Longest time without a command from `start` to `end` [s]; the whole of it where there was none."""
    inside = times[(times >= start) & (times <= end)]
    return float(np.diff(np.concatenate([[start], inside, [end]])).max())


def time_to_rest(times: np.ndarray, poses: np.ndarray, limits: np.ndarray, start: float) -> float | None:
    """Time from `start` until every joint is at rest for good [s]; None where one still moves at the end."""
    if len(times) < 2:
        return None
    moving = (np.abs(_windowed(times, poses)) / limits > REST_SHARE).any(axis=1)
    if not moving.any():
        return 0.0
    last = times[np.flatnonzero(moving)[-1]]
    if last > times[-1] - QUIET_S:
        return None
    # A window's speed is of the WINDOW_S before it: the arm came to rest where the window began to cover rest only.
    return max(0.0, float(last - WINDOW_S - start))


def travelled(times: np.ndarray, poses: np.ndarray, is_gripper: np.ndarray, start: float) -> float:
    """How far an arm's joint went at most from where it was at `start` [rad]."""
    after = poses[times >= start][:, ~is_gripper]
    return 0.0 if len(after) < 2 else float(np.abs(after - after[0]).max())


def _whole(times: np.ndarray, poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Poses and times without those that miss a joint."""
    whole = np.isfinite(poses).all(axis=1) if len(poses) else np.zeros(0, dtype=bool)
    return poses[whole], times[whole]


def _at(when: np.ndarray, times: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Poses (T, n) of a series at other moments `when` (T,), along straight lines between its samples."""
    return np.stack([np.interp(when, times, column) for column in poses.T], axis=1)


def _windowed(times: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Speed (T, n) over the `WINDOW_S` before each sample; a step after a pause is not spread over the pause."""
    before = np.maximum(np.searchsorted(times, times - WINDOW_S + 1e-6, side="right") - 1, 0)
    seconds = np.clip(times - times[before], WINDOW_S, 1.5 * WINDOW_S)
    return (poses - poses[before]) / seconds[:, None]
