"""What a recording session has done: read from the episodes themselves, so that a killed one cannot miscount."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mivla_bringup.run_folder import read_json, refuse_results, require_same_settings, write_json
from mivla_bringup.trials.provenance import command_line
from mivla_drivers.errors import DataError
from mivla_drivers.recording.judgement import SUCCESS, judgement_of
from mivla_drivers.recording.layout import EPISODE_FILE, read_description

PROGRESS = "record.json"
FREE = ("episodes", "images")  # more may be recorded later, and stored in another way


def good_episodes(out: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Finished, judged a success, and usable: folders and descriptions, by name."""
    found = []
    for file in sorted(out.glob(f"*/{EPISODE_FILE}")):
        try:
            description = read_description(file.parent)
        except DataError:
            continue
        whole = description.get("complete") and not description.get("unusable")
        if whole and judgement_of(description) == SUCCESS:
            found.append((file.parent, description))
    return found


class RecordProgress:
    """Which scenes are done; settings on disk, before anything moves.

    Attributes:
        skipped: seeds of scenes that an operator does not want.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self.out = out
        self.skipped: list[int] = []
        self._settings = dict(settings)
        self._commands = [command_line()]

    def begin(self, resume: bool) -> None:
        """Take over what an earlier session left, or refuse to mix with one.

        Raises:
            RunFolderError: there is none to resume, it had other settings, or a new session found episodes.
        """
        if not resume:
            go_on = f"Go on: mivla record --resume --out {self.out}. New ones: another --out"
            refuse_results(self.out, (f"*/{EPISODE_FILE}",), go_on)
        else:
            document = read_json(self.out / PROGRESS)
            fixed = {name: value for name, value in self._settings.items() if name not in FREE}
            require_same_settings(self.out, document, fixed)
            self.skipped = [int(seed) for seed in document.get("skipped", [])]
            self._commands = [*document.get("commands", []), *self._commands]
        self.write()

    @property
    def good(self) -> int:
        """Episodes that can be learned from."""
        return len(good_episodes(self.out))

    def next_seed(self) -> int:
        """The first scene that is neither recorded nor skipped."""
        done = {description.get("seed") for _, description in good_episodes(self.out)} | set(self.skipped)
        seed = int(self._settings["seed"])
        while seed in done:
            seed += 1
        return seed

    def skip(self, seed: int | None) -> None:
        """Do not set up this scene again."""
        if seed is not None:
            self.skipped.append(seed)
            self.write()

    def write(self) -> None:
        """Write the settings and what is skipped; what is recorded stands in the episodes."""
        document = {**self._settings, "skipped": self.skipped, "commands": self._commands}
        write_json(self.out / PROGRESS, document)
