"""Repairs episodes that a killed process or a full disk left unfinished: `mivla recover FOLDER`."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mivla_drivers.contract import parse_contract
from mivla_drivers.errors import DataError, MivlaError
from mivla_drivers.recording.append_file import RESERVE_FILE, is_being_written
from mivla_drivers.recording.audit import Audit
from mivla_drivers.recording.clock_log import ClockReading
from mivla_drivers.recording.container import (
    NANOSECONDS,
    Received,
    salvaged_items,
    salvaged_texts,
    salvaged_types,
)
from mivla_drivers.recording.layout import (
    EPISODE_FILE,
    METADATA_FILE,
    mcap_path,
    read_description,
    write_description,
)
from mivla_drivers.recording.stored_video import VIDEO, ImageRestorer
from mivla_drivers.recording.writer import EpisodeWriter, Outcome

KILLED = "the recorder was killed"
PART = ".part"  # of a file that was being written


def is_unfinished(folder: Path) -> bool:
    """Whether a folder holds an episode that nobody ended, or that was only just begun, and that no recorder writes."""
    if is_being_written(mcap_path(folder)):
        return False
    try:
        return not read_description(folder).get("complete") or not (folder / METADATA_FILE).is_file()
    except DataError:
        return is_empty(folder)


def is_empty(folder: Path) -> bool:
    """Whether a folder is what a recorder left that was killed before the first message; never a folder of others."""
    allowed = {EPISODE_FILE, EPISODE_FILE + PART, mcap_path(folder).name, RESERVE_FILE}
    if is_being_written(mcap_path(folder)):
        return False
    names = {path.name for path in folder.iterdir()}
    if not names <= allowed or not (names & {RESERVE_FILE, mcap_path(folder).name, EPISODE_FILE + PART}):
        return False
    path = mcap_path(folder)
    return not path.is_file() or not any(isinstance(item, Received) for item in salvaged_items(path))


def recover_episode(folder: str | Path) -> Audit:
    """Make an unfinished or damaged episode whole again, from every message that can still be read.

    A success that nobody judged stays unjudged (None). The damaged file is replaced only once the repaired
    one is on the disk; an episode that is whole stays as it is, but for its audit.

    Raises:
        DataError: the folder holds no episode, nothing in it can be read, or the disk refuses.
    """
    folder = Path(folder)
    description = read_description(folder)
    path = mcap_path(folder)
    if is_being_written(path):
        raise DataError(
            f"{folder}: expected an episode that nobody writes, found a recorder at it: save it there"
        )
    arrivals = [item.arrival_ns / NANOSECONDS for item in salvaged_items(path) if isinstance(item, Received)]
    if not arrivals:
        raise DataError(f"{folder}: expected messages to recover, found none; discard the episode")
    repaired = folder.with_name(folder.name + ".repair") / folder.name
    try:
        shutil.rmtree(repaired.parent, ignore_errors=True)
        return _replace(folder, repaired, description, min(arrivals), max(arrivals))
    except OSError as error:
        raise DataError(
            f"{folder}: expected room for the repaired episode, got: {error.strerror}; nothing was changed: free "
            f"{path.stat().st_size / 1e6:.0f} MB"
        ) from None
    finally:
        shutil.rmtree(repaired.parent, ignore_errors=True)


def _replace(folder: Path, repaired: Path, description: dict, first: float, last: float) -> Audit:
    """Write the repaired episode, then put it in the place of the damaged one; arrivals in [s, system time]."""
    path = mcap_path(folder)
    contract_text, urdf = salvaged_texts(path)
    writer = EpisodeWriter(
        repaired,
        parse_contract(contract_text, urdf, where=str(path)),
        description["task"],
        description["instruction"],
        started=description.get("started", first),
        source=description["source"],
        namespace=description["namespace"],
    )
    known = {topic.name for topic in writer.topics}
    restorer = ImageRestorer(salvaged_types(path))
    for item in salvaged_items(path):
        if isinstance(item, ClockReading):
            writer.note_clock(item)
        elif item.topic in known:
            with suppress(DataError):  # an image whose bytes are damaged is as lost as one whose chunk is
                if (message := restorer.restore(item)) is not None:
                    writer.write(message.topic, message.data, message.arrival_ns)
    outcome = Outcome.of(description)
    if not description.get("complete"):
        outcome = replace(outcome, ended_by=KILLED)
    audit = writer.close(outcome, ended=last)
    kept = {key: value for key, value in description.items() if key != VIDEO}  # repaired images are JPEG
    write_description(repaired, {**kept, **read_description(repaired), "recovered": True})
    mcap_path(repaired).replace(path)
    for name in (METADATA_FILE, EPISODE_FILE):
        (repaired / name).replace(folder / name)
    for leftover in (RESERVE_FILE, EPISODE_FILE + PART, METADATA_FILE + PART):
        (folder / leftover).unlink(missing_ok=True)
    return audit


def main(folders: list[str]) -> int:
    """Recover each folder and print its audit; 1 where one could not be recovered."""
    failed = 0
    for folder in folders:
        try:
            print(f"{folder}\n{recover_episode(folder).text}")
        except MivlaError as error:
            print(f"mivla: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
