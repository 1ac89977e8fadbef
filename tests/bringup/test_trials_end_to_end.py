"""One trial of the shipped policy through ROS, CAN and the real piper_sdk; only the cable is emulated."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.realtime

COMMAND = (sys.executable, "-m", "mivla_bringup.cli", "trials")


@pytest.mark.timeout(180)
def test_the_shipped_policy_runs_a_trial_and_its_results_are_stored(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROS_")}
    done = subprocess.run(
        [*COMMAND, "--trials", "1", "--seed", "2000", "--time-limit", "20", "--out", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "launch.log").read_text()
    (row,) = csv.DictReader((tmp_path / "trials.csv").open())
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert row["seed"] == "2000"
    assert (summary["n"], summary["seed"], summary["mode"]) == (1, 2000, "easy")
    assert summary["success_rate"] == float(row["success"])
    # Whatever the trial came to, the arm moved because of the policy: the front view has changed.
    outcome = "success" if row["success"] == "1" else "failure"
    first, *_, last = frames(tmp_path / f"trial_000_seed_2000_{outcome}.webm")
    assert np.abs(first[:300, :320].astype(int) - last[:300, :320]).mean() > 1.0
    # A warning in a normal run would hide the one that means something. Feedback and a world that come late because
    # the machine is busy with something else are worth theirs.
    log = (tmp_path / "launch.log").read_text().splitlines()
    warnings = [line for line in log if re.search(r"WARN|ERROR|FATAL|Traceback|mivla: ", line)]
    assert [line for line in warnings if not re.search(r"feedback is \d+ ms old|runs slow", line)] == []
    assert (row["starved"], row["refused"]) == ("0", "0")
    assert int(row["warnings"]) <= len(warnings)  # of the trial, and of the whole run
    assert all(value is not None for value in summary["timing"].values()), summary["timing"]
    assert bool(summary["overloaded"]) == (row["overloaded"] == "1") == ("MACHINE TOO SLOW" in done.stdout)
    assert [line for line in done.stderr.splitlines() if not line.startswith("pybullet build time")] == []
    assert summary["complete"]


def frames(path) -> list[np.ndarray]:
    """All images of a video, (H, W, 3) uint8 bgr."""
    video, found = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        found.append(read[1])
    return found
