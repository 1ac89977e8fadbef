"""A data set as it came: where its files are, what kind they are, and which robot imitates or is imitated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mivla_drivers.contract import RobotContract, load_contract
from mivla_drivers.errors import DataError
from mivla_drivers.robots import DEFAULT_ROBOT
from mivla_policy.data.egodex import egodex_reader
from mivla_policy.data.imitation import IMITATION_VERSION
from mivla_policy.data.recordings import contract_of_recordings, recordings_reader
from mivla_policy.data.robotwin import robotwin_reader
from mivla_policy.data.task_demonstrations import tasks_reader
from mivla_policy.data.track_reader import TrackReader

KINDS = ("egodex", "robotwin", "recordings", "simulated")
ITS_OWN = ""  # robot: the one that the recordings are of
VIDEO_HEIGHT = 256  # video frames are shrunk to it [px] while they are decoded


@dataclass(frozen=True)
class Demonstrations:
    """A data set on disk and the robot that imitates it, or is imitated.

    Attributes:
        kind: one of KINDS.
        folder: where its files are.
        robot: name or robot.yaml of the contract; ITS_OWN takes the one in the first recording.
        imitate: whether the other embodiment's actions are added.
        views: of a recording's cameras that are kept; None keeps all of the contract's.
        height: video frames are shrunk to it [px]; None keeps them.
    """

    kind: str
    folder: Path
    robot: str = DEFAULT_ROBOT
    imitate: bool = True
    views: tuple[str, ...] | None = None
    height: int | None = VIDEO_HEIGHT

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"demonstrations: expected a kind of {KINDS}, got {self.kind!r}")
        if self.robot == ITS_OWN and self.kind != "recordings":
            raise DataError(f"demonstrations: {self.kind}: expected a robot's name, got none")

    @property
    def contract(self) -> RobotContract:
        """Of the robot.

        Raises:
            DataError: it is to be the recordings' own, and none can be used.
        """
        return _contract(self)

    def reader(self) -> TrackReader:
        """Reader of all files.

        Raises:
            DataError: there is none.
        """
        if self.kind == "egodex":
            return egodex_reader(self.folder, self.height)
        if self.kind == "robotwin":
            # RoboTwin's demonstrations are of two arms; what imitates them may have one.
            return robotwin_reader(self.folder, self.contract if len(self.contract.arms) == 2 else None)
        if self.kind == "recordings":
            return recordings_reader(self.folder, self.contract, self.views)
        return tasks_reader(self.folder, self.contract)

    def fingerprint(self, path: Path) -> str:
        """What the annotation of `path` is made from: the file's name and size, the robot, and how it imitates."""
        robot = hashlib.sha256((self.contract.text + self.contract.urdf).encode()).hexdigest()[:16]
        rule = IMITATION_VERSION if self.imitate else None
        source = [str(path.relative_to(self.folder)), _size(path)]
        return json.dumps([*source, self.contract.robot, robot, rule, self.views])

    def description(self) -> dict[str, object]:
        """Plain values, for the set's own file."""
        return {**asdict(self), "folder": str(self.folder.resolve())}


def contract_of_set(document: Mapping[str, Any]) -> RobotContract:
    """Of the robot of an annotated set, from what the set's own file says.

    Raises:
        DataError: it is the recordings' own, and these are gone.
        ContractError: it no longer reads.
    """
    if document["robot"] == ITS_OWN:
        return contract_of_recordings(Path(document["folder"]))
    return load_contract(document["robot"])


@lru_cache(maxsize=8)
def _contract(demonstrations: Demonstrations) -> RobotContract:
    if demonstrations.robot != ITS_OWN:
        return load_contract(demonstrations.robot)
    return contract_of_recordings(demonstrations.folder)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path, path.with_suffix(".mp4")]
    return sum(file.stat().st_size for file in files if file.is_file())
