"""mivla_base with random weights on a CPU: parameters, memory and time of one chunk with all cameras.

python -m mivla_policy.benchmarks.base_model --json build/base_model.json

Its parts are built, run and freed one after another, so that the largest decides how much memory it takes. Where
the T5 encoder does not fit, its parameters are counted, the instruction's tokens are drawn at random, and the
report says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from os import getloadavg
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from mivla_policy.benchmarks.memory import peak_resident_mib
from mivla_policy.benchmarks.operations import random_batch
from mivla_policy.benchmarks.random_weights import on_meta, parameters, random_net, randomised
from mivla_policy.benchmarks.timing import timed
from mivla_policy.model.config import ModelConfig, mivla_base
from mivla_policy.model.flow import euler
from mivla_policy.model.foundation import DinoSiglip, random_t5
from mivla_policy.model.mivla import Mivla

INSTRUCTION_TOKENS = 16
GIB = 2**30
WORKING_MEMORY_GIB = 1.5  # beside the weights: Python, PyTorch, activations
TYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True)
class Part:
    """One part of the model: its parameters, and what they take in the type that it ran in [GiB]."""

    name: str
    parameters: int
    weights_gib: float
    note: str = ""


@dataclass(frozen=True)
class Step:
    """One step of a chunk: seconds by the clock, and of the processor, all threads together."""

    name: str
    seconds: float
    processor_s: float
    note: str = ""


@dataclass
class Report:
    """What was built and run.

    Attributes:
        machine: threads, load and versions at the start.
        parts: in the order they ran.
        steps: how long each took.
        peak_gib: largest memory of the process.
        chunk_shape: of the action chunk that came out, whose numbers were all finite.
    """

    machine: dict[str, Any]
    parts: list[Part] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    peak_gib: float = 0.0
    chunk_shape: tuple[int, ...] = ()


class BaseModelRun:
    """Runs one chunk of `config`, part by part, and keeps the report.

    Args:
        memory_gib: what the process may take; decides whether the T5 encoder is built.
        vision, text: sizes of the encoders where they are not to be the paper's, for tests.
    """

    def __init__(
        self,
        config: ModelConfig,
        dtype: torch.dtype,
        memory_gib: float,
        vision: dict[str, int] | None = None,
        text: dict[str, int] | None = None,
    ) -> None:
        self._config, self._dtype, self._memory_gib = config, dtype, memory_gib
        self._vision, self._text = vision or {}, text or {}
        self.report = Report(_machine(dtype))

    def run(self) -> Report:
        """All of it: image encoders, T5, projections with the decoder.

        Raises:
            FloatingPointError: the chunk holds a number that is not finite.
        """
        images = self._images()
        language = self._language()
        chunk = self._chunk(images, language)
        if not torch.isfinite(chunk).all():
            raise FloatingPointError("chunk: expected finite numbers, got NaN or infinity")
        self.report.chunk_shape = tuple(chunk.shape)
        self.report.peak_gib = peak_resident_mib() / 1024
        return self.report

    def _images(self) -> Tensor:
        """Tokens of a random image per view, (1, N, C)."""
        config = self._config
        encoder = randomised(DinoSiglip.random(config, **self._vision).to(self._dtype))
        self._part("DINOv2", parameters(encoder.dinov2))
        self._part("SigLIP", parameters(encoder.siglip))
        size = (len(config.views), config.image_size, config.image_size, 3)
        images = np.random.default_rng(0).integers(256, size=size, dtype=np.uint8)
        tokens = self._step(f"image encoders, {len(images)} images", lambda: encoder(images))
        return torch.from_numpy(tokens).reshape(1, -1, config.image_width).to(self._dtype)

    @torch.inference_mode()
    def _language(self) -> Tensor:
        """Tokens of an instruction, (1, L, C): T5's where it fits, else random ones."""
        count = parameters(on_meta(lambda: random_t5(**self._text)))
        needed_gib = count * self._dtype.itemsize / GIB + WORKING_MEMORY_GIB
        if needed_gib > self._memory_gib:
            why = f"NOT RUN: needs {needed_gib:.1f} GiB of {self._memory_gib:.1f}; counted, its tokens are random"
            self._part("T5 encoder", count, why)
            tokens = torch.randn(1, INSTRUCTION_TOKENS, self._config.language_width)
            return tokens.to(self._dtype)
        encoder = random_net(lambda: random_t5(**self._text), dtype=self._dtype)
        self._part("T5 encoder", count)
        ids = torch.arange(1, INSTRUCTION_TOKENS + 1)[None]
        name = f"T5 encoder, {INSTRUCTION_TOKENS} tokens"
        return self._step(name, lambda: encoder(input_ids=ids).last_hidden_state, "once per instruction")

    @torch.no_grad()
    def _chunk(self, images: Tensor, language: Tensor) -> Tensor:
        """A chunk of actions, (1, H, 76)."""
        config = self._config
        model = random_net(lambda: Mivla(config), dtype=self._dtype)
        decoder = parameters(model.decoder)
        self._part("projections, state and action MLPs", parameters(model) - decoder)
        self._part("decoder", decoder)
        blank = random_batch(config, 1, INSTRUCTION_TOKENS, "cpu", self._dtype)
        batch = type(blank)(images, language, None, blank.state, blank.state_mask, blank.action_mask)
        fixed = self._step("modulations of all flow steps", model.modulations, "once per model")
        encoded = self._step(
            f"projections, keys and values, {images.shape[1]} tokens",
            lambda: model.encode(batch),
            "once per observation",
        )
        noise = torch.randn(1, config.decoder.horizon, config.decoder.action_width)
        return self._step(
            f"{config.flow_steps} flow steps",
            lambda: euler(
                lambda chunk, i: model.velocity(batch, chunk.to(self._dtype), encoded, fixed[i]).float(),
                noise,
                config.flow_steps,
            ),
        )

    def _part(self, name: str, count: int, note: str = "") -> None:
        self.report.parts.append(Part(name, count, count * self._dtype.itemsize / GIB, note))
        print(f"{name}: {count / 1e6:,.1f} million", file=sys.stderr, flush=True)

    def _step(self, name: str, run: Callable[[], Any], note: str = "") -> Any:
        result, seconds = timed(run)
        self.report.steps.append(Step(name, seconds.wall, seconds.processor, note))
        return result


def table(report: Report) -> str:
    """The report as it is printed."""
    lines = ["  ".join(f"{name} {value}" for name, value in report.machine.items()), ""]
    lines.append(f"{'part':42} {'million':>10} {'GiB':>8}")
    for part in report.parts:
        row = f"{part.name:42} {part.parameters / 1e6:10,.1f} {part.weights_gib:8.2f}  {part.note}"
        lines.append(row.rstrip())
    count, weights = sum(p.parameters for p in report.parts), sum(p.weights_gib for p in report.parts)
    lines += [f"{'all of it resident':42} {count / 1e6:10,.1f} {weights:8.2f}", ""]
    lines.append(f"{'step':42} {'s':>10} {'CPU s':>8}")
    for step in report.steps:
        lines.append(f"{step.name:42} {step.seconds:10.2f} {step.processor_s:8.2f}  {step.note}".rstrip())
    lines += [
        "",
        f"chunk {report.chunk_shape}, all finite; peak memory of this process {report.peak_gib:.2f} GiB",
    ]
    return "\n".join(lines)


def _machine(dtype: torch.dtype) -> dict[str, Any]:
    return {
        "type": str(dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "cores": psutil.cpu_count(),
        "load": round(getloadavg()[0], 1),
        "torch": torch.__version__,
    }


def main() -> None:
    """Build it, run it, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("--dtype", choices=list(TYPES), default="bfloat16", help="of all weights (%(default)s)")
    free_gib = psutil.virtual_memory().available / GIB
    add("--memory", type=float, default=free_gib, metavar="GIB", help="to take (all that is free)")
    add("--json", type=Path, metavar="FILE", help="also write the report there")
    options = parser.parse_args()
    report = BaseModelRun(mivla_base(), TYPES[options.dtype], options.memory).run()
    print(table(report))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(asdict(report), indent=2) + "\n")


if __name__ == "__main__":
    main()
