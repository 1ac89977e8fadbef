"""Types of command-line values: each refuses what no run could start with."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Number = TypeVar("Number", int, float)


def positive(kind: type[Number]) -> Callable[[str], Number]:
    """A finite number above 0."""
    return _checked(kind, lambda value: value > 0, "a number above 0")


def not_negative(kind: type[Number]) -> Callable[[str], Number]:
    """A finite number of at least 0."""
    return _checked(kind, lambda value: value >= 0, "a number of at least 0")


def folder(text: str) -> Path:
    """A folder's path; not an empty one, such as of a shell variable that is not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a folder, got an empty name")
    return Path(text)


def _checked(kind: type[Number], holds: Callable[[Number], bool], expected: str) -> Callable[[str], Number]:
    whole = "whole " if kind is int else ""

    def parse(text: str) -> Number:
        try:
            value = kind(text)
        except ValueError:
            value = kind(-1)
        if not (math.isfinite(value) and holds(value)):
            raise argparse.ArgumentTypeError(
                f"expected {expected.replace('number', whole + 'number')}, got {text}"
            )
        return value

    return parse
