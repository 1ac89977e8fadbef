"""What an episode is worth: who held the robot, who judged it, and what the audit says of it as a whole."""

import json

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from episode_files import (
    COMMANDS,
    CONTRACT,
    DONE,
    FRONT,
    GOOD,
    JOINTS,
    SECONDS,
    START,
    WRIST,
    chunk,
    joint_state,
    record,
    start,
    without,
)
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from std_msgs.msg import String

from mivla_drivers.errors import DataError
from mivla_drivers.recording.alignment import alignment_problem, lag_s
from mivla_drivers.recording.control_track import ControlTrack, control_track
from mivla_drivers.recording.judgement import judge_episode
from mivla_drivers.recording.reader import read_demonstration, read_episode
from mivla_drivers.recording.writer import Outcome
from mivla_drivers.ros.conversions import trajectory_message

CONTROL = "/piper/driver/in_control"
POLICY = "/piper/policy/joint_trajectory"


def holds(offset, source):
    return offset, CONTROL, serialize_message(String(data=source))


def policy_commands(offset, joint1):
    return offset, POLICY, serialize_message(trajectory_message(chunk(START + offset, joint1), CONTRACT))


def driver_says(offset, message, refused=0, name="piper/driver"):
    status = DiagnosticStatus(name=name, message=message)
    status.values = [KeyValue(key="chunks_refused", value=str(refused))]
    return offset, "/diagnostics", serialize_message(DiagnosticArray(status=[status]))


def verdict(folder, *more, messages=GOOD, outcome=DONE):
    return record(folder, sorted([*messages, *more]), outcome=outcome).verdict


def test_a_good_episode_is_usable(tmp_path):
    assert verdict(tmp_path / "one", driver_says(0.5, "active: following")) == "USABLE"
    described = json.loads((tmp_path / "one" / "episode.json").read_text())
    assert described["verdict"] == read_episode(tmp_path / "one").verdict == "USABLE"
    assert described["motion_s"] > 2.5


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (without(COMMANDS), "no command recorded (teleop)"),
        (without(WRIST), "no image recorded (wrist_camera)"),
        (without(JOINTS), "no joints recorded"),
    ],
)
def test_what_is_missing_is_named(tmp_path, messages, expected):
    assert verdict(tmp_path / "one", messages=messages) == expected


def test_an_episode_in_which_the_robot_hardly_moves_is_named(tmp_path):
    moving = 0.4
    states = [
        (offset, JOINTS, joint_state(START + offset, 0.1 * min(offset, moving)))
        for offset in np.arange(0.0, SECONDS, 0.02)
    ]
    assert verdict(tmp_path / "one", *states, messages=without(JOINTS)) == "motion 0.4 of 2.9 s"


def test_a_stop_a_fault_and_refused_commands_are_named_and_kept_out_of_training(tmp_path):
    said = [
        driver_says(0.5, "active: following"),
        driver_says(1.0, "active: following", refused=38),
        driver_says(1.5, "stopped: stopped by an operator, braking; call driver/enable to go on", refused=38),
        driver_says(2.0, "fault: joint2 reports over-current; it holds", refused=38),
        driver_says(2.5, "fault: nothing of this robot", name="other/driver"),
    ]
    found = verdict(tmp_path / "one", *said)
    assert found == "stopped by an operator; fault: joint2 reports over-current; 38 commands refused"
    with pytest.raises(DataError, match="stopped by an operator; fault: joint2"):
        read_demonstration(tmp_path / "one")


def test_an_episode_that_was_cut_off_says_so_and_is_as_good_as_it_is_judged(tmp_path):
    full = Outcome(DONE.instruction, ended_by="the disk is full")
    assert verdict(tmp_path / "one", outcome=full) == "cut off: the disk is full"
    with pytest.raises(DataError, match="found one that nobody judged"):
        read_demonstration(tmp_path / "one")
    judge_episode(tmp_path / "one", "success")
    assert read_demonstration(tmp_path / "one").judged_by == "operator"
    judge_episode(tmp_path / "one", "unjudged")
    with pytest.raises(DataError, match="found one that nobody judged"):
        read_demonstration(tmp_path / "one")


def test_only_what_is_finished_can_be_judged_and_only_as_one_of_three(tmp_path):
    record(tmp_path / "one")
    with pytest.raises(DataError, match="expected one of success, failure, unjudged, got 'good'"):
        judge_episode(tmp_path / "one", "good")
    start(tmp_path / "two")
    with pytest.raises(DataError, match="expected a finished recording"):
        judge_episode(tmp_path / "two", "success")


def test_commands_are_those_of_whoever_held_the_robot(tmp_path):
    """The policy drives, somebody takes over for a second, and the policy goes on."""
    changes = [holds(0.0, "policy"), holds(1.0, "teleop"), holds(2.0, "policy")]
    policy = [policy_commands(offset, 1.0) for offset in np.arange(0.0, SECONDS, 0.1)]
    record(tmp_path / "one", sorted([*GOOD, *changes, *policy]))
    episode = read_episode(tmp_path / "one")
    taught = {round(c.stamp - START, 1) for c in episode.chunks if c.source == "teleop"}
    assert taught == {0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9}  # 0.9: the hand-over itself
    assert episode.command_at(np.array([START + 0.5, START + 1.5, START + 2.5]))[:, 0] == pytest.approx(
        [1.0, 0.15, 1.0], abs=1e-6
    )
    times = START + np.array([-1.0, 0.5, 1.5, 2.5])
    assert episode.in_control.source_at(times).tolist() == ["none", "policy", "teleop", "policy"]
    seconds = json.loads((tmp_path / "one" / "episode.json").read_text())["in_control_s"]
    assert seconds == {"policy": 2.0, "teleop": 1.0}


def test_without_word_of_who_held_the_robot_it_was_the_source_of_the_episode(tmp_path):
    record(tmp_path / "one", sorted([*GOOD, policy_commands(1.0, 1.0)]))
    episode = read_episode(tmp_path / "one")
    assert {c.source for c in episode.chunks} == {"teleop"}
    assert (episode.other_commands, episode.in_control.is_known) == (1, False)


def test_an_episode_whose_source_never_held_the_robot_is_refused(tmp_path):
    record(tmp_path / "one", sorted([*GOOD, holds(0.0, "none")]))
    with pytest.raises(DataError, match="30, of which none came while its source held the robot"):
        read_episode(tmp_path / "one")


def test_a_control_track_without_changes_knows_nothing_and_one_with_repeats_keeps_the_first():
    assert ControlTrack().seconds(0.0, 1.0) == {}
    track = control_track([(2.0, "policy"), (1.0, "teleop"), (1.5, "teleop")])
    assert (track.times.tolist(), track.sources) == ([1.0, 2.0], ("teleop", "policy"))
    assert track.seconds(0.5, 3.0) == {"none": 0.5, "teleop": 1.0, "policy": 1.0}


@pytest.mark.parametrize(("lost", "usable"), [(2, True), (3, False)])
def test_a_gap_that_nobody_can_bridge_is_named(tmp_path, lost, usable):
    """At 10 Hz two lost images can be bridged, as the trainer's reader does it."""
    front = [message for message in GOOD if message[1] == FRONT]
    audit = record(tmp_path / "one", sorted([*without(FRONT), *front[:10], *front[10 + lost :]]))
    named = f"{FRONT}: 0.40 s without a message, 0.32 s can be bridged"
    assert audit.verdict == ("USABLE" if usable else named)


@pytest.mark.parametrize("topic", [FRONT, JOINTS])
@pytest.mark.parametrize(
    ("until", "verdict"), [(2.2, "USABLE"), (1.45, "{}: nothing came in the last 1.6 s of the episode")]
)
def test_what_is_unplugged_before_the_end_is_named(tmp_path, topic, until, verdict):
    kept = [message for message in GOOD if message[1] != topic or message[0] < until]
    assert record(tmp_path / "one", kept).verdict == verdict.format(topic)


def test_what_comes_long_after_the_start_is_named(tmp_path):
    late = [message for message in GOOD if message[1] != WRIST or message[0] > 1.5]
    assert (
        record(tmp_path / "one", late).verdict == f"{WRIST}: nothing came in the first 1.5 s of the episode"
    )


def moving(seconds=12.0, lag=0.0, rate=30.0, noise=0.05, seed=0):
    """Joint speeds, and how much pictures change that show them `lag` later; some noise in both."""
    draw = np.random.default_rng(seed)
    joints, pictures = np.arange(0, seconds, 0.05), np.arange(0, seconds, 1 / rate)

    def speed(at):
        return np.abs(np.sin(1.3 * at) + 0.6 * np.sin(3.1 * at + 1.0))

    changes = speed(pictures - lag) + noise * draw.random(len(pictures))
    return pictures, changes, joints, speed(joints) + noise * draw.random(len(joints))


@pytest.mark.parametrize("lag", [-0.3, 0.0, 0.25, 0.4])
@pytest.mark.parametrize("rate", [10.0, 30.0])
def test_pictures_that_move_after_the_joints_are_measured(lag, rate):
    found = lag_s(*moving(lag=lag, rate=rate))
    assert found == pytest.approx(lag, abs=0.06)
    said = alignment_problem(found, rate)
    assert said.startswith(f"the pictures move {abs(found):.2f} s {'after' if lag > 0 else 'before'}") == (
        lag != 0
    )


@given(st.integers(0, 10_000))
def test_pictures_that_have_nothing_to_do_with_the_joints_are_no_lag(seed):
    pictures, changes, joints, speeds = moving(seed=seed)
    unrelated = np.random.default_rng(seed).random(len(changes))
    assert alignment_problem(lag_s(pictures, unrelated, joints, speeds), 30.0) == ""
    assert lag_s(pictures, changes, joints, np.zeros(len(joints))) is None
    assert lag_s(pictures[:30], changes[:30], joints, speeds) is None
