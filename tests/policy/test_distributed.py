"""Several processes train as one does, resume where they were, and say nothing beyond this machine."""

import json
import os
import signal
from dataclasses import replace
from unittest.mock import patch

import pytest
from mutual_data import tiny_config, write_frames
from rounding import FLOAT32

from mivla_drivers.errors import DataError
from mivla_policy.data.mutual_frames import MutualFrames
from mivla_policy.training import sharded
from mivla_policy.training.mutual import MutualConfig
from mivla_policy.training.pretrain_mutual import main, pretrain

STEPS = 4
RECIPE = {"learning_rate": 1e-3, "warmup_steps": 1, "log_every": 1, "save_every": 2, "precision": "float32"}
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = tiny_config(gradient_checkpointing=True)
    return write_frames(tmp_path_factory.mktemp("mutual"), config)


@pytest.fixture(scope="module")
def alone(folder, tmp_path_factory):
    """Losses of one process that draws all eight samples a step."""
    out = tmp_path_factory.mktemp("alone")
    return losses_of(pretrain(MutualFrames.load(folder), MutualConfig(STEPS, batch_size=8, **RECIPE), out))


def losses_of(progress):
    return [row[1] for row in progress.log]


def start_two(*words):
    """Exit code of two processes; what starts them here leaves variables and signal handlers behind."""
    handlers = {number: signal.getsignal(number) for number in HANDLED}
    try:
        with patch.dict(os.environ):
            return main(["--processes", "2", *words])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def run_two(folder, out, sharding, steps):
    """Two processes that draw four samples each; returns the losses in their newest checkpoint."""
    options = {"frames": folder, "out": out, "sharding": sharding, "steps": steps, "batch-size": 4}
    options |= {name.replace("_", "-"): value for name, value in RECIPE.items()}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    assert start_two(*words) == 0
    newest = sorted((out / sharded.FOLDER).iterdir())[-1]
    return [row[1] for row in json.loads((newest / sharded.PROGRESS).read_text())["log"]]


def test_two_processes_with_copies_have_the_losses_of_one(folder, alone, tmp_path):
    assert run_two(folder, tmp_path, "ddp", STEPS) == pytest.approx(alone, rel=FLOAT32)


def test_two_processes_with_shares_have_the_losses_of_one_also_when_resumed(folder, alone, tmp_path):
    assert run_two(folder, tmp_path, "fsdp", 2) == pytest.approx(alone[:2], rel=FLOAT32)
    shares = list((tmp_path / sharded.FOLDER / "step_0000002").glob("*.distcp"))
    assert len(shares) == 2
    # The second half by one process: a checkpoint does not depend on how many wrote it.
    config = MutualConfig(STEPS, batch_size=8, **RECIPE)
    rest = pretrain(MutualFrames.load(folder), config, tmp_path)
    assert losses_of(rest) == pytest.approx(alone, rel=FLOAT32)


def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(folder, alone, tmp_path, monkeypatch):
    frames, config = MutualFrames.load(folder), MutualConfig(STEPS, batch_size=8, **RECIPE)
    original = sharded.save

    def killed(out, trained, optimiser, progress, *rest):
        original(out, trained, optimiser, progress, *rest)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sharded, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain(frames, config, tmp_path)
    assert losses_of(pretrain(frames, config, tmp_path)) == pytest.approx(alone, abs=1e-6)


def test_a_checkpoint_that_is_not_whole_is_passed_over(folder, alone, tmp_path):
    frames = MutualFrames.load(folder)
    pretrain(frames, MutualConfig(2, batch_size=8, **RECIPE), tmp_path)
    (tmp_path / sharded.FOLDER / "step_0000003.part").mkdir()
    rest = pretrain(frames, MutualConfig(STEPS, batch_size=8, **RECIPE), tmp_path)
    assert losses_of(rest) == pytest.approx(alone, abs=1e-6)


def test_what_two_processes_cannot_do_is_said_without_a_traceback(tmp_path, capfd):
    assert start_two("--frames", str(tmp_path), "--out", str(tmp_path / "out"), "--steps", "1") == 2
    said = capfd.readouterr().err
    assert "expected encoded frames (frames.json), found none" in said
    assert "Traceback" not in said


def test_other_data_do_not_take_up_a_checkpoint(folder, tmp_path):
    frames = MutualFrames.load(folder)
    pretrain(frames, MutualConfig(1, batch_size=8, **RECIPE), tmp_path)
    other = replace(frames, actions=frames.actions + 1.0)
    with pytest.raises(DataError, match=r"'frames': '22 frames of 2 demonstrations, \w+'"):
        pretrain(other, MutualConfig(2, batch_size=8, **RECIPE), tmp_path)


def test_another_recipe_does_not_take_up_a_checkpoint(folder, tmp_path):
    frames = MutualFrames.load(folder)
    pretrain(frames, MutualConfig(1, batch_size=8, **RECIPE), tmp_path)
    with pytest.raises(DataError, match=r"with \{'samples_a_step': 4\}, found \{'samples_a_step': 8\}"):
        pretrain(frames, MutualConfig(2, batch_size=4, **RECIPE), tmp_path)
