"""Arrays written row by row, part after part, by a run that may be killed at any moment.

    <name>.bin    one array, row after row
    parts.jsonl   the journal: what the rows are made with, then one line per part

A part's line is written once its rows are on the disk. Rows beyond the last line are of a part that was never finished,
and are cut off. Files of their own would say the same of each part, but a data set has 300,000 of them.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mivla_drivers.errors import DataError
from mivla_policy.recipe import require_same_recipe

logger = logging.getLogger(__name__)

JOURNAL = "parts.jsonl"

Layout = Mapping[str, tuple[str, tuple[int, ...]]]  # {name: (dtype, shape of a row)}


@dataclass(frozen=True)
class Part:
    """Rows that belong together.

    Attributes:
        key: of what they were made from; another key is other rows.
        source: the same in words.
        rows: how many; 0 where the part was left out.
        reason: why it was left out, else empty.
    """

    key: str
    source: str
    rows: int
    reason: str = ""


class RowFiles:
    """The files of a folder, open until the context ends; no other run can write there meanwhile.

    A run goes through its parts in order and keeps those that an earlier run finished here. From the first one on
    that is another, the earlier run's rows are void: what lies there is always what a run without a break writes.

    Args:
        layout: of the arrays.
        made_with: plain values that decide what a part's rows are.
        index: the file that says that the folder is whole; it is removed before the first change.

    Attributes:
        rows: of all parts so far.
        kept: how many parts an earlier run had finished.

    Raises:
        DataError: another run writes here, an earlier one did with other values, or its journal is damaged.
    """

    def __init__(self, folder: Path, layout: Layout, made_with: dict[str, Any], index: Path) -> None:
        self.rows = self.kept = 0
        self._folder, self._layout, self._index = folder, layout, index
        self._made_with = json.loads(json.dumps(made_with))
        self._files: dict[str, BinaryIO] = {}
        self._unfinished = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._journal = (folder / JOURNAL).open("a+b")
        try:
            self._lock()
            self._earlier, self._ends = self._read_journal()
        except BaseException:
            self._journal.close()
            raise

    def __enter__(self) -> RowFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (*self._files.values(), self._journal):
            file.close()

    @property
    def changed(self) -> bool:
        """Whether this run has written, or thrown away, anything."""
        return bool(self._files)

    def keep(self, key: str) -> Part | None:
        """The earlier run's next part, where its key is `key` and all before it were kept; None: write it."""
        if self.changed or self.kept == len(self._earlier) or self._earlier[self.kept].key != key:
            return None
        part = self._earlier[self.kept]
        self.kept += 1
        self.rows += part.rows
        return part

    def write(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Append (B, ...) rows of every array to the part that is being written."""
        self._begin()
        for name, (dtype, shape) in self._layout.items():
            rows = arrays[name]
            if rows.shape[1:] != shape:
                raise ValueError(f"{name}: expected rows of shape {shape}, got {rows.shape[1:]}")
            self._files[name].write(rows.astype(dtype, copy=False).tobytes())
        self._unfinished += len(rows)

    def finish(self, key: str, source: str, reason: str = "") -> Part:
        """End the part that is being written; with a `reason` it is left out, and what was written of it cut off."""
        self._begin()
        part = Part(key, source, 0 if reason else self._unfinished, reason)
        if reason:
            self._cut()
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        self._append(asdict(part))
        self.rows, self._unfinished = self.rows + part.rows, 0
        return part

    def drop_rest(self) -> None:
        """Throw away what an earlier run has beyond the parts of this one."""
        if self.kept < len(self._earlier):
            self._begin()

    def _begin(self) -> None:
        """Open the files at the end of what is kept, once; the earlier run's rest is void from here on."""
        if self.changed:
            return
        void = len(self._earlier) - self.kept
        if void:
            logger.warning(
                "%s: %d demonstrations stay, %d are void since the data before or in them has changed (first: %s)",
                *(self._folder, self.kept, void, self._earlier[self.kept].source),
            )
        self._index.unlink(missing_ok=True)
        self._journal.truncate(self._ends[self.kept])
        if not self._ends[self.kept]:
            self._append(self._made_with)
        for name in self._layout:
            self._files[name] = self._path(name).open("ab")
        self._cut()

    def _cut(self) -> None:
        for name, file in self._files.items():
            file.truncate(self.rows * self._row_bytes(name))

    def _append(self, document: dict[str, Any]) -> None:
        self._journal.write(json.dumps(document).encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def _lock(self) -> None:
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(
                f"{self._folder}: expected to write here alone, another run does; "
                "wait for it or choose another folder"
            ) from None

    def _read_journal(self) -> tuple[list[Part], list[int]]:
        """Finished parts whose rows are all there, and where in the journal each ends, the first line before them."""
        self._journal.seek(0)
        lines = self._journal.read().split(b"\n")[:-1]  # what follows the last line's end was not finished
        if not lines:
            return [], [0]
        try:
            made_with, parts = json.loads(lines[0]), [Part(**json.loads(line)) for line in lines[1:]]
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{self._folder / JOURNAL}: expected a journal, found a damaged one: {error}; "
                "delete the folder and encode again"
            ) from None
        require_same_recipe(self._folder, made_with, self._made_with)
        ends, there = [len(lines[0]) + 1], self._rows_there()
        found = 0
        for line, part in zip(lines[1:], parts, strict=True):
            found += part.rows
            if found > there:
                break
            ends.append(ends[-1] + len(line) + 1)
        return parts[: len(ends) - 1], ends

    def _rows_there(self) -> int:
        files = [(self._path(name), self._row_bytes(name)) for name in self._layout]
        return min(path.stat().st_size // size if path.is_file() else 0 for path, size in files)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.bin"

    def _row_bytes(self, name: str) -> int:
        dtype, shape = self._layout[name]
        return np.dtype(dtype).itemsize * math.prod(shape)
