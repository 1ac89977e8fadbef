"""Exports recorded episodes; what cannot be exported is named, and the rest is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mivla_drivers.contract import RobotContract
from mivla_drivers.dataset.episodes import OneRobot, Skipped, read_each
from mivla_drivers.dataset.frames import FixedRate, fixed_rate
from mivla_drivers.dataset.lerobot.writer import LerobotWriter
from mivla_drivers.errors import DataError, MivlaError
from mivla_drivers.recording.episode import Episode
from mivla_drivers.recording.reader import read_demonstration, read_episode

PART = ".part"


class FrameSource:
    """Episodes at a fixed rate, one at a time; those that cannot be used are kept in `skipped`.

    Attributes:
        skipped: with the reason of each.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        rate_hz: float | None = None,
        views: Sequence[str] | None = None,
        whatever_judged: bool = False,
    ) -> None:
        """
        Args:
            rate_hz: None takes the slowest camera's.
            views: None takes all.
            whatever_judged: failures and the like, too.
        """
        self.skipped: list[Skipped] = []
        self._read: Callable[[Path], Episode] = read_episode if whatever_judged else read_demonstration
        self._folders, self._rate_hz, self._views = folders, rate_hz, views

    def __iter__(self) -> Iterator[tuple[RobotContract, FixedRate, Episode]]:
        """
        Raises:
            ContractError: an episode is of another robot than the first one.
        """
        robot = OneRobot(self._views)
        for found in read_each(self._folders, self._read):
            if isinstance(found, Skipped):
                self.skipped.append(found)
                continue
            robot.require(found.contract, found.folder)
            assert robot.contract is not None
            try:
                frames = fixed_rate(found, self.rate(robot.contract), self.views(robot.contract))
            except MivlaError as error:
                self.skipped.append(Skipped(found.folder, str(error)))
                continue
            yield robot.contract, frames, found

    def rate(self, contract: RobotContract) -> float:
        """Frames per second."""
        return self._rate_hz or min(contract.camera(view).rate_hz for view in self.views(contract))

    def views(self, contract: RobotContract) -> tuple[str, ...]:
        """Cameras that are kept."""
        return tuple(self._views or (camera.view for camera in contract.cameras))

    def none_usable(self, out: Path) -> DataError:
        """What is wrong where no episode could be exported to `out`, with the reason of each."""
        reasons = "".join(f"\n  {skipped.reason}" for skipped in self.skipped)
        return DataError(f"{out}: expected episodes that can be exported, found none{reasons}")


def export_lerobot(source: FrameSource, out: Path, codec: str = "h264") -> int:
    """Write the episodes as a LeRobotDataset v3.0 into the new folder `out`; how many.

    Raises:
        DataError: `out` holds something, no episode can be used, or the rate is no whole number.
        ContractError: the episodes are of several robots. `out` is not made then.
    """
    writer: LerobotWriter | None = None
    count = 0
    with new_folder(out) as part:
        for contract, frames, episode in source:
            rate = source.rate(contract)
            if rate != int(rate):
                raise DataError(
                    f"{out}: expected a whole number of frames per second, got {rate:g}: give another rate"
                )
            writer = writer or LerobotWriter(part, contract, int(rate), source.views(contract), codec)
            try:
                writer.add(frames, origin(episode))
            except DataError as error:
                source.skipped.append(Skipped(episode.folder, str(error)))
                continue
            count += 1
        if writer is None or not count:
            raise source.none_usable(out)
        writer.close()
    return count


def origin(episode: Episode) -> dict[str, Any]:
    """Where an exported episode comes from, and what was said of it."""
    return {
        "recording": episode.folder.name,
        "task": episode.task,
        "success": episode.success,
        "seed": episode.seed,
        "mode": episode.mode,
    }


def refuse_filled(out: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        DataError: says so.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: expected a new or empty folder, found one that holds something")


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` at the end; nothing is left of it where filling it fails.

    Raises:
        DataError: `out` holds something.
    """
    refuse_filled(out)
    part = out.with_name(out.name + PART)
    shutil.rmtree(part, ignore_errors=True)
    try:
        yield part
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    if out.exists():
        out.rmdir()
    part.rename(out)
