"""One thread a process, in tests and in what they start.

The tests' models are too small for two threads to share, and threads that wait for each other take the
processor from the control loops, cameras and clocks that other processes keep at the same time.
"""

from __future__ import annotations

import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

# Under nohup, or in a script's background, these are ignored, and what tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
for ending in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(ending, signal.SIG_DFL)


WHOLE_FILE = re.compile(r"^pytestmark = pytest\.mark\.(paced|realtime)$", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files unread that cannot hold what `-m` asks for: reading them all takes as long as many tests."""
    if not (collection_path.name.startswith("test_") and collection_path.suffix == ".py"):
        return None
    wanted = config.option.markexpr
    if asked := re.match(r"(paced|realtime)\b(?! or )", wanted):
        return f"pytest.mark.{asked[1]}" not in collection_path.read_text() or None
    if wanted == "not realtime and not paced":
        return bool(WHOLE_FILE.search(collection_path.read_text())) or None
    return None


@pytest.fixture(scope="module")
def graph() -> Iterator[int]:
    """A ROS graph that nobody else hears, for this process and those it starts: its domain."""
    from mivla_drivers.ros import network  # not every test's environment has it

    with network.claimed_domain() as domain_id, pytest.MonkeyPatch.context() as patch:
        for name, value in network.ros_environment(domain_id).items():
            patch.setenv(name, value)
        yield domain_id


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """A folder for sockets, whose paths may have 107 bytes: `tmp_path` is longer where tests run side by side."""
    with tempfile.TemporaryDirectory(prefix="mivla-") as folder:
        yield Path(folder)
