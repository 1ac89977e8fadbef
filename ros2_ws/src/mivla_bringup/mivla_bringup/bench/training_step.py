"""One configuration's training steps in a process of its own, so that its peak memory is its alone.

python -m mivla_bringup.bench.training_step mivla_small --batch 64 --steps 10
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch

from mivla_bringup.bench.random_policy import INSTRUCTION, unit_statistics
from mivla_policy.benchmarks.memory import peak_resident_mib
from mivla_policy.benchmarks.operations import training_operations
from mivla_policy.benchmarks.timing import synchronise
from mivla_policy.data.encoded import EncodedFrames
from mivla_policy.model.config import ModelConfig, mivla_base, mivla_small, with_decoder
from mivla_policy.model.mivla import Mivla
from mivla_policy.training.train import FrameSampler, TrainConfig, train

FRAMES = 128
INSTRUCTION_TOKENS = 12


def mivla_200m() -> ModelConfig:
    """200 million parameters: mivla_base's encoders and tokens, a decoder 1024 wide."""
    return with_decoder(mivla_base(), width=1024, blocks=7)


def mivla_base_checkpointed() -> ModelConfig:
    """mivla_base with gradient checkpointing, as it is trained."""
    return with_decoder(mivla_base(), gradient_checkpointing=True)


CONFIGS = {"mivla_small": mivla_small, "mivla_200m": mivla_200m, "mivla_base": mivla_base_checkpointed}


def measure_steps(config: ModelConfig, batch: int, steps: int, device: str = "cpu") -> dict[str, float]:
    """Throughput and peak memory of training `config` on random frames, through the real training loop.

    Returns:
        parameters; samples_per_s, after two steps of warm-up; step_s; peak_mib of this process, on CUDA of
        the device; operations_per_s [FLOP/s] that the model's products need at this throughput.
    """
    with torch.device(device):  # drawn there: on a CPU, billions of random numbers take a minute
        model = Mivla(config)
    sampler = FrameSampler(_frames(config), unit_statistics(), _language(config), device)
    with TemporaryDirectory(prefix="mivla-bench-") as folder:
        warm_up, measured = (TrainConfig(steps=count, batch_size=batch) for count in (2, steps))
        train(model, sampler, warm_up, Path(folder) / "warm_up", device)
        synchronise(device)
        start = perf_counter()
        train(model, sampler, measured, Path(folder) / "measured", device)
        synchronise(device)
        seconds = perf_counter() - start
    samples_per_s = batch * steps / seconds
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "samples_per_s": samples_per_s,
        "step_s": seconds / steps,
        "peak_mib": _peak_mib(device),
        "operations_per_s": samples_per_s * training_operations(config, INSTRUCTION_TOKENS),
    }


def _peak_mib(device: str) -> float:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**20
    return peak_resident_mib()


def _frames(config: ModelConfig) -> EncodedFrames:
    rng = np.random.default_rng(0)
    tokens = len(config.views) * config.tokens_per_view
    decoder = config.decoder
    return EncodedFrames(
        image_tokens=rng.standard_normal((FRAMES, tokens, config.image_width), dtype=np.float32).astype(
            np.float16
        ),
        state=rng.standard_normal((FRAMES, decoder.action_width), dtype=np.float32),
        actions=rng.standard_normal((FRAMES, decoder.horizon, decoder.action_width), dtype=np.float32),
        mask=np.ones(decoder.action_width, dtype=bool),
        instruction=np.zeros(FRAMES, dtype=np.int64),
        instructions=(INSTRUCTION,),
    )


def _language(config: ModelConfig) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    tokens = rng.standard_normal((INSTRUCTION_TOKENS, config.language_width), dtype=np.float32)
    return {INSTRUCTION: tokens}


def main() -> None:
    """Print the measurement as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", choices=sorted(CONFIGS))
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    config = CONFIGS[options.config]()
    print(json.dumps(measure_steps(config, options.batch, options.steps, options.device)))


if __name__ == "__main__":
    main()
