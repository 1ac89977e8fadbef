"""Kinematics and retargeting on one core."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from mivla_bringup.bench.rows import Row
from mivla_drivers.contract import RobotContract
from mivla_drivers.kinematics import Kinematics
from mivla_drivers.retargeting import benchmark


def measure_kinematics(contract: RobotContract, poses: int = 200) -> list[Row]:
    """Time of one pose: forward, forward in a batch, inverse along a path, inverse of a far pose."""
    path = benchmark.smooth_motion(contract, poses, seed=0)
    kinematics = Kinematics(contract)
    start = perf_counter()
    goals = kinematics.forward_batch(path)
    batch = (perf_counter() - start) / poses
    rng = np.random.default_rng(1)
    far = rng.uniform(contract.limits.lower, contract.limits.upper, size=(poses, contract.size))
    far_goals = kinematics.forward_batch(far)
    ik_far = _each(lambda i: kinematics.inverse(far_goals[i], contract.home), poses)
    ik_near = _each(lambda i: kinematics.inverse(goals[i], path[max(0, i - 1)]), poses)
    fk = _each(lambda i: kinematics.forward(path[i]), poses)
    reached = np.mean([kinematics.inverse(goal, contract.home).converged for goal in far_goals])
    return [
        Row("FK, one pose", 1e3 * float(np.median(fk)), "ms", "median"),
        Row("FK, in a batch", 1e3 * batch, "ms", f"a pose, batch of {poses}"),
        Row("IK, near pose", 1e3 * float(np.median(ik_near)), "ms", "median, along a path at 30 Hz"),
        Row("IK, far pose", 1e3 * float(np.median(ik_far)), "ms", "median, random reachable pose from home"),
        Row("IK, far pose, p99", 1e3 * float(np.percentile(ik_far, 99)), "ms"),
        Row("IK, far poses reached", 100 * float(reached), "%"),
    ]


def measure_retargeting(contract: RobotContract, frames: int = 1500) -> list[Row]:
    """Frames that one core retargets in a second of its time, and what the paper's data would cost.

    From hand to arm it is measured twice: where the arm can follow everywhere, and as `mivla annotate --estimate`
    does, from home, where it cannot. A pose out of reach is searched for from many starts before it is given up.
    """
    near, home = (benchmark.measure(contract, frames, from_home=from_home) for from_home in (False, True))
    paper = f"{benchmark.PAPER_HOURS:.0f} h of two hands at {benchmark.RATE_HZ:.0f} Hz"
    return [
        Row("robot to hand", near.to_human, "frames/s", f"one core, {frames} frames of each hand"),
        Row("hand to robot, in reach", near.to_robot, "frames/s", f"{100 * near.reached:.0f} % reached"),
        Row("hand to robot, in reach", near.core_hours(), "core h", paper),
        Row("hand to robot, from home", home.to_robot, "frames/s", f"{100 * home.reached:.0f} % reached"),
        Row("hand to robot, from home", home.core_hours(), "core h", f"{paper}; poses out of reach take it"),
    ]


def _each(call: Callable[[int], object], times: int) -> np.ndarray:
    """Seconds of `call(i)` for each i, shape (times,)."""
    seconds = []
    for i in range(times):
        start = perf_counter()
        call(i)
        seconds.append(perf_counter() - start)
    return np.array(seconds)
