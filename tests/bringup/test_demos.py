"""What `mivla demos` keeps of a run, when it goes on with it, and what it refuses."""

from __future__ import annotations

import json

import pytest

from mivla_bringup import cli
from mivla_bringup.demos.progress import DemonstrationProgress
from mivla_bringup.demos.session import RecorderRefused, saved
from mivla_bringup.trials.provenance import digest_of_contract
from mivla_drivers.contract import load_contract
from mivla_drivers.ros.client_node import CallRefused


@pytest.fixture
def out(tmp_path):
    """A run of three episodes that stopped after two attempts, one of them kept."""
    settings = {"robot": "piper", "task": "move_bottle_onto_pad", "episodes": 3, "seed": 7, "hard_every": 2}
    progress = DemonstrationProgress(
        tmp_path / "out", {**settings, "robot_sha256": digest_of_contract(load_contract("piper"))}
    )
    (tmp_path / "out").mkdir()
    progress.add(7, "easy", True, f"{tmp_path}/out/episode-1")
    progress.add(8, "hard", False, "")
    episode(tmp_path / "out" / "episode-1", success=True)
    return tmp_path / "out"


def episode(folder, success):
    folder.mkdir()
    (folder / "episode.json").write_text(json.dumps({"format": 1, "success": success}))


def listed(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_every_attempt_is_written_at_once(out):
    found = json.loads((out / "demos.json").read_text())
    assert (found["kept"], found["complete"], found["seed"]) == (1, False, 7)
    first = {"seed": 7, "mode": "easy", "success": True, "folder": "episode-1", "overload": []}
    assert found["attempts"][0] == first


def test_a_folder_with_episodes_is_refused_and_stays_as_it_was(out, capsys):
    before = listed(out)
    assert cli.main(["demos", "--out", str(out)]) == 2
    assert f"Go on with them: mivla demos --resume --out {out}" in capsys.readouterr().err
    assert listed(out) == before


def test_episodes_of_a_teleoperator_are_refused_too(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    episode(tmp_path / "out" / "episode-1", success=None)
    assert cli.main(["demos", "--out", str(tmp_path / "out")]) == 2
    assert "never overwritten" in capsys.readouterr().err


def test_a_run_does_not_go_on_with_other_seeds(out, capsys):
    assert cli.main(["demos", "--resume", "--out", str(out), "--seed", "8"]) == 2
    assert "seed 7, not 8" in capsys.readouterr().err


def test_an_episode_that_was_cut_short_stops_the_run_from_going_on(out, capsys):
    episode(out / "episode-2", success=None)
    assert cli.main(["demos", "--resume", "--out", str(out)]) == 2
    assert f"rm -r {out / 'episode-2'}" in capsys.readouterr().err


def test_a_run_that_has_all_its_episodes_starts_nothing(out, capsys):
    assert cli.main(["demos", "--resume", "--out", str(out), "--episodes", "1"]) == 0
    assert "1 demonstrations of 2 attempts" in capsys.readouterr().out


class Recorder:
    """A recorder's answer to a save."""

    def __init__(self, answer):
        self._answer = answer

    def save(self):
        raise CallRefused(self._answer)


def test_an_episode_that_no_one_can_learn_from_is_removed_and_the_run_goes_on(tmp_path):
    episode(tmp_path / "episode-1", success=True)
    found = "problem: front: 1 gaps, the longest 0.35 s\nverdict: front: 0.35 s without a message"
    success, word = saved(Recorder(f"{tmp_path / 'episode-1'}\n{found}\njudgement: success"))
    assert not success
    assert "0.35 s without a message" in word
    assert not (tmp_path / "episode-1").exists()


def test_an_episode_that_was_not_saved_ends_the_run(tmp_path):
    with pytest.raises(RecorderRefused, match="recorder/save: expected an episode under way"):
        saved(Recorder("expected an episode under way, found none: call ~/start first"))
