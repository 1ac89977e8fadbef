"""mivla_base on an accelerator: latency of a chunk, training throughput, and their share of the hardware's limits.

python tests/accelerator/measure.py --json build/accelerator.json

The limits are measured on the same device just before: a large bfloat16 product and a large copy. A phase cannot
be faster than its operations or its bytes need at these rates; its share is that time over the measured one.
Operations and bytes are counted (mivla_policy/benchmarks/operations.py), training is `mivla bench`'s on the device.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mivla_bringup.bench.machine import describe
from mivla_bringup.bench.rows import Row, table, write_json
from mivla_bringup.bench.training import Training, measure_training
from mivla_policy.benchmarks.decoder_speed import INSTRUCTION_TOKENS
from mivla_policy.benchmarks.operations import (
    Work,
    count_operations,
    encode_work,
    random_batch,
    steps_work,
)
from mivla_policy.benchmarks.random_weights import on_meta, parameters, random_net, randomised
from mivla_policy.benchmarks.timing import synchronise, timed
from mivla_policy.model.config import ModelConfig, mivla_base
from mivla_policy.model.cuda_graph import CudaGraph
from mivla_policy.model.foundation import DinoSiglip, random_t5
from mivla_policy.model.mivla import Mivla

NO_DEVICE = "no CUDA device: accelerator measurements did not run"
GIB = 2**30


@dataclass(frozen=True)
class Limits:
    """What the device does at most, measured: operations [FLOP/s] and memory traffic [B/s]."""

    operations_per_s: float
    bytes_per_s: float


@dataclass(frozen=True)
class Setting:
    """What to measure, and on what.

    Attributes:
        device, dtype: where, and the type of all weights.
        config: of the model.
        vision, text: sizes of the encoders where they are not to be the paper's.
        product, copy_mib: sides of the matrices, and the buffer, that find the device's limits.
        repeats, warm_up: chunks that are timed, and before them not.
        trainings: see `mivla_bringup.bench.training`.
    """

    device: str = "cuda"
    dtype: torch.dtype = torch.bfloat16
    config: ModelConfig = field(default_factory=mivla_base)
    vision: dict[str, int] = field(default_factory=dict)
    text: dict[str, int] = field(default_factory=dict)
    product: int = 8192
    copy_mib: int = 2048
    repeats: int = 50
    warm_up: int = 10
    trainings: tuple[Training, ...] = (
        Training("mivla_small", batch=256, steps=50, memory_gib=4.0, device="cuda"),
        Training("mivla_200m", batch=32, steps=20, memory_gib=20.0, device="cuda"),
        Training("mivla_base", batch=32, steps=10, memory_gib=60.0, device="cuda"),
    )


def measure_limits(setting: Setting) -> Limits:
    """Rates of one large matrix product and of one large copy, which reads and writes every byte."""
    side = setting.product
    a, b = (torch.randn(side, side, device=setting.device, dtype=setting.dtype) for _ in range(2))
    product = torch.empty_like(a)
    _, seconds = timed(lambda: torch.mm(a, b, out=product), setting.repeats, setting.device, setting.warm_up)
    source = torch.zeros(setting.copy_mib * 2**20, dtype=torch.uint8, device=setting.device)
    target = torch.empty_like(source)
    _, copying = timed(lambda: target.copy_(source), setting.repeats, setting.device, setting.warm_up)
    return Limits(2 * side**3 / seconds.wall, 2 * source.numel() / copying.wall)


def measure_latency(setting: Setting, limits: Limits) -> list[Row]:
    """Time of each phase of a chunk with all of the model's cameras, and the memory it takes."""
    _forget_peak(setting.device)
    rows = [*_image_encoders(setting, limits), *_text_encoder(setting, limits)]
    return [*rows, *_denoising(setting, limits)]


def measure_shares(trainings: list[Row], limits: Limits) -> list[Row]:
    """Share of the device's limit that each training's products reach."""
    return [
        Row(
            row.name.replace("arithmetic", "share of the limit"),
            1e11 * row.value / limits.operations_per_s,
            "%",
        )
        for row in trainings
        if row.unit == "GFLOP/s" and row.value is not None
    ]


def measure(setting: Setting) -> Iterator[tuple[str, list[Row]]]:
    """Everything, section after section with its title."""
    limits = measure_limits(setting)
    yield (
        "Limits of the device, measured",
        [
            Row("products", limits.operations_per_s / 1e9, "GFLOP/s", f"{setting.product} square"),
            Row("memory", limits.bytes_per_s / 1e9, "GB/s", f"copy of {setting.copy_mib} MiB"),
        ],
    )
    yield f"One chunk, {len(setting.config.views)} cameras, {setting.dtype}", measure_latency(setting, limits)
    if setting.device.startswith("cuda"):
        torch.cuda.empty_cache()  # the trainings run in processes of their own
    for training in setting.trainings:
        rows = measure_training((training,))
        yield f"Training {training.config}", [*rows, *measure_shares(rows, limits)]


def _image_encoders(setting: Setting, limits: Limits) -> list[Row]:
    """As the policy runs them: from images in the computer's memory to tokens there."""
    config, size = setting.config, setting.config.image_size
    with torch.device(setting.device):
        encoder = randomised(DinoSiglip.random(config, **setting.vision).to(setting.dtype))
    shapes = on_meta(lambda: DinoSiglip.random(config, **setting.vision))
    pixels = torch.empty(len(config.views), 3, size, size, device="meta")
    with torch.no_grad():
        work = Work(count_operations(lambda: shapes.encode(pixels)), parameters(shapes))
    images = np.random.default_rng(0).integers(256, size=(len(config.views), size, size, 3), dtype=np.uint8)
    return _phase("image encoders", lambda: encoder(images), work, setting, limits)


@torch.inference_mode()
def _text_encoder(setting: Setting, limits: Limits) -> list[Row]:
    """Once an instruction, so not part of a chunk's latency; left out, saying so, where it does not fit."""
    shapes = on_meta(lambda: random_t5(**setting.text))
    needed, free = parameters(shapes) * setting.dtype.itemsize / GIB, _free_gib(setting.device)
    if 1.1 * needed > free:
        note = f"NOT RUN: needs {1.1 * needed:.1f} GiB, {free:.1f} GiB are free"
        return [Row("T5 encoder", None, "ms", note)]
    encoder = random_net(lambda: random_t5(**setting.text), setting.device, setting.dtype)
    ids = torch.arange(1, INSTRUCTION_TOKENS + 1, device="meta")[None]
    work = Work(count_operations(lambda: shapes(input_ids=ids)), parameters(shapes))
    ids = torch.arange(1, INSTRUCTION_TOKENS + 1, device=setting.device)[None]
    name = f"T5 encoder, {INSTRUCTION_TOKENS} tokens, once per instruction"
    return _phase(name, lambda: encoder(input_ids=ids).last_hidden_state, work, setting, limits)


@torch.no_grad()
def _denoising(setting: Setting, limits: Limits) -> list[Row]:
    """Keys and values, and keys and values with all flow steps, which is what the policy calls denoising."""
    config = setting.config
    model = random_net(lambda: Mivla(config), setting.device, setting.dtype)
    batch = random_batch(config, 1, INSTRUCTION_TOKENS, setting.device, setting.dtype)
    once, steps = encode_work(config, INSTRUCTION_TOKENS), steps_work(config, INSTRUCTION_TOKENS)
    whole = Work(once.operations + steps.operations, once.values + steps.values)
    shape = (1, config.decoder.horizon, config.decoder.action_width)
    noise = torch.randn(shape, device=setting.device, dtype=setting.dtype)

    def sample(images: Tensor, language: Tensor, state: Tensor, noise: Tensor) -> Tensor:
        return model.sample(replace(batch, image_tokens=images, language_tokens=language, state=state), noise)

    graph, inputs = CudaGraph(sample), (batch.image_tokens, batch.language_tokens, batch.state, noise)
    chunk: list[Tensor] = []
    rows = [
        *_phase("denoising", lambda: chunk.append(graph(*inputs)), whole, setting, limits),
        *_phase("denoising, without a CUDA graph", lambda: sample(*inputs), whole, setting, limits),
        *_phase("  of which keys and values", lambda: model.encode(batch), once, setting, limits),
        Row("memory, peak", _peak_gib(setting.device), "GiB", "one part at a time, weights with activations"),
    ]
    if not torch.isfinite(chunk[-1]).all():
        raise FloatingPointError("chunk: expected finite numbers, got NaN or infinity")
    return rows


def _phase(name: str, run: Callable[[], object], work: Work, setting: Setting, limits: Limits) -> list[Row]:
    _, seconds = timed(run, setting.repeats, setting.device, setting.warm_up)
    least = work.least_seconds(limits.operations_per_s, limits.bytes_per_s, setting.dtype.itemsize)
    counted = f"{work.operations / 1e9:,.1f} GFLOP, {work.values * setting.dtype.itemsize / 1e9:,.2f} GB"
    share = f"{100 * least / seconds.wall:.1f} % of the device's limit"
    return [Row(name, 1e3 * seconds.wall, "ms", f"{counted}, {share}; median of {setting.repeats}")]


def _forget_peak(device: str) -> None:
    if device.startswith("cuda"):
        synchronise(device)
        torch.cuda.reset_peak_memory_stats(device)


def _peak_gib(device: str) -> float | None:
    """Largest memory allocated on the device; None on a CPU, where nobody counts it."""
    return torch.cuda.max_memory_allocated(device) / GIB if device.startswith("cuda") else None


def _free_gib(device: str) -> float:
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0] / GIB
    import psutil

    return psutil.virtual_memory().available / GIB


def main() -> int:
    """Measure and print; exit code 1 where there is no accelerator."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, default=Path("build/accelerator.json"), metavar="FILE")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print(NO_DEVICE, file=sys.stderr)
        return 1
    machine = describe()
    print("\n".join(f"  {name:13} {value}" for name, value in machine.items()))
    found = {}
    for title, rows in measure(Setting()):
        print(f"\n{table(title, rows)}", flush=True)
        found[title] = rows
        write_json(options.json, machine, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
