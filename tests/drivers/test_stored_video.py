"""Images of episodes stored as a video: everybody who reads an episode still finds an image per message."""

import json

import cv2
import numpy as np
import pytest
from episode_files import FRONT, GOOD, WRIST, image, record, without
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import CompressedImage

from mivla_drivers.dataset.check import check
from mivla_drivers.dataset.compress import compress
from mivla_drivers.dataset.edit import trim
from mivla_drivers.errors import DataError
from mivla_drivers.recording.container import VIDEO_TYPE, read_container, stamp_seconds_of, typestore
from mivla_drivers.recording.layout import mcap_path
from mivla_drivers.recording.reader import read_episode
from mivla_drivers.recording.recovery import recover_episode
from mivla_drivers.ros.conversions import compressed_image_message

CODECS = pytest.mark.parametrize("codec", ["h264", "av1"])


def description(folder):
    return json.loads((folder / "episode.json").read_text())


def pictures(episode, view="front"):
    return np.array(
        [
            cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            for jpeg in episode.cameras[view].jpegs
        ]
    ).astype(float)


@CODECS
def test_an_episode_as_video_is_smaller_and_reads_as_before(tmp_path, codec):
    record(tmp_path / "one")
    before = read_episode(tmp_path / "one")
    done = compress(tmp_path / "one", codec)
    after = read_episode(tmp_path / "one")
    assert done.after < done.before
    assert done.after == mcap_path(tmp_path / "one").stat().st_size
    assert np.array_equal(before.joint_positions, after.joint_positions)
    assert np.array_equal(before.command_positions, after.command_positions)
    for view, track in before.cameras.items():
        assert np.array_equal(track.times, after.cameras[view].times)
        worst = np.abs(pictures(before, view) - pictures(after, view)).mean(axis=(1, 2, 3)).max()
        assert worst < 4  # and one image later the gradient is elsewhere
    assert np.abs(pictures(before)[1:] - pictures(before)[:-1]).mean(axis=(1, 2, 3)).min() > 4
    assert [finding.problems for finding in check([tmp_path / "one"])] == [()]


def test_codec_and_quality_stand_in_the_description(tmp_path):
    record(tmp_path / "one")
    compress(tmp_path / "one", "h264", 30)
    told = description(tmp_path / "one")
    assert told["video"] == {"codec": "h264", "crf": 30}
    assert told["images"][FRONT].startswith("h264, crf 30, ")
    assert told["images"][FRONT].endswith(" dB of jpeg, quality 95")
    assert told["success"] is True


def test_a_smaller_crf_is_a_better_and_larger_video(tmp_path):
    done = {}
    for crf in (10, 40):
        record(tmp_path / str(crf))
        done[crf] = compress(tmp_path / str(crf), "h264", crf)
    assert done[10].after > done[40].after
    assert done[10].decibels > done[40].decibels


def test_a_video_is_what_foxglove_and_rosbag2_read(tmp_path):
    record(tmp_path / "one")
    compress(tmp_path / "one", "h264")
    with Reader(tmp_path / "one") as reader:
        kinds = {connection.topic: connection.msgtype for connection in reader.connections}
        stored = [
            typestore().deserialize_cdr(data, VIDEO_TYPE)
            for connection, _, data in reader.messages()
            if connection.topic == FRONT
        ]
        assert reader.message_count == len(GOOD)
    assert kinds[FRONT] == kinds[WRIST] == VIDEO_TYPE
    assert {one.format for one in stored} == {"h264"}
    assert bytes(stored[0].data[:5]) == b"\x00\x00\x00\x01\x67"  # Annex B, and its parameters come first
    assert len(stored) == sum(topic == FRONT for _, topic, _ in GOOD)


def test_an_episode_is_compressed_once(tmp_path):
    record(tmp_path / "one")
    assert compress(tmp_path / "one", "h264") is not None
    content = mcap_path(tmp_path / "one").read_bytes()
    assert compress(tmp_path / "one", "av1") is None
    assert mcap_path(tmp_path / "one").read_bytes() == content


@pytest.mark.parametrize(
    ("words", "codec", "crf", "size"),
    [
        ("codec: expected one of h264, av1", "vp9", None, 160),
        ("quality: h264: expected 1 \\(best\\) to 51, got 60", "h264", 60, 160),
        ("ask for better quality", "h264", 51, 160),
        ("even sides", "h264", None, 161),
    ],
)
def test_what_cannot_be_a_video_stays_as_it_is(tmp_path, words, codec, crf, size):
    noise = np.random.default_rng(0)
    messages = [
        (at, topic, _noisy(noise, data, size) if topic in (FRONT, WRIST) else data)
        for at, topic, data in GOOD
    ]
    record(tmp_path / "one", messages)
    before = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    with pytest.raises(DataError, match=words):
        compress(tmp_path / "one", codec, crf)
    assert {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def _noisy(noise, data, size):
    rgb = noise.integers(0, 255, (size, size, 3), dtype=np.uint8)
    return serialize_message(compressed_image_message(rgb, stamp_seconds_of(data), "camera"))


def test_images_of_which_one_does_not_decode_make_no_video(tmp_path):
    at, _, data = next(one for one in GOOD if one[1] == FRONT)
    no_jpeg = serialize_message(CompressedImage(format="jpeg", data=bytes(100)))
    record(tmp_path / "one", sorted([*GOOD, (at + 0.01, FRONT, data[:4] + data[4:12] + no_jpeg[12:])]))
    with pytest.raises(DataError, match="expected images that decode, found one that does not"):
        compress(tmp_path / "one", "h264")
    assert "video" not in description(tmp_path / "one")


def test_a_trimmed_video_is_a_video_of_the_same_quality(tmp_path):
    record(tmp_path / "one")
    compress(tmp_path / "one", "h264", 18)
    whole = read_episode(tmp_path / "one")
    first = float(whole.joint_times[0])
    trim(tmp_path / "one", tmp_path / "cut", first + 1.0, first + 2.0)
    cut = read_episode(tmp_path / "cut")
    assert description(tmp_path / "cut")["video"] == {"codec": "h264", "crf": 18}
    assert len(cut.cameras["front"].times) == 11
    assert np.abs(pictures(cut) - pictures(whole)[10:21]).mean() < 4


def test_a_damaged_video_is_recovered_but_for_the_images_that_need_the_damaged_part(tmp_path):
    messages = []
    for i in range(90):  # three groups of images, each of which begins with one that needs no other
        at = i / 30
        messages += [
            (at + 0.001, FRONT, image(1_800_000_000.0 + at, i)),
            (at + 0.001, WRIST, image(1_800_000_000.0 + at, i)),
        ]
    record(tmp_path / "one", sorted([*without(FRONT, without(WRIST)), *messages]))
    compress(tmp_path / "one", "h264")
    whole = read_episode(tmp_path / "one")
    stored = [one for one in read_container(mcap_path(tmp_path / "one")).messages if one.topic == FRONT]
    content = bytearray(mcap_path(tmp_path / "one").read_bytes())
    at = content.find(stored[40].data)
    content[at + 60] ^= 0xFF
    mcap_path(tmp_path / "one").write_bytes(content)
    with pytest.raises(DataError, match="broken near byte"):
        read_episode(tmp_path / "one")
    recover_episode(tmp_path / "one")
    left = read_episode(tmp_path / "one")
    assert "video" not in description(tmp_path / "one")
    kept = np.isin(whole.cameras["front"].times, left.cameras["front"].times)
    assert kept[60:].all()  # the third group is whole
    assert 0 < kept.sum() < 90
    shown = np.abs(pictures(left) - pictures(whole)[kept]).mean(axis=(1, 2, 3))
    assert shown.max() < 4
