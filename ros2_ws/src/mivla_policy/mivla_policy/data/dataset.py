"""Annotated data sets as one: which samples there are, and what each of them is.

What stays in memory is a row per demonstration and each sentence once. Everything else is read from the shards when a
sample is asked for, so that memory does not grow with the data.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mivla_drivers.contract import RobotContract
from mivla_drivers.errors import DataError
from mivla_policy.data.annotate import read_set
from mivla_policy.data.choices import FROM_ROBOT, USES
from mivla_policy.data.demonstrations import contract_of_set
from mivla_policy.data.images import decode_image
from mivla_policy.data.moments import Moments, statistics
from mivla_policy.data.sample import TELEOP, chunk_rows
from mivla_policy.data.shards import (
    DEMONSTRATIONS,
    SHARD,
    SWAPPED,
    VIDEO,
    ShardReader,
    moments_of,
    read_contents,
    shards_in,
    unpacked,
)
from mivla_policy.data.video import VideoFrames
from mivla_policy.normalisation import Statistics
from mivla_policy.rotations import CONTINUOUS

OPEN_SHARDS, OPEN_VIDEOS = 32, 8  # at a time, of one process
DEMONSTRATION = np.dtype(
    [
        ("shard", "<i4"),
        ("number", "<i4"),  # inside its shard
        ("frames", "<i4"),
        ("stride", "<i4"),
        ("source", "u1"),
        ("sentence", "<i4"),
    ]
)


@dataclass(frozen=True)
class Place:
    """Where the images of a sample are: {view: frame} of one demonstration of one shard."""

    shard: int
    demonstration: int
    frame: int


@dataclass(frozen=True)
class SampleRow:
    """One sample but for its images.

    Attributes:
        place: of its images.
        sentence: number of the instruction.
        source: FROM_ROBOT or FROM_HUMAN.
        state, state_mask: shape (76,).
        actions: shape (H, 76), zero where `mask` (76,) is false.
    """

    place: Place
    sentence: int
    source: int
    state: np.ndarray
    state_mask: np.ndarray
    actions: np.ndarray
    mask: np.ndarray


@dataclass
class Dataset:
    """The samples of annotated data sets, numbered from 0 on.

    Attributes:
        folders: of the sets, as `mivla annotate` wrote them.
        every: frames between two samples of a demonstration; 0 takes its stride, a chunk's step.
        use: "all", or "corrections" for the frames at which a person had taken over from the policy.
        sentences: all instructions, each once.
        skipped: {file: reason} of what annotation had left out.
        robots: name of each shard's robot: the one that did it, or that imitates people.

    Raises:
        DataError: a folder holds no annotated data set, or there is no sample.
    """

    folders: Sequence[Path]
    every: int = 1
    use: str = "all"
    sentences: list[str] = field(init=False)
    skipped: dict[str, str] = field(init=False)
    robots: list[str] = field(init=False)
    demonstrations: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        if self.use not in USES:
            raise DataError(f"use: expected one of {USES}, got {self.use!r}")
        self._paths: list[Path] = []
        self._sets: list[tuple[Path, int | None]] = []  # of each shard: the data's own folder, videos' height
        self.robots = []
        self.skipped = {}
        self._read_index()
        self._readers: OrderedDict[int, ShardReader] = OrderedDict()
        self._videos: OrderedDict[tuple[Path, int | None], VideoFrames] = OrderedDict()
        self._chosen = None if self.use == "all" else self._corrections()
        strides = np.where(self.every == 0, self.demonstrations["stride"], max(1, self.every))
        counts = -(-(self.demonstrations["frames"].astype(np.int64) - 1) // strides)
        self._strides, self._ends = strides.astype(np.int32), np.cumsum(counts)
        if not len(self):
            raise DataError(
                f"{', '.join(map(str, self.folders))}: expected samples to learn from (use: {self.use}), found none; "
                f"{len(self.skipped)} demonstrations were skipped"
            )

    def __len__(self) -> int:
        if self._chosen is not None:
            return len(self._chosen)
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def shards(self) -> list[Path]:
        """Folders of all shards."""
        return self._paths

    @property
    def digest(self) -> str:
        """Tells two data sets apart by what their shards were made from."""
        digest = hashlib.sha256(f"{self.every} {self.use}".encode())
        for path in self._paths:
            digest.update(read_contents(path).made_from.encode())
        return f"{len(self)} samples of {len(self.demonstrations)} demonstrations, {digest.hexdigest()[:16]}"

    def moments(self, pose_version: int) -> tuple[Moments, Moments]:
        """Of all frames' states and targets, from the pass that annotated them; `pose_version` is the model's."""
        return moments_of(self._paths, pose_version)

    def statistics(self, pose_version: int = CONTINUOUS) -> Statistics:
        """Of all frames, from the pass that annotated them."""
        return statistics(*self.moments(pose_version))

    def statistics_by_robot(self, pose_version: int = CONTINUOUS) -> dict[str, Statistics]:
        """Statistics by which each robot's demonstrations are normalised, and people's whom it imitates.

        Joints and gripper openings are those of the robot's own arms; hands and poses mean the same for all, so
        theirs are of all frames.
        """
        pooled = self.statistics(pose_version)
        found = {}
        for robot in dict.fromkeys(self.robots):
            paths = [path for path, other in zip(self._paths, self.robots, strict=True) if other == robot]
            found[robot] = pooled.with_joints_of(statistics(*moments_of(paths, pose_version)))
        return found

    def of(self, sources: Collection[int], without: Collection[int] = ()) -> np.ndarray:
        """Numbers of the samples of some embodiments, as ranges (R, 2) from and up to.

        Args:
            without: numbers of sentences whose demonstrations are left out.
        """
        rows = self.demonstrations
        wanted = np.isin(rows["source"], list(sources)) & ~np.isin(rows["sentence"], list(without))
        if self._chosen is not None:
            numbers = np.flatnonzero(wanted[self._chosen[:, 0]])
            return np.stack([numbers, numbers + 1], axis=1)
        starts = np.concatenate([[0], self._ends[:-1]])
        return np.stack([starts[wanted], self._ends[wanted]], axis=1)

    def sample(self, number: int, horizon: int) -> SampleRow:
        """A sample: the state of its frame and the `horizon` targets that follow, each a stride after the other.

        Raises:
            DataError: a shard's file is cut.
        """
        index, frame = self.locate(number)
        row = self.demonstrations[index]
        ahead = chunk_rows(frame, int(row["frames"]), int(row["stride"]), horizon)
        reader = self._reader(int(row["shard"]))
        rows = reader.rows(int(row["number"]), frame, int(ahead[-1]) - frame + 1)
        chunk = rows[ahead - frame]
        mask = np.asarray(unpacked(chunk["mask"]).all(axis=0))
        return SampleRow(
            place=Place(int(row["shard"]), int(row["number"]), frame),
            sentence=int(row["sentence"]),
            source=int(row["source"]),
            state=rows[0]["state"],
            state_mask=unpacked(rows[0]["state_mask"]),
            actions=np.where(mask, chunk["target"], 0.0),
            mask=mask,
        )

    def locate(self, number: int) -> tuple[int, int]:
        """Demonstration and frame of a sample."""
        if self._chosen is not None:
            return int(self._chosen[number, 0]), int(self._chosen[number, 1])
        index = int(np.searchsorted(self._ends, number, side="right"))
        start = int(self._ends[index - 1]) if index else 0
        return index, (number - start) * int(self._strides[index])

    def place(self, number: int) -> Place:
        """Where the images of a sample are."""
        index, frame = self.locate(number)
        row = self.demonstrations[index]
        return Place(int(row["shard"]), int(row["number"]), frame)

    def first_sample(self, demonstration: int) -> int:
        """Number of a demonstration's first sample; that of one more than there are is `len`."""
        return int(self._ends[demonstration - 1]) if demonstration else 0

    def image(self, place: Place, view: str) -> np.ndarray | None:
        """Pixels (H, W, 3) uint8 rgb of a view; None where the demonstration lacks it.

        Raises:
            DataError: the image does not decode, or its file is gone; names it.
        """
        reader = self._reader(place.shard)
        found = reader.place(place.demonstration, view, place.frame)
        if found is None:
            return None
        file, kind, position, length = found
        if kind == VIDEO:
            return self._video(file, self._sets[place.shard][1])[position]
        return decode_image(_bytes(file, position, length), kind == SWAPPED, f"{file}, byte {position}")

    def name(self, place: Place) -> str:
        """Of a sample, for messages."""
        return f"{self._reader(place.shard).names[place.demonstration]}, frame {place.frame}"

    def require_robots(self, robots: Collection[str], only: bool) -> None:
        """Refuse data in which one of `robots` is missing or, where `only` these may be there, another is found.

        Raises:
            DataError: names the robots.
        """
        found = set(self.robots)
        if not set(robots) <= found or (only and found - set(robots)):
            raise DataError(
                f"{', '.join(map(str, self.folders))}: expected demonstrations of {', '.join(sorted(robots))}"
                f"{' alone' * only}, found {', '.join(sorted(found))}; annotate with --robot"
            )

    def require_slots(self, contract: RobotContract) -> None:
        """Refuse robot data that do not know what the robot of `contract` is to tell and be told.

        Raises:
            DataError: names the slots that are known in none of them.
        """
        if not (self.demonstrations["source"] == FROM_ROBOT).any():
            return
        wanted = np.concatenate([contract.action_slots, contract.end_effector_slots])
        states, _ = moments_of(self._paths)
        missing = [int(slot) for slot in wanted if not states.count[slot]]
        if missing:
            raise DataError(
                f"{contract.robot}: expected robot demonstrations that know its joints and end effectors, "
                f"found none with slots {missing}; annotate demonstrations of this robot"
            )

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_readers": OrderedDict(), "_videos": OrderedDict()}

    def _read_index(self) -> None:
        rows: list[np.ndarray] = []
        sentences: dict[str, int] = {}
        for folder in map(Path, self.folders):
            document = read_set(folder)
            robot = contract_of_set(document).robot
            for path in shards_in(folder):
                contents = read_contents(path)
                self.skipped.update(contents.skipped)
                numbers = [sentences.setdefault(text, len(sentences)) for text in contents.sentences]
                stored = np.load(path / DEMONSTRATIONS)
                part = np.zeros(len(stored), dtype=DEMONSTRATION)
                for name in ("frames", "stride", "source"):
                    part[name] = stored[name]
                part["shard"], part["number"] = len(self._paths), np.arange(len(stored))
                part["sentence"] = np.array(numbers, dtype=np.int32)[stored["sentence"]] if numbers else 0
                rows.append(part)
                self._paths.append(path)
                self.robots.append(robot)
                self._sets.append((document["folder"], document["height"]))
        if not rows:
            raise DataError(
                f"{', '.join(map(str, self.folders))}: expected shards ({SHARD}), found none; run mivla annotate first"
            )
        self.demonstrations, self.sentences = np.concatenate(rows), list(sentences)

    def _corrections(self) -> np.ndarray:
        """Demonstration and frame of every sample at which a person had the robot, (N, 2)."""
        found = []
        for index, row in enumerate(self.demonstrations):
            rows = self._reader(int(row["shard"])).rows(int(row["number"]), 0, int(row["frames"]))
            step = int(row["stride"]) if self.every == 0 else max(1, self.every)
            frames = np.arange(0, len(rows) - 1, step)
            frames = frames[rows["control"][frames] == TELEOP]
            found.append(np.stack([np.full(len(frames), index), frames], axis=1))
        return np.concatenate(found) if found else np.zeros((0, 2), dtype=int)

    def _reader(self, shard: int) -> ShardReader:
        reader = self._readers.get(shard)
        if reader is None:
            reader = self._readers[shard] = ShardReader(self._paths[shard], *self._sets[shard])
            if len(self._readers) > OPEN_SHARDS:
                self._readers.popitem(last=False)[1].close()
        self._readers.move_to_end(shard)
        return reader

    def _video(self, path: Path, height: int | None) -> VideoFrames:
        video = self._videos.get((path, height))
        if video is None:
            video = self._videos[path, height] = VideoFrames(path, height)
            if len(self._videos) > OPEN_VIDEOS:
                self._videos.popitem(last=False)[1].close()
        self._videos.move_to_end((path, height))
        return video


def _bytes(path: Path, position: int, length: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read(length)
    except OSError as error:
        raise DataError(f"{path}: expected the file that images were annotated in, found: {error}") from None
