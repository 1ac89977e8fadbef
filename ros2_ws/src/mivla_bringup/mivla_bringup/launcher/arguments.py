"""The arguments that a launch file takes, its included files' with them; starts nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mivla_bringup.launcher.checks import read_checked
from mivla_bringup.launcher.document import Element, LaunchError, actions
from mivla_bringup.launcher.packages import find_share
from mivla_bringup.launcher.substitutions import Substitutions

LONGEST_INCLUDE_CHAIN = 16


@dataclass(frozen=True)
class Argument:
    """An argument that a launch file declares; `default` is None where one must be given."""

    name: str
    default: str | None
    description: str


def argument_of(element: Element) -> Argument:
    """The argument that an `arg` action declares.

    Raises:
        LaunchError: it has no name, or a value is no scalar.
    """
    return Argument(element.required("name"), element.text("default"), element.text("description") or "")


def declared_arguments(path: Path) -> list[Argument]:
    """The arguments of a launch file and of those it includes, in order, defaults as they are written.

    As `ros2 launch --show-args` does, it leaves out files whose name hangs on an argument.

    Raises:
        LaunchError: a file cannot be read, or includes itself.
    """
    found: dict[str, Argument] = {}
    for element in _actions(path, 1):
        if element.kind == "arg":
            argument = argument_of(element)
            found.setdefault(argument.name, argument)
    return list(found.values())


def require_end(path: Path, depth: int) -> None:
    """Refuse `path` where it stands deeper in includes than any file that does not include itself.

    Raises:
        LaunchError: names the file.
    """
    if depth > LONGEST_INCLUDE_CHAIN:
        raise LaunchError(f"{path}: includes itself, or stands {LONGEST_INCLUDE_CHAIN} includes deep")


def _actions(path: Path, depth: int) -> Iterator[Element]:
    """Every action of a file, of its groups and of the files it includes, conditions aside."""
    require_end(path, depth)
    waiting = read_checked(path)
    while waiting:
        element = waiting.pop(0)
        yield element
        if element.kind == "group" and "children" in element.fields:
            waiting = actions(element.fields["children"], "group", path) + waiting
        included = _included(element) if element.kind == "include" else None
        if included is not None:
            yield from _actions(included, depth + 1)


def _included(element: Element) -> Path | None:
    """The file that an `include` names, None where only a run knows it."""
    try:
        file = Substitutions({}, os.environ, find_share).apply(element.required("file"))
    except LaunchError:  # a launch with arguments says what is wrong, or finds the file
        return None
    return Path(file)
