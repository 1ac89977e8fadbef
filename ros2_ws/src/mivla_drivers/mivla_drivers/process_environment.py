"""What every process needs before it prints or writes: a terminal that takes any character, folders it may write."""

from __future__ import annotations

import codecs
import io
import locale
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

from mivla_drivers.runtime_folder import runtime_folder

PLAIN = {"✓": "x", "·": "-", "…": "...", "°": " deg", "–": "-", "—": "-", "²": "^2", "×": "x", "µ": "u"}


def restart_in_utf8(module: str, words: Sequence[str]) -> None:
    """Start `module` again in Python's UTF-8 mode where the locale has another encoding.

    All files here are UTF-8, and `open` believes the locale. The terminal keeps the locale's encoding.
    """
    if sys.flags.utf8_mode or codecs.lookup(locale.getpreferredencoding(False)).name == "utf-8":
        return
    terminal = getattr(sys.stdout, "encoding", None) or "ascii"
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONIOENCODING": terminal}
    os.execve(sys.executable, [sys.executable, "-m", module, *words], environment)


def prepare() -> None:
    """Make printing safe, and give logs and caches a place where the home folder cannot be written."""
    codecs.register_error("mivla.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "backslashreplace"):
            stream.reconfigure(errors="mivla.plain")
    # A child's output passes through pipes that are read as UTF-8; only this process knows the terminal.
    os.environ["PYTHONIOENCODING"] = "utf-8"
    _move_unwritable_folders()


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Stand-ins for what a terminal's encoding lacks: a run must not end at a tick mark."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(letter, "?") for letter in error.object[error.start : error.end]), error.end


def _move_unwritable_folders() -> None:
    """Point ROS, matplotlib and caches at the runtime folder, each only where its own cannot be written.

    Raises:
        HardwareError: there is no runtime folder either.
    """
    if not os.environ.get("HOME"):  # ROS looks nowhere else, not even for the user's entry in passwd
        os.environ.pop("HOME", None)
        os.environ["HOME"] = os.path.expanduser("~")
    home = Path(os.path.expanduser("~"))
    ros_home = Path(os.environ.get("ROS_HOME") or home / ".ros")
    usual = {
        "ROS_LOG_DIR": ros_home / "log",
        "MPLCONFIGDIR": Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "matplotlib",
        "XDG_CACHE_HOME": home / ".cache",
    }
    moved = [
        name for name, folder in usual.items() if not os.environ.get(name) and not _writable(folder, home)
    ]
    if not moved:
        return
    instead = runtime_folder()
    for name in moved:
        os.environ[name] = str(instead / name.lower())
        os.makedirs(os.environ[name], exist_ok=True)
    print(
        f"mivla: {', '.join(str(usual[name]) for name in moved)}: not writable by user {os.getuid()}, "
        f"so logs and caches go to {instead}",
        file=sys.stderr,
    )


def _writable(folder: Path, home: Path) -> bool:
    """Whether `folder` can be written, or made; a home that does not exist is not made."""
    try:
        if home in folder.parents and not home.is_dir():
            return False
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
    except OSError:  # a parent that this user may not even look into
        return False
    try:  # by trying: os.access allows root everything, also where nothing can be written, such as in /proc
        with TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
