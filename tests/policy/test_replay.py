"""A recorded episode is played again as it was commanded, where the robot is where it was."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_files import write_recording
from small_models import with_camera

from mivla_drivers.contract import load_contract, parse_contract
from mivla_drivers.errors import ContractError, DataError
from mivla_drivers.observation import Observation
from mivla_drivers.policy import PolicyError
from mivla_drivers.recording.reader import read_episode
from mivla_policy.policies import load_policy

PIPER = load_contract("piper")
FIRST_DUE = 0.1  # of the recording's commands, after its start
NOW = 50.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """joint1 goes up by 0.1 rad/s for three seconds."""
    return write_recording(tmp_path_factory.mktemp("recordings"), seconds=3.0)


@pytest.fixture(scope="module")
def episode(folder):
    return read_episode(folder)


@pytest.fixture
def policy(folder):
    return load_policy(f"replay:{folder}", PIPER)


def joints(elapsed, **moved):
    """Where the recorded robot was, with some joints elsewhere."""
    found = PIPER.home.copy()
    found[0] += 0.1 * (FIRST_DUE + elapsed)
    for name, by in moved.items():
        found[PIPER.joints.index(name)] += by
    return found


def see(elapsed, **moved):
    return Observation({}, joints(elapsed, **moved), "again", NOW + elapsed)


def test_plays_what_was_commanded_at_the_same_pace(policy, episode):
    begin = episode.command_span[0]
    for elapsed in (0.0, 0.8, 1.6):
        chunk = policy.infer(see(elapsed))
        assert (chunk.stamp, chunk.source) == (NOW + elapsed, "policy")
        due = begin + elapsed + chunk.times
        assert chunk.positions == pytest.approx(episode.command_at(due), abs=1e-6)


def test_looks_through_no_camera(policy):
    assert policy.views == ()


def test_a_robot_with_other_cameras_can_play_it(folder):
    assert load_policy(f"replay:{folder}", with_camera(PIPER, "ceiling")).views == ()


def test_at_the_end_the_last_target_is_held(policy, episode):
    policy.infer(see(0.0))
    end = episode.command_span[1] - episode.command_span[0]
    last = Observation({}, episode.joints_at(np.array([2000.0]))[0], "again", NOW + end + 5.0)
    assert policy.infer(last).positions == pytest.approx(np.tile(episode.command_positions[-1], (16, 1)))


def test_a_small_distance_to_the_start_is_made_up_within_a_second(policy, episode):
    chunk = policy.infer(see(0.0, joint2=0.1))
    offset = chunk.positions[:, 1] - episode.command_at(episode.command_span[0] + chunk.times)[:, 1]
    assert offset == pytest.approx(0.1 * np.clip(1.0 - chunk.times, 0.0, 1.0), abs=1e-6)


def test_far_from_the_start_nothing_is_played(policy):
    with pytest.raises(PolicyError, match=r"0\.0 s after its start: joint2: expected within 0\.2 rad of"):
        policy.infer(see(0.0, joint2=0.25))
    assert policy.infer(see(0.5 - 0.5)).stamp == NOW  # the robot came near: it starts there


def test_a_robot_that_was_held_up_is_not_thrown_after_its_recording(policy):
    policy.infer(see(0.0))
    with pytest.raises(PolicyError, match=r"0\.8 s after its start: joint3: expected within 0\.4 rad"):
        policy.infer(see(0.8, joint3=-0.5))


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Long enough to end farther from its start than a robot may stray."""
    return write_recording(tmp_path_factory.mktemp("long"), seconds=6.0)


def at_the_start(after):
    return Observation({}, joints(0.0), "again", NOW + after)


def test_a_robot_that_still_stands_at_the_start_starts_again(long):
    """The operator gave the instruction first, and the robot to the policy later."""
    policy = load_policy(f"replay:{long}", PIPER)
    first = policy.infer(at_the_start(0.0))
    later = policy.infer(at_the_start(4.8))
    assert later.stamp == first.stamp + 4.8
    assert later.positions == pytest.approx(first.positions)


def test_a_robot_that_is_brought_back_to_the_start_starts_again(long):
    policy = load_policy(f"replay:{long}", PIPER)
    first = policy.infer(at_the_start(0.0)).positions
    with pytest.raises(PolicyError, match="It starts where the robot is brought to the episode's start"):
        policy.infer(see(0.8, joint3=-0.5))
    assert policy.infer(at_the_start(9.0)).positions == pytest.approx(first)


def test_a_gripper_that_closed_on_nothing_goes_on(policy):
    policy.infer(see(0.0))
    assert policy.infer(see(0.8, gripper=0.07)).stamp == NOW + 0.8
    with pytest.raises(PolicyError, match="gripper"):
        policy.infer(see(0.8, gripper=np.nan))


def test_reset_starts_over(policy):
    first = policy.infer(see(0.0)).positions
    policy.infer(see(0.8))
    policy.reset(1)
    assert policy.infer(see(0.0)).positions == pytest.approx(first)


def test_joints_that_are_not_finite_are_refused(policy):
    with pytest.raises(PolicyError, match="joint1: expected within"):
        policy.infer(see(0.0, joint1=np.nan))


def test_an_episode_of_another_robot_is_refused(folder):
    other = parse_contract(PIPER.text.replace("robot: piper", "robot: arx5"), PIPER.urdf, "arx5.yaml")
    with pytest.raises(ContractError, match="robot: expected arx5, found piper"):
        load_policy(f"replay:{folder}", other)


def test_a_folder_without_an_episode_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"expected a recorded episode, found no episode\.json"):
        load_policy(f"replay:{tmp_path}", PIPER)
