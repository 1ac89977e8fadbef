"""`mivla trials` from start to table against a fake PiPER, which reaches sub-tasks by the clock."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path

import psutil
import pytest

from mivla_bringup import cli
from mivla_bringup.commands import trials
from mivla_bringup.launcher.plan import Plan, ProcessSpec
from mivla_bringup.trials import session

FAKE = str(Path(__file__).with_name("fake_piper.py"))


@pytest.fixture
def run_trials(tmp_path, monkeypatch, capsys):
    """Runs `mivla trials` with a fake PiPER of a mood; exit code, folder of results, stdout and stderr."""

    def run(mood: str, *words: str):
        spec = ProcessSpec("fake", (sys.executable, FAKE, mood))
        monkeypatch.setattr(trials, "plan_launch", lambda *_: Plan((spec,), ()))
        out = tmp_path / "out"
        code = cli.main(["trials", "--policy", str(tmp_path), "--out", str(out), "--seed", "50", *words])
        left = [p for p in psutil.Process().children(recursive=True) if FAKE in " ".join(p.cmdline())]
        assert left == []
        return code, out, capsys.readouterr()

    # What the command sets is for its own process; here that is the whole test run.
    for name in ("ROS_DOMAIN_ID", *trials.network.ros_environment()):
        monkeypatch.setenv(name, os.environ.get(name, "77"))
    return run


def test_successful_trials_are_measured_filmed_and_stored(run_trials):
    code, out, printed = run_trials("able", "--trials", "2")
    assert code == 0
    rows = list(csv.DictReader((out / "trials.csv").open()))
    assert [row["seed"] for row in rows] == ["50", "51"]
    assert [row["success"] for row in rows] == ["1", "1"]
    assert all(1.8 < float(row["time_s"]) < 4.0 for row in rows)
    assert sorted(file.name for file in out.glob("*.webm")) == ["trial_000.webm", "trial_001.webm"]
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["n"], summary["success_rate"], summary["completeness"]) == (2, 1.0, 1.0)
    assert (summary["seed"], summary["mode"]) == (50, "easy")
    assert "100.0 %" in printed.out
    assert "trial 2/2  seed 51" in printed.out


def test_a_trial_ends_at_its_time_limit(run_trials):
    code, out, _ = run_trials("lazy", "--trials", "1", "--time-limit", "1.5")
    assert code == 0
    (row,) = csv.DictReader((out / "trials.csv").open())
    assert (row["success"], row["completeness"], row["time_s"]) == ("0", "0.2500", "1.500")


@pytest.mark.parametrize(
    ("mood", "words", "expected"),
    [
        ("mortal", [], ["fake-1 (exit code 9)", "the world has ended"]),
        ("mute", [], ["policy: silent for"]),
        ("stubborn", [], ["driver/home: refused", "the motors have no power"]),
        ("able", ["--mode", "hard"], ["simulator/reset: seed 50, mode hard: no hard mode here"]),
    ],
)
def test_a_broken_bringup_is_an_error_and_no_result_not_even_an_earlier_one(
    run_trials, tmp_path, monkeypatch, mood, words, expected
):
    earlier = tmp_path / "out"
    earlier.mkdir()
    for name in ("summary.json", "trials.csv", "trial_007.webm"):
        (earlier / name).touch()
    monkeypatch.setattr(session, "HOME_S", 1.0)
    monkeypatch.setitem(session.SILENCE_S, "policy", 1.0)
    code, out, printed = run_trials(mood, "--trials", "1", *words)
    assert code == 2
    assert [file.name for file in out.iterdir()] == ["launch.log"]
    for text in expected:
        assert text in printed.err
