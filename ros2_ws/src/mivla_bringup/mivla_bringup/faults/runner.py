"""One fault after the other: get the arm moving, break something, watch, mend it, get it moving again."""

from __future__ import annotations

import re
import time

import numpy as np
import psutil

from mivla_bringup.faults.errors import FaultCampaignError
from mivla_bringup.faults.fault import REFUSE, Fault
from mivla_bringup.faults.measure import acceleration_share, longest_gap, speeds, time_to_rest, travelled
from mivla_bringup.faults.outcome import DISTURBED, Outcome
from mivla_bringup.faults.rig import Rig
from mivla_drivers.errors import MivlaError

BEFORE_S = 0.3  # watched before a fault, so that its first window is whole
STEADY_S = 1.4  # the motion grows out of the pose at rest for 1.2 s
AFTER_S = 0.8  # watched after it was mended, before anybody asks the driver for anything
FAST_WAIT_S = 3.0
RECOVERY_S = 15.0
TRIES = 3  # a run that this machine disturbed is repeated


def run_fault(rig: Rig, fault: Fault) -> Outcome:
    """The outcome of one fault; a run that the machine disturbed is repeated up to `TRIES` times.

    Raises:
        FaultCampaignError: the arm does not move before anything is broken.
    """
    for _ in range(TRIES):
        outcome = _run_once(rig, fault)
        if outcome.verdict != DISTURBED:
            break
    return outcome


def _run_once(rig: Rig, fault: Fault) -> Outcome:
    _get_ready(rig)
    rig.scratch.clear()
    if fault.moving:
        rig.wait(STEADY_S)
        _wait_until_fast(rig)
    else:
        rig.operator.select_source("none")
        rig.policy.say("silent")
        rig.wait(0.6)
    rig.broken_at = None
    error = ""
    try:
        fault.inject(rig)
    except (MivlaError, psutil.Error, OSError) as failure:
        error = f"not injected: {failure}"
    began = rig.broken_at or time.monotonic()
    rig.wait(max(0.0, began + fault.lasts_s - time.monotonic()))
    mended = time.monotonic()
    try:
        fault.clear(rig)
    except (MivlaError, psutil.Error, OSError) as failure:
        error = error or f"not mended: {failure}"
    rig.wait(AFTER_S)
    end = time.monotonic()
    trouble = _recover(rig, fault)
    return _measured(rig, fault, (began, mended, end), error, trouble)


def _get_ready(rig: Rig) -> None:
    """An arm that moves, whatever the fault before left behind."""
    newest = rig.ear.newest
    if (
        newest is not None
        and newest.values.get("following") == "policy"
        and rig.policy.runs
        and rig.is_moving()
    ):
        return
    rig.go_home()
    trouble = rig.enable_and_follow()
    if trouble:
        _rebuild(rig)
        rig.go_home()
        trouble = rig.enable_and_follow()
    if trouble:
        raise FaultCampaignError(f"before a fault: {trouble}.\n{rig.tail()}")


def _rebuild(rig: Rig) -> None:
    """New driver, new emulator, new policy process."""
    rig.stop_extra()
    rig.stop_driver()
    rig.stop_emulator()
    rig.policy.close()
    rig.arm.hold({})
    rig.start_emulator()
    rig.restart_policy()
    rig.restart_driver()


def _recover(rig: Rig, fault: Fault) -> str:
    """Get the arm moving as an operator would; why it does not, or nothing."""
    if fault.restarts:
        rig.restart_driver()
    trouble = "the driver has ended" if rig.driver is None else rig.enable_and_follow()
    deadline = time.monotonic() + RECOVERY_S
    while trouble and rig.driver is not None and time.monotonic() < deadline:
        rig.wait(0.5)
        if "driver/disable" in trouble:  # the driver's own advice
            rig.take_power()
        trouble = rig.enable_and_follow()
    if trouble:
        _rebuild(rig)
    return trouble


def _wait_until_fast(rig: Rig) -> None:
    end = time.monotonic() + FAST_WAIT_S
    while not rig.is_moving() and time.monotonic() < end:
        rig.wait(0.01)


def _measured(
    rig: Rig,
    fault: Fault,
    moments: tuple[float, float, float],
    error: str,
    trouble: str,
) -> Outcome:
    began, mended, end = moments
    limits, gripper = rig.contract.limits.velocity, rig.contract.is_gripper
    motion = rig.arm.motion(began - BEFORE_S, end)
    until = rig.arm.motion(began - BEFORE_S, mended)
    times, poses = rig.wire.commands(began - BEFORE_S, end)
    commands_judged = not (fault.interrupts and rig.wire.is_resampled)
    judged = ~gripper if fault.gripper_springs else np.ones(len(gripper), dtype=bool)
    commanded = speeds(times, poses, limits, gripper)
    true = speeds(motion.times, motion.positions[:, judged], limits[judged], gripper[judged])
    bends, period_s = rig.contract.limits.acceleration, rig.wire.period_s
    named = rig.ear.first(fault.expected, began, end) if fault.expected else None
    said = _said_until(rig, began, mended)
    hold_s = time_to_rest(until.times, until.positions[:, judged], limits[judged], began)
    rest = mended if hold_s is None else min(began + hold_s, mended)
    return Outcome(
        fault,
        hold_s=hold_s,
        command_step=commanded.step,
        true_step=true.step,
        command_share=commanded.share,
        true_share=true.share,
        command_acceleration=(
            acceleration_share(times, poses, bends, period_s, rig.wire.stride_s) if commands_judged else 0.0
        ),
        true_acceleration=acceleration_share(
            motion.times, motion.positions[:, judged], bends[judged], rig.arm.step_s
        ),
        command_gap_s=longest_gap(times, began - BEFORE_S, rest),
        braking=travelled(until.times, until.positions, gripper, began),
        named_s=None if named is None else named[0],
        text=named[1] if named else said[2],
        mode=said[0],
        level=said[1],
        recovered=not trouble,
        recovery=_short(trouble),
        overruns=_overruns(rig, began - BEFORE_S, mended),
        lost_s=motion.lost_s,
        gap_s=motion.gap_s,
        refused=rig.scratch.get("refused") if fault.response == REFUSE else None,
        answer_s=rig.scratch.get("answer_s"),
        error=error,
    )


def _said_until(rig: Rig, began: float, mended: float) -> tuple[str, str, str]:
    """Mode, level and sentence of the driver's last status while the fault lasted."""
    name = f"{rig.namespace}/driver"
    said = [status for status in rig.ear.heard(began, mended) if status.node == name]
    return (said[-1].values.get("mode", ""), said[-1].level, said[-1].message) if said else ("", "", "")


def _overruns(rig: Rig, began: float, mended: float) -> int:
    """Deadlines that the driver missed meanwhile, as it tells; one that was started anew counts from 0."""
    name = f"{rig.namespace}/driver"
    told = [
        status.values.get("overruns", "0") for status in rig.ear.heard(began, mended) if status.node == name
    ]
    counts = [int(text) for text in told if text.isdigit()]
    return max(0, counts[-1] - counts[0]) if counts else 0


def _short(text: str) -> str:
    return re.sub(r"\s+", " ", text)[:160]
