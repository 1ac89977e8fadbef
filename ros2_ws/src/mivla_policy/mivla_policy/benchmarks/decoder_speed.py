"""How much faster the decoder is than H-RDT's inference, which computes everything again at every flow step.

python -m mivla_policy.benchmarks.decoder_speed --blocks 16 --repeats 2

All blocks take 9 GB of memory in float32. Both ways run on the same weights: packing replaces them one by one.
"""

from __future__ import annotations

import argparse
from os import getloadavg
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mivla_policy.benchmarks.random_weights import random_net, randomised
from mivla_policy.benchmarks.timing import timed
from mivla_policy.model.config import DecoderConfig, mivla_base, with_decoder
from mivla_policy.model.decoder import Decoder, Modulation
from mivla_policy.model.flow import euler, flow_times
from mivla_policy.model.packing import pack

BASE_TOKENS = 1176  # three cameras of 392 tokens
INSTRUCTION_TOKENS = 16

__all__ = ["BASE_TOKENS", "INSTRUCTION_TOKENS", "cached", "compare", "randomised", "recomputed"]


class Inputs(NamedTuple):
    """One observation, its tokens projected, and what projects the noisy chunk."""

    state: Tensor
    images: Tensor
    language: Tensor
    noise: Tensor
    embedding: nn.Linear


def recomputed(decoder: Decoder, inputs: Inputs, steps: int) -> Tensor:
    """A chunk with keys, values and modulations computed again at every step, as in H-RDT's inference."""

    def velocity(chunk: Tensor, step: int) -> Tensor:
        cache = decoder.encode_context(inputs.images, inputs.language)
        modulation = decoder.modulate(torch.tensor([step / steps], device=chunk.device))
        return decoder(inputs.state, inputs.embedding(chunk), cache, modulation)

    return euler(velocity, inputs.noise, steps)


def cached(decoder: Decoder, inputs: Inputs, steps: int, every: Modulation) -> Tensor:
    """The same chunk with keys and values computed once, `every` step's modulation given."""
    cache = decoder.encode_context(inputs.images, inputs.language)

    def velocity(chunk: Tensor, step: int) -> Tensor:
        modulation = Modulation(every.blocks[:, step : step + 1], every.last[step : step + 1])
        return decoder(inputs.state, inputs.embedding(chunk), cache, modulation)

    return euler(velocity, inputs.noise, steps)


@torch.no_grad()
def compare(
    config: DecoderConfig,
    repeats: int = 3,
    steps: int = 5,
    image_tokens: int = BASE_TOKENS,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> dict[str, float]:
    """Median seconds of a chunk at equal weights and inputs, and how far the outputs differ.

    Returns:
        recomputed_s: everything computed at every step.
        cached_s: keys, values and modulations computed once.
        packed_s: as the policy runs it, which on a CPU also packs a wide decoder's weights.
        speedup: recomputed_s / packed_s.
        processor_speedup: the same ratio in seconds of the processor, which other load disturbs less.
        largest_difference: between the outputs of the first and the last.
        relative_difference: that, as a share of the largest output.
    """
    decoder = random_net(lambda: Decoder(config), device, dtype)
    inputs = _random_inputs(config, image_tokens, device, dtype)
    every = decoder.modulate(flow_times(steps, device))
    plain, recomputed_s = timed(lambda: recomputed(decoder, inputs, steps), repeats, device, warm_up=1)
    _, cached_s = timed(lambda: cached(decoder, inputs, steps, every), repeats, device, warm_up=1)
    pack(decoder)
    fast, packed_s = timed(lambda: cached(decoder, inputs, steps, every), repeats, device, warm_up=1)
    difference = (plain - fast).abs().max().item()
    return {
        "recomputed_s": recomputed_s.wall,
        "cached_s": cached_s.wall,
        "packed_s": packed_s.wall,
        "speedup": recomputed_s.wall / packed_s.wall,
        "processor_speedup": recomputed_s.processor / packed_s.processor,
        "largest_difference": difference,
        "relative_difference": difference / plain.abs().max().item(),
    }


def _random_inputs(config: DecoderConfig, image_tokens: int, device: str, dtype: torch.dtype) -> Inputs:
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Tensor:
        return torch.randn(1, *shape, generator=generator).to(device, dtype)

    return Inputs(
        state=random(config.state_tokens, config.width),
        images=random(image_tokens, config.width),
        language=random(INSTRUCTION_TOKENS, config.width),
        noise=random(config.horizon, config.action_width),
        embedding=nn.Linear(config.action_width, config.width).to(device, dtype),
    )


def main() -> None:
    """Print the comparison at H-RDT's dimensions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--blocks", type=int, default=16, help="depth; a block more costs both ways the same share"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    config = with_decoder(mivla_base(), blocks=options.blocks).decoder
    print(
        f"width {config.width}, {config.blocks} blocks, {BASE_TOKENS} image tokens, {options.device}, "
        f"{torch.get_num_threads()} threads, load {getloadavg()[0]:.1f}"
    )
    for name, value in compare(config, options.repeats, device=options.device).items():
        print(f"{name:20s} {value:.4g}")


if __name__ == "__main__":
    main()
