"""The whole way of docs/demonstrate.md, at a small size: record, check, fine-tune, trials."""

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mivla_bringup.cli import main
from mivla_bringup.record.progress import good_episodes
from mivla_bringup.record.rehearsal import rehearse

pytestmark = pytest.mark.paced

BASE = Path(__file__).parents[2] / "models" / "mivla_small"


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Two episodes with one discarded between them, from a terminal, scripted keys and a scripted leader."""
    out = tmp_path_factory.mktemp("recorded") / "my episodes"
    asked = argparse.Namespace(
        robot="piper",
        task="move_bottle_onto_pad",
        episodes=2,
        discards=1,
        redo=0,
        kill=0,
        full=0,
        wiggle=True,
        images="h264",
        out=out,
    )
    return out, rehearse(asked)


def test_a_session_keeps_what_was_shown_and_nothing_that_was_discarded(session):
    """Every command of the leader is in its episode."""
    out, problems = session
    assert problems == []
    episodes = good_episodes(out)
    assert {description["judged_by"] for _, description in episodes} == {"operator"}
    assert {description["video"]["codec"] for _, description in episodes} == {"h264"}
    assert (out / "foxglove.json").is_file()
    folders = {path.parent.name for path in out.glob("*/episode.json")}
    assert folders == {folder.name for folder, _ in episodes}
    assert len(json.loads((out / "record.json").read_text())["skipped"]) == 1


@pytest.mark.timeout(300)
def test_what_was_recorded_becomes_a_policy_with_no_step_between(session, tmp_path, capsys):
    out, _ = session
    assert main(["dataset", "check", str(out)]) == 0
    assert "2 of 2 episodes can be used" in capsys.readouterr().out
    training = ["--base", str(BASE), "--steps", "1", "--batch-size", "2", "--out", str(tmp_path / "policy")]
    assert main(["finetune", "--data", str(out), *training]) == 0
    assert " of 2 demonstrations" in capsys.readouterr().out
    trial = ["--policy", str(tmp_path / "policy"), "--trials", "1", "--time-limit", "1", "--out"]
    done = subprocess.run(
        [sys.executable, "-m", "mivla_bringup.cli", "trials", *trial, str(tmp_path / "my trials")],
        env={name: value for name, value in os.environ.items() if not name.startswith("ROS_")},
        capture_output=True,
        text=True,
        timeout=270,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = csv.DictReader((tmp_path / "my trials" / "trials.csv").open())
    assert float(row["chunk_age_ms"]) > 0  # the policy looked, and was followed
