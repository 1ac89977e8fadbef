"""What runs on a CUDA device is what runs on a CPU: chunks, training and pre-training; skipped without one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from mutual_data import tiny_config, write_frames
from small_encoders import encoded_config, write_encoders
from small_models import plain_statistics, random_batch, small_config
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from mivla_drivers.contract import load_contract
from mivla_drivers.observation import Observation
from mivla_policy.benchmarks.random_weights import randomised
from mivla_policy.checkpoint import save_policy
from mivla_policy.data.encoded import EncodedFrames
from mivla_policy.data.mutual_frames import MutualFrames
from mivla_policy.model.cuda_graph import CudaGraph
from mivla_policy.model.mivla import Mivla
from mivla_policy.policies.mivla import load_mivla
from mivla_policy.training.mutual import MutualConfig
from mivla_policy.training.pretrain_mutual import pretrain
from mivla_policy.training.processes import process_group
from mivla_policy.training.train import FrameSampler, TrainConfig, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

PIPER = load_contract("piper")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_encoders(tmp_path_factory.mktemp("policy"))
    words = Tokenizer(WordLevel({"<unk>": 0, "a": 1, "b": 2}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    words.save(str(folder / "encoders/t5/tokenizer.json"))
    model = randomised(Mivla(encoded_config()), spread=0.2)
    save_policy(folder, model, PIPER, plain_statistics(), dtype=torch.float32)
    return folder


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return MutualFrames.load(write_frames(tmp_path_factory.mktemp("mutual")))


class TestCudaGraph:
    def test_it_gives_what_the_function_gives_for_these_inputs(self):
        weight = torch.randn(8, 8, device="cuda")
        graph = CudaGraph(lambda a, b: torch.tanh(a @ weight) + b)
        for rows in (3, 3, 5, 3):
            a, b = torch.randn(rows, 8, device="cuda"), torch.randn(rows, 8, device="cuda")
            torch.testing.assert_close(graph(a, b), torch.tanh(a @ weight) + b)

    def test_inputs_of_one_shape_are_captured_once(self):
        calls = []

        def double(a):
            calls.append(None)
            return 2 * a

        graph = CudaGraph(double)
        for _ in range(4):
            graph(torch.ones(2, device="cuda"))
        captured = len(calls)
        graph(torch.ones(2, device="cuda"))
        assert len(calls) == captured
        graph(torch.ones(3, device="cuda"))
        assert len(calls) == 2 * captured


class TestPolicy:
    def test_its_chunks_are_those_of_a_cpu_whatever_it_sees_and_is_told(self, folder):
        on_cpu, on_cuda = load_mivla(folder), load_mivla(folder, device="cuda")
        rng = np.random.default_rng(0)
        for words in ("a", "a", "a b", "a"):
            images = {
                c.view: rng.integers(256, size=(c.height, c.width, 3), dtype=np.uint8) for c in PIPER.cameras
            }
            seen = Observation(images, PIPER.home, words, 0.0)
            expected = on_cpu.infer(seen).positions
            found = on_cuda.infer(seen).positions
            np.testing.assert_allclose(found, expected, atol=2e-3)  # of 1 to 5; convolutions are TF32 there


class TestTraining:
    def test_a_loss_and_its_gradients_are_a_cpus(self):
        model = randomised(Mivla(small_config()), spread=0.2)
        batch, noise, t = random_batch(4), torch.randn(4, 16, 76), torch.rand(4)
        expected = model.loss(batch, noise, t)
        expected.backward()
        gradients = [p.grad.clone() for p in model.parameters()]
        model.zero_grad()
        model.to("cuda")
        found = model.loss(batch.to("cuda"), noise.to("cuda"), t.to("cuda"))
        found.backward()
        assert found.item() == pytest.approx(expected.item(), rel=1e-4)
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            torch.testing.assert_close(parameter.grad.cpu(), gradient, atol=1e-3, rtol=1e-2)

    def test_it_learns_frames_by_heart(self, tmp_path):
        torch.manual_seed(0)
        config = TrainConfig(steps=201, batch_size=32, warmup_steps=10, learning_rate=3e-3)
        log = train(Mivla(small_config(width=64)), sampler("cuda", count=2), config, tmp_path, "cuda").log
        assert log[0][1] == pytest.approx(2.0, rel=0.1)  # velocity zero: variance of actions and of noise
        assert np.mean([loss for _, loss, _ in log[-3:]]) < 0.7 * log[0][1]

    def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(self, tmp_path):
        torch.manual_seed(0)
        start = Mivla(small_config()).state_dict()

        def run(out, stop_after=None):
            model = Mivla(small_config())
            model.load_state_dict(start)
            frames = sampler("cuda")
            if stop_after is not None:
                frames = StopsAfter(frames, stop_after)
            return train(model, frames, TrainConfig(steps=30, batch_size=8, save_every=10), out, "cuda")

        whole = run(tmp_path / "whole")
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "stopped", stop_after=15)
        resumed = run(tmp_path / "stopped")
        assert [row[0] for row in resumed.log] == [row[0] for row in whole.log]
        for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
            torch.testing.assert_close(a, b, atol=2e-3, rtol=2e-2)


class TestPretraining:
    @pytest.mark.parametrize("precision", ["float32", "bf16"])
    def test_its_losses_are_a_cpus(self, frames, tmp_path, precision):
        config = MutualConfig(6, batch_size=8, precision="float32", warmup_steps=1, log_every=1)
        expected = pretrain(frames, config, tmp_path / "cpu").log
        with process_group("cuda") as processes:
            found = pretrain(frames, replace(config, precision=precision), tmp_path / "cuda", processes).log
        tolerance = 1e-4 if precision == "float32" else 2e-2
        assert [row[1] for row in found] == pytest.approx([row[1] for row in expected], rel=tolerance)

    def test_checkpointed_gradients_and_a_resumed_run_end_the_same(self, frames, tmp_path):
        saving = replace(frames, config=tiny_config(gradient_checkpointing=True))
        config = MutualConfig(6, batch_size=8, warmup_steps=1, log_every=1, save_every=2)
        with process_group("cuda") as processes:
            expected = pretrain(frames, config, tmp_path / "whole", processes).log
            pretrain(saving, replace(config, steps=4), tmp_path / "parts", processes)
            found = pretrain(saving, config, tmp_path / "parts", processes).log
        assert [row[1] for row in found] == pytest.approx([row[1] for row in expected], rel=1e-2)


def sampler(device, count=40):
    """`count` frames of noise for `small_config`."""
    rng, config = np.random.default_rng(0), small_config()
    tokens = (count, len(config.views) * config.tokens_per_view, config.image_width)
    frames = EncodedFrames(
        image_tokens=rng.standard_normal(tokens).astype(np.float16),
        state=rng.standard_normal((count, 76)).astype(np.float32),
        actions=rng.standard_normal((count, 16, 76)).astype(np.float32),
        mask=np.ones(76, dtype=bool),
        instruction=np.zeros(count, dtype=np.int64),
        instructions=("move it",),
    )
    words = {"move it": rng.standard_normal((2, 384)).astype(np.float32)}
    return FrameSampler(frames, plain_statistics(), words, device)


class StopsAfter:
    """A sampler that is interrupted after `count` batches."""

    def __init__(self, frames, count):
        self.frames, self.left = frames, count

    def batch(self, size, rng):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.frames.batch(size, rng)
