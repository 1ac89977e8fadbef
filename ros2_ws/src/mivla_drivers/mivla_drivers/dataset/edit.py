"""Trims, merges and deletes episodes; each is whole on the disk at every moment."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from mivla_drivers.contract import parse_contract
from mivla_drivers.dataset.compress import VIDEO, compress
from mivla_drivers.dataset.episodes import OneRobot, Skipped, episode_folders, read_each
from mivla_drivers.dataset.summary import moving_span, span
from mivla_drivers.errors import DataError
from mivla_drivers.recording.container import (
    NANOSECONDS,
    Container,
    Received,
    stamp_seconds_of,
)
from mivla_drivers.recording.episode import Episode
from mivla_drivers.recording.layout import (
    UNSTAMPED,
    Topic,
    episode_topics,
    mcap_path,
    read_description,
    write_description,
)
from mivla_drivers.recording.stored_video import read_messages
from mivla_drivers.recording.writer import EpisodeWriter, Outcome

PART = ".part"
HELD = ("instruction", "control", "commands", "other_commands")
"""Kinds of messages of which the last one holds until the next."""


def trim(source: Path, target: Path, begin: float, end: float) -> None:
    """Write what `source` holds between two moments as the episode `target`; `source` stays as it is.

    Args:
        begin, end: [s, system time], of what the messages tell, latency considered; the instruction and the
            command that held at `begin` are kept.

    Raises:
        DataError: `source` is no whole episode, nothing is left, or `target` is there already.
        OSError: the disk is full or gone.
    """
    description = read_description(source)
    container = read_messages(mcap_path(source))
    contract = parse_contract(container.contract_text, container.urdf, where=str(mcap_path(source)))
    topics = {
        topic.name: topic
        for topic in episode_topics(contract, description["namespace"], description["source"])
    }
    latencies = {camera.name: camera.latency_s for camera in contract.cameras}
    late = {name: latencies.get(topic.camera, 0.0) for name, topic in topics.items()}
    late |= {name: contract.joint_latency_s for name, topic in topics.items() if topic.kind == "joints"}
    kept = list(_between(container, topics, late, begin, end))
    if not kept:
        raise DataError(f"{source}: expected messages between {begin:.3f} and {end:.3f} s, found none")
    if target.exists():
        raise DataError(f"{target}: expected no such folder yet, found one")
    part = target.parent / (target.name + PART) / target.name
    shutil.rmtree(part.parent, ignore_errors=True)
    writer = EpisodeWriter(
        part,
        contract,
        description["task"],
        description["instruction"],
        started=begin,
        source=description["source"],
        namespace=description["namespace"],
    )
    for reading in container.clock:
        if begin <= reading.system <= end:
            writer.note_clock(reading)
    for message in kept:
        writer.write(message.topic, message.data, message.arrival_ns)
    writer.close(Outcome.of(description), ended=end, dropped=_lost(description, topics))
    _carry_over(description, part, {"trimmed_from_s": [begin, end]})
    if (video := description.get(VIDEO)) is not None:  # a cut of a video begins with no key frame
        compress(part, video["codec"], video["crf"])
    part.rename(target)
    part.parent.rmdir()


def _lost(description: dict, topics: Collection[str]) -> dict[str, int]:
    """Messages that the recorder lost, by topic; where in the episode nobody knows: they count for each part of it."""
    rows = description.get("topics", {})
    return {name: int(row.get("dropped", 0)) for name, row in rows.items() if name in topics}


def trim_in_place(folder: Path, begin: float, end: float) -> None:
    """As `trim`, with the result in the place of `folder`; until that is whole, `folder` stays.

    Raises:
        DataError: as `trim`.
        OSError: as `trim`.
    """
    new = folder.with_name(folder.name + ".new") / folder.name
    old = folder.with_name(folder.name + ".old") / folder.name
    if old.exists():
        raise DataError(
            f"{old}: expected none, found what an earlier run left; it is the episode before that run"
        )
    shutil.rmtree(new.parent, ignore_errors=True)
    trim(folder, new, begin, end)
    old.parent.mkdir(exist_ok=True)
    folder.rename(old)
    new.rename(folder)
    new.parent.rmdir()
    shutil.rmtree(old.parent)


def _carry_over(description: dict, part: Path, more: dict) -> None:
    """What people and recorder said of the whole episode also holds for a cut of it."""
    written = read_description(part)
    carried = {key: value for key, value in description.items() if key not in written and key != VIDEO}
    write_description(part, {**written, **carried, **more})


def _between(
    container: Container, topics: dict[str, Topic], late: dict[str, float], begin: float, end: float
) -> Iterator[Received]:
    """Messages stamped between two moments, in their order; before them what held at the first."""
    held: dict[str, Received] = {}
    kept: list[Received] = []
    for message in container.messages:
        topic = topics.get(message.topic)
        if topic is None:
            continue
        unstamped = topic.kind in UNSTAMPED
        at = message.arrival_ns / NANOSECONDS if unstamped else stamp_seconds_of(message.data)
        at -= late[message.topic]
        if begin <= at <= end:
            kept.append(message)
        elif at < begin and topic.kind in HELD:
            held[message.topic] = message
    if not kept:
        return
    first_ns = min(message.arrival_ns for message in kept)
    for message in held.values():  # they arrived earlier, and hold from the first moment on
        yield Received(message.topic, message.data, max(message.arrival_ns, first_ns))
    yield from kept


def merge(
    sources: Sequence[Path], target: Path, views: Sequence[str] | None = None
) -> tuple[int, list[Skipped]]:
    """Copy the episodes of several folders into a new one; how many, and those that are no whole episodes.

    Args:
        views: cameras that all must have; None: all.

    Raises:
        ContractError: two episodes are of robots whose numbers mean different things. Nothing is copied then.
        DataError: `target` has episodes, or two of them have one name.
    """
    folders = [folder for source in sources for folder in episode_folders(source)]
    names = [folder.name for folder in folders]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{target}: expected episodes of different names, found {twice} more than once")
    if target.exists() and any(target.iterdir()):
        raise DataError(f"{target}: expected a new or empty folder, found one that holds something")
    robot = OneRobot(views)
    skipped = []
    good = []
    for found in read_each(folders):
        if isinstance(found, Skipped):
            skipped.append(found)
            continue
        robot.require(found.contract, found.folder)
        good.append(found.folder)
    for folder in good:
        copy_episode(folder, target)
    return len(good), skipped


def copy_episode(folder: Path, root: Path) -> Path:
    """A copy of an episode below `root`, there as a whole or not at all."""
    root.mkdir(parents=True, exist_ok=True)
    target, part = root / folder.name, root / (folder.name + PART) / folder.name
    shutil.rmtree(part.parent, ignore_errors=True)
    shutil.copytree(folder, part)
    part.rename(target)
    part.parent.rmdir()
    return target


def delete(folders: Iterable[Path]) -> None:
    """Remove episodes for good; each stops being one of its dataset before its first file goes."""
    for folder in folders:
        gone = folder.with_name(folder.name + ".deleted")
        gone.mkdir(exist_ok=True)
        folder.rename(gone / folder.name)
        shutil.rmtree(gone)


def idle_cut(episode: Episode, margin_s: float) -> tuple[float, float]:
    """From when to when to keep an episode, of whose idle ends `margin_s` are left [s, system time]."""
    first, last = span(episode)
    begin, end = moving_span(episode)
    return max(first, begin - margin_s), min(last, end + margin_s)
