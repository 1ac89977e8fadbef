"""Reads episodes, and refuses what cannot be trained on."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rclpy.serialization import deserialize_message

from mivla_drivers.contract import CameraConfig, RobotContract, parse_contract, require_same_contract
from mivla_drivers.control.trajectory import ActionChunk
from mivla_drivers.errors import CommandRefused, ContractError, DataError
from mivla_drivers.recording.clock_log import clock_steps, set_back
from mivla_drivers.recording.container import (
    NANOSECONDS,
    Container,
    Received,
    stamp_seconds_of,
)
from mivla_drivers.recording.control_track import ControlTrack, control_track
from mivla_drivers.recording.episode import CameraTrack, Episode, command_knots
from mivla_drivers.recording.judgement import SUCCESS, UNJUDGED, judgement_of
from mivla_drivers.recording.layout import (
    METADATA_FILE,
    Topic,
    episode_topics,
    mcap_path,
    read_description,
)
from mivla_drivers.recording.message_types import require_types
from mivla_drivers.recording.messages import MESSAGES
from mivla_drivers.recording.stored_video import read_messages
from mivla_drivers.ros.conversions import action_chunk, compressed_image_array, joint_vector, stamp_seconds

log = logging.getLogger(__name__)


def read_episode(folder: str | Path) -> Episode:
    """The episode in a folder.

    Raises:
        ContractError: the contract inside is not valid.
        DataError: the folder holds no whole episode, a file is corrupt, a required topic is missing or does not fit
            the contract, or a clock was set in the middle; names file and topic.
    """
    folder = Path(folder)
    description = read_description(folder)
    if not description.get("complete") or not (folder / METADATA_FILE).is_file():
        raise DataError(
            f"{folder}: expected a finished recording, found one that was cut off. "
            f"Repair it: mivla recover {folder}"
        )
    path = mcap_path(folder)
    container = read_messages(path)
    _require_one_clock(container, path)
    contract = parse_contract(container.contract_text, container.urdf, where=str(path))
    topics = episode_topics(contract, description["namespace"], description["source"])
    require_types(container, topics, path)
    received = _by_topic(container, topics, path)
    by_kind = {topic.kind: topic for topic in topics}
    joint_times, joint_positions = _joints(received, by_kind["joints"], contract, path)
    in_control = _in_control(received, by_kind["control"], path)
    commands = [by_kind["commands"], by_kind["other_commands"]]
    chunks, refused, others = _commands(received, commands, contract, in_control, path)
    command_times, command_positions = command_knots(chunks)
    return Episode(
        folder=folder,
        contract=contract,
        task=description["task"],
        instruction=description["instruction"],
        success=description.get("success"),
        seed=description.get("seed"),
        mode=description.get("mode", ""),
        joint_times=joint_times,
        joint_positions=joint_positions,
        chunks=chunks,
        refused_commands=refused,
        cameras=_cameras(received, topics, contract, path),
        command_times=command_times,
        command_positions=command_positions,
        source=description["source"],
        in_control=in_control,
        verdict=str(description.get("verdict", "")),
        judged_by=str(description.get("judged_by", "")),
        other_commands=others,
    )


def _by_topic(container: Container, topics: tuple[Topic, ...], path: Path) -> dict[str, list[Received]]:
    """The messages of each topic, in the order in which they arrived; of one that nobody needs there may be none."""
    received: dict[str, list[Received]] = defaultdict(list)
    for message in container.messages:
        received[message.topic].append(message)
    for topic in topics:
        if topic.required and not received[topic.name]:
            raise DataError(f"{path}: {topic.name}: expected messages, found none")
    return received


def read_demonstration(path: str | Path) -> Episode:
    """An episode that somebody judged a success, and whose audit found that one can learn from it.

    Raises:
        DataError: as `read_episode`, the episode was judged a failure or not at all, or its audit found that nobody
            can learn from it, such as where a camera froze.
        ContractError: as `read_episode`.
    """
    description = read_description(Path(path))
    if unusable := description.get("unusable"):
        raise DataError(
            f"{path}: expected a demonstration to learn from, found: {'; '.join(map(str, unusable))}"
        )
    judgement = judgement_of(description)
    if description.get("complete") and judgement != SUCCESS:
        found = "one that was judged a failure"
        if judgement == UNJUDGED:
            found = f"one that nobody judged: mivla recover --judge success (or failure) {path}"
        raise DataError(f"{path}: expected a demonstration to learn from, found {found}")
    return read_episode(path)


def read_dataset(folder: str | Path, views: Collection[str] | None = None) -> list[Episode]:
    """All demonstrations below a folder, by name; others are named in the log and counted at the end.

    Args:
        views: cameras that matter: other ones may be in some of the episodes only. None: all matter.

    Raises:
        ContractError: two episodes are of robots whose numbers mean different things.
        DataError: there is no demonstration.
    """
    folder = Path(folder)
    candidates = sorted(path.parent for path in folder.glob("*/episode.json"))
    episodes: list[Episode] = []
    for candidate in candidates:
        try:
            episode = read_demonstration(candidate)
        except (ContractError, DataError) as error:
            log.warning("skipped %s", error)
            continue
        if episodes:
            require_same_contract(episodes[0].contract, episode.contract, where=str(candidate), views=views)
        episodes.append(episode)
    if not episodes:
        found = f"{len(candidates)}, of which none can be used" if candidates else "none"
        raise DataError(f"{folder}: expected recorded episodes, found {found}")
    if len(episodes) < len(candidates):
        log.warning("%s: skipped %d of %d episodes", folder, len(candidates) - len(episodes), len(candidates))
    return episodes


def _require_one_clock(container: Container, path: Path) -> None:
    """Refuse an episode in which the clock was set: its messages do not belong together, and joints leap.

    Raises:
        DataError: says by how much.
    """
    found = [str(step) for step in clock_steps(container.clock)]
    arrivals: dict[str, list[float]] = defaultdict(list)
    for message in container.messages:
        arrivals[message.topic].append(message.arrival_ns / NANOSECONDS)
    if not found:  # earlier recordings hold no readings of the clock
        backs = {topic: set_back(times) for topic, times in arrivals.items()}
        found = [f"{topic}: the clock was set back by {by:.2f} s" for topic, by in backs.items() if by]
    if found:
        raise DataError(f"{path}: expected messages dated by one clock, found: {'; '.join(found)}")


def _decode(message: Received, topic: Topic, path: Path) -> Any:
    try:
        return deserialize_message(message.data, MESSAGES[topic.kind])
    except Exception as error:  # the middleware raises whatever the bytes lead to
        raise DataError(f"{path}: {topic.name}: expected a {topic.type}, found: {error!r}") from None


def _joints(
    received: dict[str, list[Received]], topic: Topic, contract: RobotContract, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Times (N,) strictly ascending, and positions (N, n)."""
    times, positions = [], []
    for message in received[topic.name]:
        state = _decode(message, topic, path)
        try:
            positions.append(joint_vector(state, contract))
        except DataError as error:
            raise DataError(f"{path}: {topic.name}: {error}") from None
        times.append(stamp_seconds(state.header.stamp) - contract.joint_latency_s)
    ordered, first = np.unique(np.array(times), return_index=True)
    return ordered, np.array(positions)[first]


def _in_control(received: dict[str, list[Received]], topic: Topic, path: Path) -> ControlTrack:
    """Who held the robot when; unknown where no driver told."""
    messages = received[topic.name]
    return control_track(
        [(message.arrival_ns / NANOSECONDS, _decode(message, topic, path).data) for message in messages]
    )


def _commands(
    received: dict[str, list[Received]],
    topics: list[Topic],
    contract: RobotContract,
    in_control: ControlTrack,
    path: Path,
) -> tuple[tuple[ActionChunk, ...], int, int]:
    """Valid chunks of whoever held the robot, by stamp; how many a driver refuses; how many were not followed.

    Where nobody told who held the robot, it was the source whose episode it is.
    """
    chunks, refusals, others = [], [], 0
    for topic in topics:
        for message in received[topic.name]:
            try:
                chunk = action_chunk(_decode(message, topic, path), contract, topic.source)
            except CommandRefused as error:
                refusals.append(str(error))
                continue
            known, arrival = in_control.is_known, message.arrival_ns / NANOSECONDS
            if in_control.follows(topic.source, arrival) if known else topic.required:
                chunks.append(chunk)
            else:
                others += 1
    if not chunks:
        name = topics[0].name
        found = refusals[0] if refusals else f"{others}, of which none came while its source held the robot"
        raise DataError(f"{path}: {name}: expected a valid command, found: {found}")
    return tuple(sorted(chunks, key=lambda chunk: chunk.stamp)), len(refusals), others


def _cameras(
    received: dict[str, list[Received]], topics: tuple[Topic, ...], contract: RobotContract, path: Path
) -> dict[str, CameraTrack]:
    cameras = {camera.name: camera for camera in contract.cameras}
    tracks = {}
    for topic in topics:
        if topic.kind == "camera":
            camera = cameras[topic.camera]
            tracks[camera.view] = _track(received[topic.name], topic, camera, path)
    return tracks


def _track(messages: list[Received], topic: Topic, camera: CameraConfig, path: Path) -> CameraTrack:
    """Images by stamp; the first one is decoded, so that a wrong size is found before a training run is."""
    stamps = [stamp_seconds_of(message.data) for message in messages]
    images = [_decode(message, topic, path) for message in messages]
    try:
        compressed_image_array(images[0], camera)
    except (DataError, cv2.error) as error:
        raise DataError(f"{path}: {topic.name}: {error}") from None
    order = np.argsort(stamps, kind="stable")
    times = np.array(stamps)[order] - camera.latency_s
    return CameraTrack(times, tuple(bytes(images[i].data) for i in order))
