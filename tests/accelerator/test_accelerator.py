"""mivla_base on a real accelerator, all measurements; without one, skipped out loud (see conftest.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from measure import NO_DEVICE, Setting, measure

from mivla_bringup.bench.machine import describe
from mivla_bringup.bench.rows import write_json
from mivla_policy.benchmarks.operations import random_batch
from mivla_policy.benchmarks.random_weights import random_net
from mivla_policy.model.config import mivla_base, with_decoder
from mivla_policy.model.mivla import Mivla

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_DEVICE)


@pytest.mark.timeout(1800)
def test_everything_is_measured_and_nothing_beats_the_hardware():
    found = dict(measure(Setting()))
    write_json(Path("build/accelerator.json"), describe(), found)
    rows = [row for section in found.values() for row in section]
    assert all(row.value > 0 for row in rows if row.value is not None)
    shares = [row for row in rows if row.unit == "%"]
    assert shares
    assert all(row.value < 105 for row in shares)


@torch.no_grad()
def test_the_device_gives_what_a_cpu_gives():
    model = random_net(lambda: Mivla(with_decoder(mivla_base(), blocks=1)))
    batch = random_batch(model.config, 1, 16, "cpu", torch.float32)
    noise = torch.randn(1, 16, 76)
    expected = model.sample(batch, noise)
    moved = model.to("cuda").sample(batch.to("cuda"), noise.to("cuda"))
    torch.testing.assert_close(moved.cpu(), expected, atol=1e-3, rtol=1e-3)
