"""What `mivla demos` has done in a folder: its settings, and every attempt with what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mivla_bringup.run_folder import (
    RunFolderError,
    read_json,
    refuse_results,
    require_same_settings,
    write_json,
)
from mivla_bringup.trials.provenance import command_line
from mivla_drivers.errors import DataError
from mivla_drivers.recording.layout import EPISODE_FILE, read_description

PROGRESS = "demos.json"
RESULTS = (PROGRESS, f"*/{EPISODE_FILE}")
FREE = ("episodes", "robot")  # more may be recorded later; the robot's digest says which it is


class DemonstrationProgress:
    """Attempts one after the other, on disk after each.

    Attributes:
        attempts: {seed, mode, success, folder, overload}; `folder` is empty where nothing was kept, `overload` says
            where the machine did not keep up.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self.attempts: list[dict[str, Any]] = []
        self._out = out
        self._settings = dict(settings)
        self._commands = [command_line()]

    @property
    def kept(self) -> int:
        """Demonstrations that succeeded."""
        return sum(attempt["success"] for attempt in self.attempts)

    def resume(self) -> None:
        """Take over what an earlier run of the same settings did.

        Raises:
            RunFolderError: there is none, it had other settings, or it left an episode that was cut short.
        """
        document = read_json(self._out / PROGRESS)
        fixed = {name: value for name, value in self._settings.items() if name not in FREE}
        require_same_settings(self._out, document, fixed)
        self.attempts = list(document.get("attempts", []))
        self._commands = [*document.get("commands", []), *self._commands]
        self._refuse_cut_short()

    def add(self, seed: int, mode: str, success: bool, folder: str, overload: Sequence[str] = ()) -> None:
        """Note an attempt; `folder` is the kept episode's, `overload` as in `Timing.overload`."""
        attempt = {"seed": seed, "mode": mode, "success": success, "folder": Path(folder).name}
        self.attempts.append({**attempt, "overload": list(overload)})
        self.write()

    def write(self) -> None:
        """Write what was done."""
        done = {"kept": self.kept, "complete": self.kept >= self._settings["episodes"], **self._settings}
        write_json(self._out / PROGRESS, {**done, "commands": self._commands, "attempts": self.attempts})

    def _refuse_cut_short(self) -> None:
        """An episode whose run was killed ends anywhere, and readers would learn from it."""
        own = {attempt["folder"] for attempt in self.attempts}
        for file in sorted(self._out.glob(f"*/{EPISODE_FILE}")):
            if file.parent.name in own:
                continue
            try:
                judged = read_description(file.parent).get("success") is not None
            except DataError:
                judged = False
            if not judged:
                raise RunFolderError(
                    f"--resume: {file.parent}: was cut short when an earlier run ended; remove it first: "
                    f"rm -r {file.parent}"
                )


def refuse_demonstrations(out: Path) -> None:
    """Refuse a new run where episodes lie already: the same seeds would stand there twice.

    Raises:
        RunFolderError: says how to go on with them.
    """
    go_on = f"Go on with them: mivla demos --resume --out {out}. " if (out / PROGRESS).is_file() else ""
    refuse_results(out, RESULTS, f"{go_on}New ones: another --out")
