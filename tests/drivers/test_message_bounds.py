"""What a message may be, judged by its bytes; who speaks on a topic; the clock; no ROS graph."""

from __future__ import annotations

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from mivla_drivers.contract import load_contract
from mivla_drivers.errors import DataError
from mivla_drivers.ros.bounds import (
    BURST_S,
    JOINT_STATE_BYTES,
    SENTENCE_BYTES,
    RateBound,
    image_bytes,
    most_points,
    require_image,
    require_trajectory,
    trajectory_bytes,
)
from mivla_drivers.ros.clock_watch import ClockWatch
from mivla_drivers.ros.conversions import diagnostic_message, image_message
from mivla_drivers.ros.sentence import LONGEST_SENTENCE, SentenceFilter
from mivla_drivers.ros.speakers import SecondSpeaker, SpeakerWatch
from mivla_drivers.text import shortened

CONTRACT = load_contract("piper")
CAMERA = CONTRACT.cameras[0]
A, B = b"a" * 16, b"b" * 16


def trajectory(points: int, names=CONTRACT.joints, frame: str = "base") -> bytes:
    message = JointTrajectory(joint_names=list(names))
    message.header.frame_id = frame
    full = [0.1] * CONTRACT.size
    point = JointTrajectoryPoint(positions=full, velocities=full, accelerations=full, effort=full)
    message.points = [point] * points
    return serialize_message(message)


@pytest.mark.parametrize("frame", ["", "b", "base", "a_frame"])
def test_the_longest_chunk_a_contract_allows_is_read_and_one_point_more_is_not(frame):
    longest = most_points(CONTRACT)
    data = trajectory(longest, frame=frame)
    assert len(data) <= trajectory_bytes(CONTRACT)
    require_trajectory(data, CONTRACT)
    with pytest.raises(DataError, match=rf"expected at most {longest} points, got {longest + 1}"):
        require_trajectory(trajectory(longest + 1, frame=frame), CONTRACT)


def test_a_trajectory_of_too_many_joints_is_refused_before_its_names_are_read():
    with pytest.raises(DataError, match="expected 7 joints, got 50000"):
        require_trajectory(trajectory(0, names=["joint"] * 50_000), CONTRACT)


@pytest.mark.parametrize("end", [0, 3, 5, 14, 30])
def test_bytes_that_end_within_a_message_are_refused(end):
    with pytest.raises(DataError, match="that end within it"):
        require_trajectory(trajectory(0)[:end], CONTRACT)


def test_an_image_is_read_at_the_contracts_size_only():
    good = serialize_message(image_message(np.zeros((160, 160, 3), np.uint8), 1.0, "camera"))
    assert len(good) <= image_bytes(CAMERA)
    require_image(good, CAMERA)
    with pytest.raises(DataError, match="expected an image of 160x160 pixels, got 4000x3000"):
        require_image(serialize_message(Image(width=4000, height=3000)), CAMERA)


def test_every_sentence_and_joint_state_that_can_be_meant_fits():
    longest = "\N{GRINNING FACE}" * LONGEST_SENTENCE
    assert len(serialize_message(String(data=longest))) <= SENTENCE_BYTES
    names, numbers = ["j" * 200] * 100, [0.5] * 100
    states = JointState(name=names, position=numbers, velocity=numbers, effort=numbers)
    assert len(serialize_message(states)) <= JOINT_STATE_BYTES


def test_of_a_flood_as_many_messages_are_read_as_can_be_followed_and_a_steady_source_loses_none():
    flood, steady, jittery = RateBound(200.0), RateBound(200.0), RateBound(200.0)
    read = sum(flood.accept(i / 1000) for i in range(2000))
    assert read == pytest.approx(2 * 200 + 200 * BURST_S, abs=2)
    assert all(steady.accept(i / 200) for i in range(2000))
    assert all(jittery.accept((i - i % 10) / 100) for i in range(1000))  # ten at once, ten times a second


def test_texts_that_are_told_are_bounded():
    assert shortened("as it is") == "as it is"
    assert shortened("x" * 10**6) == f"{'x' * 500}... (1000000 characters)"
    status = diagnostic_message("driver", "ok", "x" * 10**6, {"last_refusal": "y" * 10**6}, 0.0).status[0]
    assert len(status.message) < 2100
    assert len(status.values[0].value) < 1100


def both_of(watch: SpeakerWatch, publisher: bytes, now: float) -> tuple[bytes, ...]:
    with pytest.raises(SecondSpeaker) as refused:
        watch.hear(publisher, now)
    return refused.value.both


def test_two_who_speak_at_once_are_both_named_and_neither_is_followed():
    watch = SpeakerWatch(silence_s=0.5)
    watch.hear(A, 0.0)
    assert both_of(watch, B, 0.1) == (A, B)
    assert both_of(watch, A, 0.2) == (A, B)


def test_a_publisher_that_was_started_again_takes_the_place_of_the_dead_one():
    watch = SpeakerWatch(silence_s=0.5)
    watch.hear(A, 0.0)
    watch.hear(B, 3.0)
    watch.hear(B, 3.1)


def test_a_source_that_was_started_again_must_be_given_the_robot_again():
    watch = SpeakerWatch(silence_s=None)
    watch.hear(A, 0.0)
    assert both_of(watch, B, 30.0) == (B,)
    watch.reset()
    watch.hear(B, 31.0)


def test_a_clock_that_was_set_is_told_for_a_while_and_one_that_is_slewed_is_not():
    watch = ClockWatch()
    assert watch.step(0.0, 1000.0) == 0.0
    assert watch.step(1.0, 1001.001) == 0.0
    assert watch.told(1.0) == ""
    assert watch.step(2.0, 982.0) == pytest.approx(-20.0, abs=0.01)
    assert watch.told(3.0) == "the computer's clock was set back by 20.0 s"
    assert watch.step(3.0, 983.0) == 0.0
    assert watch.told(13.0) == ""


def test_a_sentence_that_driver_and_operator_both_say_starts_one_trial():
    sentences = SentenceFilter()
    assert sentences.accept("Pour.", A, stamp=1, now=0.0)
    assert not sentences.accept("Pour.", B, stamp=2, now=0.2)
    assert not sentences.accept("Pour.", A, stamp=1, now=9.0)  # a listener that subscribed again
    assert sentences.accept("Pour.", A, stamp=3, now=10.0)  # said again
    assert sentences.accept("", B, stamp=4, now=10.1)
    assert sentences.accept("Pour.", A, stamp=5, now=10.2)
