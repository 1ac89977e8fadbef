"""Where a policy's folder is: at a path, or among those that this project ships."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from mivla_drivers.errors import DataError

DEFAULT_POLICY = "piper_move_bottle"
DEFAULT_BASE = "mivla_small"


def find_model(name: str | Path) -> Path:
    """The folder of a policy: the one at this path, or the shipped one of this name.

    Raises:
        DataError: there is neither; names those that are shipped.
    """
    path = Path(name).expanduser()
    if str(name) and path.is_dir():
        return path
    shipped = {file.parent.name: file.parent for place in _places() for file in place.glob("*/config.json")}
    if str(name) in shipped:
        return shipped[str(name)]
    raise DataError(
        f"{str(name) or 'no name'}: expected a policy's folder or one of {sorted(shipped)}, found none in {Path.cwd()}"
    )


def _places() -> Iterator[Path]:
    """Folders of shipped models, the first that a name is looked up in last."""
    yield Path(sys.prefix) / "share" / "mivla_policy" / "models"  # installed with pip
    for prefix in reversed(os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):  # built with colcon
        if prefix:
            yield Path(prefix) / "share" / "mivla_policy" / "models"
    yield Path(__file__).resolve().parents[1] / "models"  # a clone's own
