"""Where processes of one user find each other: sockets, locks, and what the home folder cannot take."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mivla_drivers.errors import HardwareError


def runtime_folder() -> Path:
    """`$XDG_RUNTIME_DIR/mivla`, or `/tmp/mivla-UID` where that folder is missing or another user's.

    It is made with mode 0700 where it is missing.

    Raises:
        HardwareError: it cannot be made, or is not this user's alone.
    """
    folder = _parent() or Path(f"/tmp/mivla-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise HardwareError(
            f"{folder}: expected a folder that user {os.getuid()} can make, got: {error.strerror}. "
            "Set XDG_RUNTIME_DIR to a folder of this user."
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise HardwareError(
            f"{folder}: expected a folder of user {os.getuid()} with mode 0700, "
            f"got owner {found.st_uid}, mode {stat.filemode(found.st_mode)}. "
            "Remove it, or set XDG_RUNTIME_DIR to a folder of this user."
        )
    return folder


def _parent() -> Path | None:
    """`$XDG_RUNTIME_DIR/mivla`; None where the variable names no folder of this user (`sudo` and `su` keep it)."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    try:
        owner = os.stat(runtime).st_uid if os.path.isdir(runtime) else None
    except OSError:
        return None
    return Path(runtime) / "mivla" if owner == os.getuid() else None
