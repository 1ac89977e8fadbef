"""Floating-point operations and bytes, counted on shapes alone, so that a laptop counts the largest model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from mivla_policy.benchmarks.random_weights import on_meta
from mivla_policy.model.config import ModelConfig
from mivla_policy.model.mivla import Batch, Mivla

BACKWARD_SHARE = 2  # a backward pass costs about two forward passes
NOT_IN_A_STEP = (
    *("modulation", "flow_time", "memory_norm", "image_position", "language_position", "view_embedding"),
    *("image_attention.key_value", "language_attention.key_value", "image_attention.key_norm"),
    *("language_attention.key_norm", "state_projection", "image_projection", "language_projection"),
)


@dataclass(frozen=True)
class Work:
    """What a phase must at least do: operations [FLOP], and numbers to read [values, of the model's type]."""

    operations: float
    values: float

    def least_seconds(self, operations_per_s: float, bytes_per_s: float, bytes_per_value: int) -> float:
        """Time that hardware of such limits needs, computing and reading at once."""
        return max(self.operations / operations_per_s, self.values * bytes_per_value / bytes_per_s)


def count_operations(run: Callable[[], object]) -> float:
    """Floating-point operations of matrix products and attention in `run`; meta tensors will do."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def encode_work(config: ModelConfig, instruction_tokens: int) -> Work:
    """What an observation costs once: projections, keys and values."""
    model, batch = on_meta(lambda: Mivla(config)), meta_batch(config, 1, instruction_tokens)
    with torch.no_grad():
        operations = count_operations(lambda: model.encode(batch))
    every, steps = sum(p.numel() for p in model.parameters()), _step_parameters(model)
    modulation = sum(
        p.numel() for name, p in model.named_parameters() if "modulation" in name or "flow_time" in name
    )
    return Work(operations, every - steps - modulation)


def steps_work(config: ModelConfig, instruction_tokens: int) -> Work:
    """What all flow steps of a chunk cost: every step reads its weights, and all keys and values."""
    model, batch = on_meta(lambda: Mivla(config)), meta_batch(config, 1, instruction_tokens)
    decoder, steps = config.decoder, config.flow_steps
    with torch.no_grad():
        encoded = model.encode(batch)
        modulation = model.decoder.modulate(torch.zeros(1, device="meta"))
        chunk = torch.zeros(1, decoder.horizon, decoder.action_width, device="meta")
        operations = count_operations(lambda: model.velocity(batch, chunk, encoded, modulation))
    tokens = len(config.views) * config.tokens_per_view + instruction_tokens
    cached = 2 * decoder.blocks * decoder.kv_heads * decoder.head_width * tokens
    return Work(steps * operations, steps * (_step_parameters(model) + cached))


def training_operations(config: ModelConfig, instruction_tokens: int) -> float:
    """Operations of one training sample, forward and backward; what checkpointing computes again is not counted."""
    model, batch = on_meta(lambda: Mivla(config)), meta_batch(config, 1, instruction_tokens)
    with torch.no_grad():
        forward = count_operations(lambda: model.loss(batch, t=torch.zeros(1, device="meta")))
    return (1 + BACKWARD_SHARE) * forward


def meta_batch(config: ModelConfig, size: int, instruction_tokens: int) -> Batch:
    """Samples of the right shapes that hold nothing."""
    return random_batch(config, size, instruction_tokens, "meta", torch.float32)


def random_batch(
    config: ModelConfig, size: int, instruction_tokens: int, device: str, dtype: torch.dtype
) -> Batch:
    """`size` samples of noise, all slots valid."""

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(size, *shape, device=device, dtype=dtype)

    decoder = config.decoder
    mask = torch.ones(decoder.action_width, dtype=torch.bool, device=device)
    return Batch(
        image_tokens=random(len(config.views) * config.tokens_per_view, config.image_width),
        language_tokens=random(instruction_tokens, config.language_width),
        language_mask=None,
        state=random(decoder.action_width),
        state_mask=mask,
        action_mask=mask,
        actions=random(decoder.horizon, decoder.action_width),
    )


def _step_parameters(model: Mivla) -> int:
    """Weights that a flow step reads."""
    return sum(
        p.numel() for name, p in model.named_parameters() if not any(part in name for part in NOT_IN_A_STEP)
    )
