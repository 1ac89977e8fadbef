"""`mivla faults`: what a row says is what was measured, and nothing that leaps, drops or keeps silent passes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from mivla_bringup import cli
from mivla_bringup.faults import report
from mivla_bringup.faults.ear import Ear, Said
from mivla_bringup.faults.fault import CONTINUE, EITHER, HOLD, REFUSE, Fault, nothing
from mivla_bringup.faults.kinds import robot
from mivla_bringup.faults.measure import (
    RESAMPLED_STRIDE_S,
    acceleration_share,
    longest_gap,
    speeds,
    time_to_rest,
    travelled,
)
from mivla_bringup.faults.outcome import BRAKE_SHARE, DISTURBED, FAILED, OK, Outcome
from mivla_bringup.faults.pattern import Pattern
from mivla_bringup.faults.registry import KINDS, all_faults
from mivla_bringup.faults.resources import Use, growth
from mivla_bringup.faults.spoils import SPOILS
from mivla_bringup.faults.wall_clock import WallClock
from mivla_drivers.contract import load_contract

CONTRACT = load_contract("piper")
LIMITS = np.array([1.5, 0.1])
GRIPPER = np.array([False, True])
STEP = 0.005


def ramp(speed, seconds=1.0, start=0.0):
    """Times and poses of joint1 at a constant speed, the gripper at rest."""
    times = start + np.arange(round(seconds / STEP)) * STEP
    return times, np.stack([speed * (times - start), np.zeros(len(times))], axis=1)


def halted(speed, moving_s, resting_s):
    """A joint that moves and then rests."""
    times, poses = ramp(speed, moving_s + resting_s)
    poses[:, 0] = np.minimum(poses[:, 0], speed * moving_s)
    return times, poses


def fault(**changes):
    values = {"response": HOLD, "expected": "", "bound_s": 0.5, **changes}
    return Fault("made", "test", "what happens", nothing, nothing, **values)


def outcome(made=None, **changes):
    values = {"hold_s": 0.2, "recovered": True, "true_share": 0.5, "command_share": 0.5, **changes}
    return Outcome(made or fault(), **values)


# Measures


def test_a_steady_speed_is_told_in_shares_of_its_limit():
    found = speeds(*ramp(0.75), LIMITS, GRIPPER)
    assert found.share == pytest.approx(0.5, abs=0.01)
    assert found.step == pytest.approx(0.75 * STEP)


def test_a_leap_after_a_pause_is_not_spread_over_the_pause():
    times = np.array([0.0, 0.005, 2.0, 2.005])
    poses = np.array([[0.0, 0.0], [0.0, 0.0], [0.3, 0.0], [0.3, 0.0]])
    assert speeds(times, poses, LIMITS, GRIPPER).share > 2.0


def test_a_gripper_has_its_own_limit_and_no_part_in_the_arms_step():
    times, poses = ramp(0.0)
    poses[100:, 1] = 0.05
    found = speeds(times, poses, LIMITS, GRIPPER)
    assert (found.step, found.joint) == (0.0, 1)
    assert found.share > 5


def test_rest_begins_with_the_last_motion():
    times, poses = halted(1.0, 0.5, 0.5)
    assert time_to_rest(times, poses, LIMITS, start=0.1) == pytest.approx(0.4, abs=0.02)


def test_an_arm_that_moves_at_the_end_is_not_at_rest():
    assert time_to_rest(*ramp(1.0), LIMITS, start=0.0) is None


def test_an_arm_that_never_moved_is_at_rest_at_once():
    assert time_to_rest(*ramp(0.0), LIMITS, start=0.3) == 0.0


def test_the_way_counts_from_the_fault_on():
    times, poses = halted(1.0, 0.5, 0.5)
    assert travelled(times, poses, GRIPPER, start=0.4) == pytest.approx(0.1, abs=0.01)


def test_braking_in_one_step_shows_as_acceleration():
    _, abrupt = halted(1.0, 0.5, 0.5)
    times = np.arange(200) * STEP
    smooth = np.stack([np.minimum(times, 0.5) - 0.0, np.zeros(200)], axis=1)
    speed = np.clip(1.0 - 6.0 * np.maximum(times - 0.5, 0.0), 0.0, 1.0)
    smooth[:, 0] = np.cumsum(speed) * STEP
    limits = np.array([6.0, 1.0])
    assert acceleration_share(times, smooth, limits, STEP) == pytest.approx(1.0, abs=0.1)
    assert acceleration_share(times, abrupt, limits, STEP) > 5
    late = times + 0.004 * (np.arange(200) % 37 == 0)  # the listener's fault: the count says better
    assert acceleration_share(late, smooth, limits, STEP) == pytest.approx(1.0, abs=0.2)
    some = np.delete(np.arange(200), [97, 98, 99])  # left out by the sender: the clock says better
    assert acceleration_share(times[some], smooth[some], limits, STEP) == pytest.approx(1.0, abs=0.2)
    paused = times + (np.arange(200) >= 100)
    assert (
        acceleration_share(paused, abrupt, limits, STEP) < 0.1
    )  # told as a leap where it is one, not as braking


def resampled(positions, late_s):
    """500 commands a second along lines through what a driver gave 200 times a second, each up to `late_s` late."""
    given = np.arange(len(positions)) * STEP
    given = given + late_s * np.random.default_rng(5).random(len(given))
    times = np.arange(given[0], given[-1], 0.002)
    return times, np.stack([np.interp(times, given, positions), np.zeros(len(times))], axis=1)


def test_commands_that_reach_an_sdk_up_to_a_period_late_are_not_taken_for_hard_braking():
    speed = np.clip(1.5 - 10.0 * np.maximum(np.arange(200) * STEP - 0.5, 0.0), 0.0, 1.5)
    braking = np.cumsum(speed) * STEP
    leap = braking + 0.05 * (np.arange(200) > 100)
    limits = np.array([10.0, 1.0])
    stride_s = RESAMPLED_STRIDE_S
    assert 0.8 < acceleration_share(*resampled(braking, STEP), limits, 0.002, stride_s) < 1.6
    assert acceleration_share(*resampled(leap, STEP), limits, 0.002, stride_s) > BRAKE_SHARE


# Verdicts


@pytest.mark.parametrize(
    ("made", "changes"),
    [
        (fault(), {"hold_s": None}),
        (fault(), {"hold_s": 0.6}),
        (fault(), {"true_share": 1.3}),
        (fault(), {"command_share": 1.3}),
        (fault(), {"command_acceleration": 9.0}),
        (fault(expected="word"), {"named_s": None}),
        (fault(expected="word"), {"named_s": 0.8}),
        (fault(), {"recovered": False}),
        (fault(), {"answer_s": 0.4}),
        (fault(), {"error": "not injected"}),
        (fault(most_rad=0.02), {"braking": 0.1}),
        (fault(response=REFUSE, moving=False), {"refused": False}),
        (fault(response=CONTINUE), {"hold_s": 0.2}),
    ],
)
def test_a_broken_promise_fails(made, changes):
    assert outcome(made, **changes).verdict == FAILED


@pytest.mark.parametrize(
    ("made", "changes"),
    [
        (fault(), {}),
        (fault(response=EITHER), {"hold_s": None}),
        (fault(response=EITHER), {"hold_s": 9.0}),
        (fault(expected="word"), {"named_s": 0.3}),
        (fault(expected="word", named_after_s=2.0), {"named_s": 2.3}),
        (fault(falls=True), {"true_share": 2.0, "hold_s": None}),
        (fault(response=REFUSE, moving=False), {"refused": True}),
    ],
)
def test_a_kept_promise_passes(made, changes):
    assert outcome(made, **changes).verdict == OK


def test_a_leap_of_an_emulator_that_got_no_turn_is_told_apart():
    assert outcome(true_share=1.5, gap_s=0.2).verdict == DISTURBED
    assert outcome(gap_s=0.2).verdict == OK


def test_braking_at_once_is_the_machines_where_the_driver_got_no_turn_and_else_the_drivers():
    stalled = {"true_acceleration": 5.0, "command_gap_s": 0.06}
    assert outcome(**stalled).verdict == DISTURBED
    assert outcome(true_acceleration=5.0, command_gap_s=0.01).verdict == FAILED
    assert outcome(command_acceleration=3.0, overruns=2).verdict == DISTURBED
    assert outcome(command_acceleration=3.0).verdict == FAILED


def test_a_fault_that_may_hold_the_driver_up_is_judged_by_how_long_it_does():
    held_up = {"true_acceleration": 5.0, "command_gap_s": 0.06}
    assert outcome(fault(most_gap_s=0.1), **held_up).verdict == OK
    assert outcome(fault(most_gap_s=0.05), **held_up).verdict == FAILED
    assert outcome(fault(most_gap_s=0.1), true_acceleration=5.0).verdict == FAILED


def test_the_longest_time_without_a_command_includes_both_ends():
    times = np.array([1.0, 1.1, 1.5, 1.6])
    assert longest_gap(times, 0.95, 1.7) == pytest.approx(0.4)
    assert longest_gap(times, 0.95, 3.0) == pytest.approx(1.4)
    assert longest_gap(times, 5.0, 6.0) == pytest.approx(1.0)


# Diagnostics


class Told(Ear):
    """An ear that heard what a test says."""

    def __init__(self, *said):
        self._driver = "faults/driver"
        self._said = said


def said(when, message="active: following policy", **values):
    return Said(when, "faults/driver", "ok", message, {"chunks_refused": "0", **values})


def test_what_was_said_before_the_fault_does_not_name_it():
    ear = Told(said(0.5, "fault: collision"), said(1.5, "fault: collision"))
    assert ear.first("collision", 1.0, 2.0) is None


def test_the_first_new_text_that_matches_names_it():
    ear = Told(said(0.5), said(1.2, "fault: Collision"), said(1.7, "fault: collision, still"))
    assert ear.first("collision", 1.0, 2.0) == (pytest.approx(0.2), "fault: Collision")


def test_a_refusal_in_the_words_of_the_one_before_counts_where_its_number_rises():
    old = said(0.5, last_refusal="expected finite", chunks_refused="3")
    again = said(1.3, last_refusal="expected finite", chunks_refused="4")
    assert Told(old, again).first("finite", 1.0, 2.0) == (pytest.approx(0.3), "expected finite")
    same = said(1.3, last_refusal="expected finite", chunks_refused="3")
    assert Told(old, same).first("finite", 1.0, 2.0) is None


# Growth


def uses(**growing):
    """A use a minute for an hour."""
    values = {"threads": lambda i: 20, "handles": lambda i: 50, "memory_mib": lambda i: 200.0, **growing}
    return [
        Use(60.0 * i, *(values[name](i) for name in ("threads", "handles", "memory_mib"))) for i in range(60)
    ]


def test_what_stays_as_it_is_has_not_grown():
    assert growth(uses()) == []


@pytest.mark.parametrize(
    "growing",
    [
        {"threads": lambda i: 20 + i // 5},
        {"handles": lambda i: 50 + i},
        {"memory_mib": lambda i: 200.0 + 2 * i},
    ],
)
def test_what_goes_up_for_an_hour_has_grown(growing):
    (found,) = growth(uses(**growing))
    assert "grew from" in found


# Faults, motion, table


def test_faults_have_names_of_their_own_and_say_what_happens():
    faults = all_faults(CONTRACT)
    assert len({made.name for made in faults}) == len(faults) > 60
    assert all(made.about and made.kind and made.bound_s > 0 for made in faults)
    assert {made.kind for made in faults} == {module.KIND for module in (*KINDS, robot)}


def test_every_spoilt_chunk_has_a_fault():
    assert {f"chunk-{word}" for word in SPOILS} <= {made.name for made in all_faults(CONTRACT)}


def test_the_motion_stays_within_limits_and_some_joint_is_always_fast():
    times = np.arange(0.0, 30.0, 0.02)
    poses = Pattern(CONTRACT, CONTRACT.home).at(times)
    limits = CONTRACT.limits
    assert (poses >= limits.lower).all()
    assert (poses <= limits.upper).all()
    shares = np.abs(np.diff(poses, axis=0)) / 0.02 / limits.velocity
    assert shares.max() < 0.8
    assert shares[100:].max(axis=1).min() > 0.3
    np.testing.assert_allclose(poses[0], CONTRACT.home)


def test_a_page_keeps_what_stands_around_the_table(tmp_path):
    page = tmp_path / "faults.md"
    page.write_text(f"# Faults\n\nBefore.\n\n{report.START}\nearlier rows\n{report.END}\n\nAfter.\n")
    report.write(page, [outcome(), outcome(fault(), hold_s=None)], {"cores": 2})
    text = page.read_text()
    assert text.startswith("# Faults\n\nBefore.")
    assert text.endswith("After.\n")
    assert "earlier rows" not in text
    assert "2 faults: 1 as promised, 1 not" in text
    assert "`made`: did not hold." in text
    rows = [line for line in text.splitlines() if line.startswith("| `made`")]
    assert {line.count("|") for line in rows} == {report.HEAD.count("|")}


def test_a_fault_that_there_is_not_is_refused(capsys):
    assert cli.main(["faults", "lightning"]) == cli.REFUSED
    assert "'lightning'" in capsys.readouterr().err


# The wall clock

READ = "import time; print(time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_REALTIME))"


def test_a_process_may_have_a_wall_clock_of_its_own_and_no_other_steady_one(tmp_path):
    with WallClock(tmp_path) as clock:
        clock.set(-20.0)
        began, steady = time.time(), time.monotonic()
        made = subprocess.run(
            [sys.executable, "-c", READ],
            env={**os.environ, **clock.environment},
            capture_output=True,
            text=True,
        )
    wall, monotonic, precise = map(float, made.stdout.split())
    assert wall - began == pytest.approx(-20.0, abs=5.0)
    assert precise - began == pytest.approx(-20.0, abs=5.0)
    assert 0 <= monotonic - steady < 10


# The real thing


@pytest.mark.realtime
def test_a_short_campaign_holds_within_its_bounds():
    from mivla_bringup.faults.campaign import run_campaign
    from mivla_bringup.faults.registry import chosen

    names = ["stop", "silent-bus", "collision"]
    outcomes = list(run_campaign("piper", chosen(CONTRACT, names)))
    assert [found.fault.name for found in outcomes] == [made.name for made in chosen(CONTRACT, names)]
    assert [found.breaks for found in outcomes] == [()] * len(outcomes)
    # The arm did move when it was stopped, and every command on the wire was seen.
    assert all(found.command_share > 0.2 and found.true_share > 0.2 for found in outcomes)
