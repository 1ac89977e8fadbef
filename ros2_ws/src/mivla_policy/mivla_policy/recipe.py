"""What a run is made with: its continuation must be made with the same, and must not write over where it began."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mivla_drivers.errors import DataError


def require_same_recipe(where: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to go on with what lies at `where`, made with `found`, in a run that is made with `wanted`.

    A value that one of them leaves out counts as None there.

    Raises:
        DataError: names the values that differ, and what to do.
    """
    other = [name for name in sorted(found.keys() | wanted.keys()) if found.get(name) != wanted.get(name)]
    if other:
        expected, got = ({name: values.get(name) for name in other} for values in (wanted, found))
        raise DataError(
            f"{where}: expected what this run left, with {expected}, found {got}; "
            "set them as they were, choose another folder, or delete this to start anew"
        )


def require_another_folder(out: Path, base: Path | None) -> None:
    """Refuse a run that would write over the policy that it starts from.

    Raises:
        DataError: both are one folder.
    """
    if base is not None and out.resolve() == base.resolve():
        raise DataError(f"{out}: expected another folder than the base's, which would be overwritten")
