"""Folders of results: one per run, none written over, each continued only by the run that began it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mivla_drivers.errors import MivlaError


class RunFolderError(MivlaError):
    """A folder of results cannot be used as asked; nothing in it was changed."""


def dated_folder(parent: Path, now: float | None = None, suffix: str = "") -> Path:
    """A name below `parent` that nothing has yet: local time and `suffix`; `now` is system time [s]."""
    name = time.strftime("%Y-%m-%d_%H%M%S", time.localtime(now))
    names = (f"{name}{suffix}" if number == 1 else f"{name}_{number}{suffix}" for number in range(1, 1000))
    return next(parent / name for name in names if not (parent / name).exists())


def refuse_results(out: Path, patterns: tuple[str, ...], what_to_do: str) -> None:
    """Refuse a new run in a folder that holds files of `patterns`, before anything is touched.

    Raises:
        RunFolderError: names one of them, and `what_to_do`.
    """
    found = sorted(file for pattern in patterns for file in out.glob(pattern))
    if found:
        raise RunFolderError(
            f"--out {out}: holds results ({found[0].name}), which are never overwritten. {what_to_do}"
        )


def require_same_settings(where: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to go on in `where` with other settings than it was begun with; None in `wanted` takes what is there.

    Raises:
        RunFolderError: names every setting that differs.
    """
    other = [
        f"{name} {found.get(name)}, not {value}"
        for name, value in wanted.items()
        if value is not None and found.get(name) != value
    ]
    if other:
        raise RunFolderError(
            f"--resume: {where} was begun with {'; '.join(other)}. Resume with what it was begun with (what is not "
            "given is taken from there), or choose another --out"
        )


@contextmanager
def claimed_folder(out: Path) -> Iterator[Path]:
    """Make the folder, and keep other runs from writing to it meanwhile.

    Raises:
        RunFolderError: it is no folder, must not be written to, or another run writes to it.
        OSError: the disk refuses.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    except (FileExistsError, NotADirectoryError):
        raise RunFolderError(
            f"--out {out}: expected a folder, or to make one; a file is in its way"
        ) from None
    try:
        if not os.access(out, os.W_OK | os.X_OK):
            raise RunFolderError(
                f"--out {out}: expected a folder that can be written to, may not write there"
            )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunFolderError(f"--out {out}: another run is writing there; wait for its end") from None
        yield out
    finally:
        os.close(descriptor)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file, at once: what is there is whole."""
    write_text(path, json.dumps(document, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file, at once: what is there is whole."""
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text)
    partial.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """What `write_json` wrote.

    Raises:
        RunFolderError: there is no such file, or it does not read.
    """
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RunFolderError(f"--resume: expected what a run left in {path}, got: {error}") from None
    if not isinstance(document, dict):
        raise RunFolderError(
            f"--resume: expected a run's settings in {path}, got a {type(document).__name__}"
        )
    return document
