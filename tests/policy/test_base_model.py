"""The report on mivla_base, at tiny sizes, and policies in bfloat16."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import plain_statistics, small_model

from mivla_drivers.contract import load_contract
from mivla_drivers.observation import Observation
from mivla_policy.benchmarks.base_model import BaseModelRun, table
from mivla_policy.benchmarks.operations import random_batch
from mivla_policy.benchmarks.random_weights import on_meta, parameters, random_net, randomised
from mivla_policy.checkpoint import save_policy
from mivla_policy.model.config import mivla_base, with_decoder
from mivla_policy.model.foundation import random_t5
from mivla_policy.model.mivla import Mivla
from mivla_policy.policies.mivla import load_mivla

TINY = replace(
    with_decoder(mivla_base(), width=64, blocks=2, heads=4, kv_heads=2, feed_forward_multiple=32),
    image_width=32,
    language_width=24,
)
VISION = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = {"d_model": 24, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "vocab_size": 64}
PARTS = ["DINOv2", "SigLIP", "T5 encoder", "projections, state and action MLPs", "decoder"]
PIPER = load_contract("piper")


def run(memory_gib: float):
    return BaseModelRun(TINY, torch.bfloat16, memory_gib, VISION, TEXT).run()


def test_a_chunk_is_run_part_by_part():
    report = run(memory_gib=8.0)
    assert [part.name for part in report.parts] == PARTS
    assert report.chunk_shape == (1, 16, 76)
    assert report.peak_gib > 0
    whole = on_meta(lambda: Mivla(TINY))
    assert sum(part.parameters for part in report.parts[3:]) == parameters(whole)
    assert any(step.name.startswith("T5 encoder") for step in report.steps)


def test_a_text_encoder_that_does_not_fit_is_counted_and_said_not_to_have_run():
    report = run(memory_gib=0.1)
    text = report.parts[2]
    assert text.parameters == run(memory_gib=8.0).parts[2].parameters
    assert text.note.startswith("NOT RUN")
    assert "NOT RUN" in table(report)
    assert not any(step.name.startswith("T5") for step in report.steps)
    assert report.chunk_shape == (1, 16, 76)


def test_random_weights_are_held_once():
    encoder = random_net(lambda: random_t5(**TEXT), dtype=torch.bfloat16)
    assert parameters(encoder) == parameters(on_meta(lambda: random_t5(**TEXT)))
    assert {p.dtype for p in encoder.parameters()} == {torch.bfloat16}


def test_the_paper_size_is_two_billion_parameters_beside_the_encoders():
    assert parameters(on_meta(lambda: Mivla(mivla_base()))) == pytest.approx(2.06e9, rel=0.01)


@pytest.fixture
def observation():
    rng = np.random.default_rng(0)
    images = {c.view: rng.integers(0, 256, (c.height, c.width, 3), dtype=np.uint8) for c in PIPER.cameras}
    return Observation(images, PIPER.home, "move the bottle onto the pad", 12.0)


def test_a_policy_in_bfloat16_says_nearly_what_one_in_float32_says(tmp_path, monkeypatch, observation):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    save_policy(tmp_path / "policy", small_model(), PIPER, plain_statistics())
    exact = load_mivla(tmp_path / "policy").infer(observation).positions
    rounded = load_mivla(tmp_path / "policy", dtype=torch.bfloat16).infer(observation).positions
    assert np.isfinite(rounded).all()
    assert not np.array_equal(rounded, exact)
    np.testing.assert_allclose(rounded, exact, atol=0.03 * np.abs(exact).max())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_flow_steps_add_up_in_float32(dtype):
    model = small_model().to(dtype)
    batch = random_batch(model.config, 1, 6, "cpu", dtype)
    chunk = model.sample(batch, torch.randn(1, 16, 76).to(dtype))
    assert chunk.dtype == torch.float32


def test_large_tensors_are_random_too():
    layer = randomised(torch.nn.Linear(4096, 1100, bias=False), spread=0.1)  # more than is drawn at once
    assert layer.weight.std().item() == pytest.approx(0.1, rel=0.01)
    assert len(torch.unique(layer.weight[:, :2], dim=0)) == 1100
