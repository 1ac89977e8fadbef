"""The accelerator's measurements, run on a CPU at tiny sizes: what they count, and that they run."""

from __future__ import annotations

from dataclasses import replace

import measure as script
import pytest
import torch
from measure import Limits, Setting, measure

from mivla_bringup.bench.rows import Row
from mivla_bringup.bench.training import Training
from mivla_policy.benchmarks.operations import Work, encode_work, steps_work, training_operations
from mivla_policy.model.config import mivla_base, with_decoder

TINY = replace(
    with_decoder(mivla_base(), width=64, blocks=2, heads=4, kv_heads=2, feed_forward_multiple=32),
    image_width=32,
    language_width=24,
)
VISION = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = {"d_model": 24, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "vocab_size": 64}
SETTING = Setting(
    device="cpu",
    dtype=torch.float32,
    config=TINY,
    vision=VISION,
    text=TEXT,
    product=64,
    copy_mib=1,
    repeats=1,
    warm_up=0,
    trainings=(Training("mivla_small", batch=2, steps=1, memory_gib=0.5),),
)


def by_name(rows: list[Row]) -> dict[str, Row]:
    return {row.name.strip(): row for row in rows}


def test_all_of_it_runs_on_a_cpu_too():
    limits, chunk, training = (by_name(rows) for _, rows in measure(SETTING))
    assert limits["products"].value > 0
    assert limits["memory"].value > 0
    for phase in ("image encoders", "denoising", "of which keys and values"):
        assert chunk[phase].value > 0
        assert "% of the device's limit" in chunk[phase].note
    assert chunk["T5 encoder, 16 tokens, once per instruction"].value > 0
    assert training["mivla_small, throughput"].value > 0
    assert training["mivla_small, share of the limit"].unit == "%"


def test_a_text_encoder_that_does_not_fit_is_left_out_out_loud(monkeypatch):
    monkeypatch.setattr(script, "_free_gib", lambda device: 0.0)
    (row,) = script._text_encoder(SETTING, Limits(1.0, 1.0))
    assert row.value is None
    assert row.note.startswith("NOT RUN")


def test_without_an_accelerator_the_script_says_so_and_fails(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["measure.py"])
    assert script.main() == 1
    assert "no CUDA device: accelerator measurements did not run" in capsys.readouterr().err


def test_a_phase_needs_the_longer_of_computing_and_reading():
    work = Work(operations=100.0, values=10.0)
    assert work.least_seconds(operations_per_s=10.0, bytes_per_s=20.0, bytes_per_value=2) == 10.0
    assert work.least_seconds(operations_per_s=1000.0, bytes_per_s=20.0, bytes_per_value=2) == 1.0


def test_a_share_is_of_the_products_that_the_device_does():
    rows = [Row("mivla_base, arithmetic", 250.0, "GFLOP/s"), Row("mivla_200m, throughput", None, "samples/s")]
    (share,) = script.measure_shares(rows, Limits(operations_per_s=1e12, bytes_per_s=1.0))
    assert (share.name, share.value) == ("mivla_base, share of the limit", pytest.approx(25.0))


def test_keys_and_values_are_counted_as_on_paper():
    config, tokens, words = mivla_base(), 1176, 16
    width, half = 2176, 1088  # 8 of 16 heads hold keys and values
    images = tokens * (768 * width + width**2) + 16 * tokens * width * 2 * half
    language = words * (4096 * width + width**2) + 16 * words * width * 2 * half
    state = 76 * width + 2 * width**2
    assert encode_work(config, words).operations == 2 * (images + language + state)


def test_a_flow_step_reads_its_weights_and_what_is_cached():
    config, words = mivla_base(), 16
    width, hidden, half = 2176, 5888, 1088
    block = (width**2 + 2 * width * half + width**2) + 2 * 2 * width**2 + 3 * width * hidden
    projection = 76 * width + 2 * width**2
    last = width * 4 * width + 4 * width * 76
    cached = 16 * 2 * half * (1176 + words)
    expected = 5 * (16 * block + projection + last + cached)
    assert steps_work(config, words).values == pytest.approx(
        expected, rel=2e-3
    )  # norms and biases are the rest


def test_checkpointing_does_not_count_what_is_computed_again():
    plain, saving = TINY, with_decoder(TINY, gradient_checkpointing=True)
    assert training_operations(saving, 16) == training_operations(plain, 16) > 0
