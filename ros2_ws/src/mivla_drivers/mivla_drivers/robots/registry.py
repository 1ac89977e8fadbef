"""Robots by name: the folders beside this file."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PACKAGE = __package__
CONTRACT = "robot.yaml"
OPTIONS = "options"


def names() -> list[str]:
    """Names of all robots that come with the packages."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{CONTRACT}"))


def folder_of(name: str) -> Path:
    """Where the robot of this name is, or would be."""
    return FOLDER / name


def options_of(backend: str) -> Any:
    """The class of a backend's options, or None where no robot here has this backend."""
    if not (FOLDER / backend / f"{OPTIONS}.py").is_file():
        return None
    return import_module(f"{PACKAGE}.{backend}.{OPTIONS}").BackendOptions
