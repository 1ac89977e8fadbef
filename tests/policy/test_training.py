"""Training: what it learns, that it resumes to the same loss, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mivla_drivers.contract import load_contract
from mivla_drivers.errors import DataError
from mivla_policy.data.encoded import EncodedFrames, EpisodeFrames, concatenate, encode_episodes
from mivla_policy.data.generate import generate, load
from mivla_policy.data.sources import generated_episodes
from mivla_policy.model.config import ModelConfig, mivla_small, with_decoder
from mivla_policy.model.mivla import Mivla
from mivla_policy.normalisation import Statistics
from mivla_policy.training.train import FrameSampler, TrainConfig, schedule, train

CONTRACT = load_contract("piper")
TEXT = "Move the bottle onto the pad."


def tiny() -> ModelConfig:
    return with_decoder(mivla_small(), width=32, blocks=1, heads=2, kv_heads=1, feed_forward_multiple=8)


def frames(count: int = 64) -> EncodedFrames:
    """Frames whose action follows from their state: all joints are to move by a tenth."""
    rng = np.random.default_rng(0)
    mask = np.zeros(76, dtype=bool)
    mask[CONTRACT.action_slots] = True
    state = np.zeros((count, 76), dtype=np.float32)
    state[:, mask] = rng.normal(size=(count, 7))
    actions = np.repeat(state[:, None] + 0.1 * mask, 16, axis=1).astype(np.float32)
    tokens = rng.normal(size=(count, 98, 112)).astype(np.float16)
    return EncodedFrames(tokens, state, actions, mask, np.zeros(count, dtype=int), (TEXT,))


def run(steps: int, out, **changes):
    data = frames()
    statistics = Statistics.of(data.state, data.mask, data.actions, data.mask)
    sampler = FrameSampler(data, statistics, {TEXT: np.ones((3, 384), dtype=np.float32)}, "cpu")
    torch.manual_seed(0)
    config = TrainConfig(steps=steps, batch_size=16, learning_rate=3e-3, warmup_steps=5, **changes)
    return train(Mivla(tiny()), sampler, config, out)


def test_the_loss_falls(tmp_path):
    log = run(200, tmp_path).log
    assert log[-1][1] < 0.6 * log[0][1]


def test_a_resumed_run_ends_at_the_loss_of_an_uninterrupted_one(tmp_path, monkeypatch):
    whole = run(60, tmp_path / "whole", save_every=1000)
    calls = {"left": 41}

    def interrupted(self, size, rng, original=FrameSampler.batch):
        calls["left"] -= 1
        if calls["left"] == 0:
            raise KeyboardInterrupt
        return original(self, size, rng)

    with monkeypatch.context() as patch:
        patch.setattr(FrameSampler, "batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(60, tmp_path / "cut", save_every=20)
    resumed = run(60, tmp_path / "cut", save_every=20)
    assert [row[0] for row in resumed.log] == [row[0] for row in whole.log]
    assert resumed.log[-1][1] == pytest.approx(whole.log[-1][1], abs=1e-6)
    for (name, a), (_, b) in zip(
        whole.model.named_parameters(), resumed.model.named_parameters(), strict=True
    ):
        assert torch.allclose(a, b, atol=1e-6), name


def test_the_log_is_written_for_people(tmp_path):
    run(21, tmp_path)
    lines = (tmp_path / "train_log.csv").read_text().splitlines()
    assert lines[0] == "step,loss,learning_rate"
    assert [line.split(",")[0] for line in lines[1:]] == ["0", "20"]


def test_a_training_without_a_step_is_refused():
    with pytest.raises(DataError, match="steps: expected at least 1, got 0"):
        TrainConfig(steps=0)


def test_the_learning_rate_warms_up_stays_and_cools_down():
    config = TrainConfig(steps=100, warmup_steps=10, cooldown_share=0.4)
    rates = [schedule(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:60] == [1.0] * 51
    assert rates[99] == pytest.approx(1 / 40)
    assert (np.diff(rates[60:]) < 0).all()


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    assert generate(folder, "piper", episodes=1, horizon=16, workers=1) == 0
    return folder


def test_generated_demonstrations_are_kept_on_a_second_run(generated):
    (path,) = generated.glob("episode_*.npz")
    before = path.stat().st_mtime_ns
    assert generate(generated, "piper", episodes=1, horizon=16, workers=1) == 0
    assert path.stat().st_mtime_ns == before


def test_a_generated_demonstration_pairs_each_image_with_the_targets_that_follow(generated):
    demonstration = load(next(generated.glob("episode_*.npz")))
    steps = len(demonstration.joints)
    assert demonstration.commands.shape == (steps, 16, 7)
    assert {view: len(images) for view, images in demonstration.images.items()} == {
        "front": steps,
        "left_wrist": steps,
    }
    ahead = np.abs(demonstration.commands[:-1, 0] - demonstration.joints[1:])[:, :6]
    assert np.median(ahead) < 0.05


def test_frames_are_encoded_once_and_read_back(generated, tmp_path):
    def tokeniser(images: np.ndarray) -> np.ndarray:
        return np.repeat(images.mean(axis=(1, 2))[:, None, :1], 49, axis=1).repeat(112, axis=2)

    count = encode_episodes(generated_episodes(generated, TEXT), CONTRACT, tokeniser, tmp_path)
    encoded = EncodedFrames.load(tmp_path)
    assert len(encoded) == count
    assert encoded.image_tokens.shape == (count, 98, 112)
    assert encoded.actions.shape == (count, 16, 76)
    assert set(np.nonzero(encoded.mask)[0]) == set(CONTRACT.action_slots) | set(CONTRACT.end_effector_slots)
    both = concatenate([encoded, encoded])
    assert len(both) == 2 * count
    assert both.instructions == (TEXT,)


def test_an_image_that_does_not_decode_is_refused(tmp_path):
    broken = EpisodeFrames(
        np.zeros((1, 7)), np.zeros((1, 16, 7)), {"front": [b"no jpeg"], "left_wrist": [b""]}, TEXT
    )
    with pytest.raises(DataError, match="expected JPEG bytes, got 7 bytes"):
        encode_episodes([broken], CONTRACT, lambda images: images, tmp_path)


def test_frames_that_were_never_encoded_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"expected encoded frames \(frames.json\), found none"):
        EncodedFrames.load(tmp_path)
