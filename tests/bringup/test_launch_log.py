"""The bringup's log during trials: nothing is lost, and what warns is counted."""

from __future__ import annotations

import pytest

from mivla_bringup.trials.launch_log import LaunchLog

QUIET = (
    "[driver-2] [INFO] [1.5] [piper.driver]: active: waiting for the first chunk of policy, the arm holds",
    "[policy-3] pybullet build time: Jan 29 2025",
)


@pytest.mark.parametrize(
    "line",
    [
        "[driver-2] [WARN] [1.5] [piper.driver]: active: nothing to play from policy",
        "[policy-3] [ERROR] [1.5] [piper.policy]: no",
        "[driver-2] mivla: piper: cannot open can0",
        "[policy-3] Traceback (most recent call last):",
    ],
)
def test_a_line_that_warns_is_counted(tmp_path, line):
    with LaunchLog(tmp_path / "launch.log", "mivla trials") as log:
        for said in (*QUIET, line):
            log.write(said)
        assert log.warnings == 1
    assert (tmp_path / "launch.log").read_text().splitlines() == ["# mivla trials", *QUIET, line]


def test_a_run_that_goes_on_keeps_what_was_logged_before(tmp_path):
    for title in ("first", "second"):
        with LaunchLog(tmp_path / "launch.log", title) as log:
            log.write(title)
    assert (tmp_path / "launch.log").read_text().splitlines() == ["# first", "first", "# second", "second"]


def test_what_is_said_after_the_end_is_lost_without_an_error(tmp_path):
    with LaunchLog(tmp_path / "launch.log", "run") as log:
        pass
    log.write("late")
    assert "late" not in (tmp_path / "launch.log").read_text()
