"""Compresses the images of finished episodes to a video, where they lie; each is whole on the disk at every moment."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from mivla_drivers.contract import parse_contract
from mivla_drivers.errors import DataError
from mivla_drivers.recording.append_file import is_being_written
from mivla_drivers.recording.container import (
    NANOSECONDS,
    VIDEO_TYPE,
    Container,
    ContainerWriter,
    Received,
    rosbag2_metadata,
    typestore,
)
from mivla_drivers.recording.image_format import image_format
from mivla_drivers.recording.layout import (
    EPISODE_FILE,
    METADATA_FILE,
    Topic,
    episode_topics,
    mcap_path,
    read_description,
    write_description,
    write_text,
)
from mivla_drivers.recording.stored_video import (
    IMAGE_TYPE,
    VIDEO,
    encoded,
    read_messages,
    video_message,
)
from mivla_drivers.recording.video_codecs import CODECS
from mivla_drivers.recording.writer import FLUSH_PERIOD_S

COMPARED_EVERY = 10  # images, of each camera
LEAST_DB = 28.0  # a video worse than this shows another picture: the episode stays as it is
PART = ".video"


@dataclass(frozen=True)
class Compressed:
    """What became of an episode.

    Attributes:
        before, after: size of its messages [bytes].
        decibels: peak signal-to-noise ratio of the video against the images that came [dB], the worst camera's.
    """

    before: int
    after: int
    decibels: float


def compress(folder: Path, codec: str, crf: int | None = None) -> Compressed | None:
    """Put a video in the place of an episode's images; None where there is one already.

    The video is read back, and compared with the images, before they go.

    Args:
        codec: "h264" or "av1".
        crf: its quality, a smaller number is better; None takes 20 for H.264 and 30 for AV1.

    Raises:
        DataError: the codec, the quality or the episode is none, an image is none or of odd size, or the video does
            not show what the images do. The episode stays as it is.
        OSError: the disk is full or gone; the episode stays as it is.
    """
    crf = _checked_quality(codec, crf)
    description, path = read_description(folder), mcap_path(folder)
    if not description.get("complete") or is_being_written(path):
        raise DataError(f"{folder}: expected a finished episode, found one that was not ended")
    if description.get(VIDEO) is not None:
        return None
    container = read_messages(path)  # of one that an earlier run did not finish, too: its images are restored
    part = folder.with_name(folder.name + PART) / folder.name
    shutil.rmtree(part.parent, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        done = _write(part, container, description, codec, crf)
        before = path.stat().st_size
        mcap_path(part).replace(path)
        for name in (METADATA_FILE, EPISODE_FILE):
            (part / name).replace(folder / name)
    finally:
        shutil.rmtree(part.parent, ignore_errors=True)
    return replace(done, before=before)


def is_compressible(folder: Path) -> bool:
    """Whether a folder holds a finished episode whose images are no video yet."""
    try:
        description = read_description(folder)
    except DataError:
        return False
    return (
        bool(description.get("complete"))
        and VIDEO not in description
        and not is_being_written(mcap_path(folder))
    )


def _checked_quality(codec: str, crf: int | None) -> int:
    if codec not in CODECS:
        raise DataError(f"codec: expected one of {', '.join(CODECS)}, got {codec!r}")
    crf = CODECS[codec].crf if crf is None else crf
    if not 1 <= crf <= CODECS[codec].worst:
        raise DataError(f"quality: {codec}: expected 1 (best) to {CODECS[codec].worst}, got {crf}")
    return crf


def _write(part: Path, container: Container, description: dict[str, Any], codec: str, crf: int) -> Compressed:
    """Write the compressed episode whole into `part`, and look at it."""
    path = mcap_path(part)
    topics = _video_topics(container, description, path)
    images: dict[str, list[Received]] = defaultdict(list)
    for message in container.messages:
        images[message.topic].append(message)
    videos = {
        topic.name: _encoded(images[topic.name], codec, crf)
        for topic in topics
        if topic.type == VIDEO_TYPE and images[topic.name]
    }
    writer = ContainerWriter(path, topics, container.contract_text, container.urdf)
    for reading in container.clock:
        writer.write_clock(reading)
    flushed = 0
    for message in container.messages:
        writer.write(next(videos[message.topic]) if message.topic in videos else message)
        if abs(message.arrival_ns - flushed) >= FLUSH_PERIOD_S * NANOSECONDS:  # a flipped bit costs no more
            writer.flush()
            flushed = message.arrival_ns
    for video in videos.values():  # to its end, so that its encoder is ended
        next(video, None)
    writer.close()
    decibels = _compared(container, path, videos)
    arrivals = [message.arrival_ns for message in container.messages]
    counts = {topic.name: len(images[topic.name]) for topic in topics}
    span = min(arrivals, default=0), max(arrivals, default=0)
    write_text(part / METADATA_FILE, rosbag2_metadata(path, topics, counts, span))
    told = {
        name: f"{codec}, crf {crf}, {decibels[name]:.1f} dB of {image_format(_image(images[name][0]))}"
        for name in videos
    }
    told = {**description.get("images", {}), **told}
    write_description(part, {**description, "images": told, VIDEO: {"codec": codec, "crf": crf}})
    return Compressed(0, path.stat().st_size, min(decibels.values(), default=float("inf")))


def _video_topics(container: Container, description: dict[str, Any], path: Path) -> tuple[Topic, ...]:
    """The episode's topics, with cameras as video."""
    contract = parse_contract(container.contract_text, container.urdf, where=str(path))
    topics = episode_topics(contract, description["namespace"], description["source"])
    return tuple(replace(one, type=VIDEO_TYPE) if one.kind == "camera" else one for one in topics)


def _image(message: Received) -> bytes:
    return bytes(cast(Any, typestore().deserialize_cdr(message.data, IMAGE_TYPE)).data)


def _decoded(message: Received) -> np.ndarray:
    """(H, W, 3) uint8 BGR.

    Raises:
        DataError: it is no image, or has an odd side, which video codecs refuse.
    """
    data = np.frombuffer(_image(message), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise DataError(f"{message.topic}: expected images that decode, found one that does not")
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        raise DataError(
            f"{message.topic}: expected images with even sides for a video, found {width}x{height}"
        )
    return image


def _encoded(messages: Sequence[Received], codec: str, crf: int) -> Iterator[Received]:
    """The video's messages for a camera's images; images of two sizes make no video."""
    size = _decoded(messages[0]).shape

    def images() -> Iterator[np.ndarray]:
        for message in messages:
            image = _decoded(message)
            if image.shape != size:
                raise DataError(
                    f"{message.topic}: expected images of one size, found {size} and {image.shape}"
                )
            yield image

    for index, (message, packet) in enumerate(zip(messages, encoded(images(), codec, crf), strict=True)):
        yield replace(message, data=video_message(message.data, packet, codec), sequence=index)


def _compared(before: Container, path: Path, videos: Collection[str]) -> dict[str, float]:
    """Signal-to-noise ratio of each camera's video [dB], of every tenth image.

    Raises:
        DataError: a message is missing or another one, or a video shows something else.
    """
    after = read_messages(path)
    pairs = list(zip(before.messages, after.messages, strict=False))
    if len(before.messages) != len(after.messages) or any(
        (one.topic, one.arrival_ns) != (two.topic, two.arrival_ns) for one, two in pairs
    ):
        raise DataError(f"{path}: expected {len(before.messages)} messages as before, found other ones")
    seen: dict[str, int] = defaultdict(int)
    errors: dict[str, list[float]] = defaultdict(list)
    for one, two in pairs:
        if one.topic not in videos:
            continue
        seen[one.topic] += 1
        if seen[one.topic] % COMPARED_EVERY == 1:
            difference = _decoded(one).astype(np.int16) - _decoded(two)
            errors[one.topic].append(float(np.square(difference, dtype=np.float64).mean()))
    decibels = {
        topic: 10 * float(np.log10(255.0**2 / max(float(np.mean(found)), 1e-3)))
        for topic, found in errors.items()
    }
    for topic, found in decibels.items():
        if found < LEAST_DB:
            raise DataError(
                f"{topic}: expected a video like the images, found {found:.1f} dB: ask for better quality"
            )
    return decibels
