"""The bringup's log during trials: a file, and a count of what warns."""

from __future__ import annotations

import re
from pathlib import Path
from types import TracebackType

WARNING = re.compile(r"\[(WARN|ERROR|FATAL)\]|^\[[^]]+\] (mivla: |Traceback )")


class LaunchLog:
    """Appends what a bringup says to a file; a context manager.

    Attributes:
        warnings: lines so far that warn or tell of an error.
    """

    def __init__(self, path: Path, title: str) -> None:
        """`title` stands above this run's lines; what earlier runs left in the file stays."""
        self.path = path
        self.warnings = 0
        self._title = title

    def __enter__(self) -> LaunchLog:
        self._file = self.path.open("a", buffering=1, encoding="utf-8")
        self._file.write(f"# {self._title}\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, line: str) -> None:
        """Add a line; may be called from any thread, and after the end, when it is lost."""
        self.warnings += WARNING.search(line) is not None
        if not self._file.closed:
            self._file.write(f"{line}\n")
