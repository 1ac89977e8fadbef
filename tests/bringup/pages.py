"""Following a page of docs/ literally: its code blocks, and its commands in a folder of their own."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from mivla_bringup import cli

CLONE = Path(__file__).parents[2]


class Page:
    """One page of docs/."""

    def __init__(self, name: str) -> None:
        self.text = (CLONE / "docs" / name).read_text()

    def blocks(self, language: str) -> list[str]:
        """The code blocks of a language, in order; "" is those without one."""
        found = re.findall(r"```(\w*)\n(.*?)```", self.text, re.DOTALL)
        return [text for named, text in found if named == language]


def follow(line: str, folder: Path) -> str:
    """What a `mivla` command prints in `folder`; it must succeed.

    What trains does so in this process, whose libraries are loaded; what starts a ROS graph has one of its own.
    """
    words = shlex.split(line)[1:]
    if words[0] == "finetune":
        printed = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
            assert cli.main(words) == 0
        return printed.getvalue()
    done = subprocess.run(
        [sys.executable, "-m", "mivla_bringup.cli", *words],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("ROS_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
