"""The flow-matching transformer, with H-RDT's equations (arXiv 2507.23523), at any size.

A block is self-attention, cross-attention to the images, cross-attention to the instruction, SwiGLU.
Images and instruction do not depend on the flow time, so their keys and values are computed once per observation
(`encode_context`) and cached. Modulations depend on the flow time alone: they are computed once per model (`modulate`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mivla_policy.model.config import DecoderConfig

MODULATIONS = 9  # shift, scale and gate of self-attention, image attention and feed-forward
FREQUENCIES = 256


class KeysValues(NamedTuple):
    """Keys and values, each (B, kv_heads, N, head_width)."""

    keys: Tensor
    values: Tensor


class BlockCache(NamedTuple):
    """Keys and values of an observation for one block."""

    images: KeysValues
    language: KeysValues


class KeyValueCache(NamedTuple):
    """Keys and values of an observation for all blocks.

    Attributes:
        language_mask: false for padding, (B, 1, 1, L) bool; None where there is none.
    """

    blocks: list[BlockCache]
    language_mask: Tensor | None


class Modulation(NamedTuple):
    """Adaptive layer norm's shifts, scales and gates at one flow time.

    Attributes:
        blocks: of every block, (blocks, B, 9, D); scales as 1 + s.
        last: of the last layer, (B, 2, D).
    """

    blocks: Tensor
    last: Tensor


class RmsNorm(nn.RMSNorm):
    """Root-mean-square normalisation; written out on a CPU, where PyTorch has no fused kernel."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., head_width) to (..., head_width)."""
        if x.is_cuda:
            return super().forward(x)
        wide = x.float()
        inverse = torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + (self.eps or 0.0))
        return (wide * inverse).to(x.dtype) * self.weight


class Attention(nn.Module):
    """Grouped-query attention with RMS-normalised queries and keys."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width, self.kv_heads, self.head_width = config.width, config.kv_heads, config.head_width
        self.group = config.heads // config.kv_heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * self.kv_heads * self.head_width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.query_norm = RmsNorm(self.head_width, eps=config.norm_eps)
        self.key_norm = RmsNorm(self.head_width, eps=config.norm_eps)

    def keys_values(self, tokens: Tensor) -> KeysValues:
        """Keys and values of `tokens` (B, N, D)."""
        batch, count, _ = tokens.shape
        both = self.key_value(tokens).view(batch, count, 2, self.kv_heads, self.head_width)
        keys, values = both.permute(2, 0, 3, 1, 4).unbind(0)
        return KeysValues(self.key_norm(keys), values)

    def forward(self, tokens: Tensor, context: KeysValues, mask: Tensor | None = None) -> Tensor:
        """Attention of `tokens` (B, T, D) to `context`, (B, T, D); `mask` (B, 1, 1, N) bool is false for padding."""
        batch, count, width = tokens.shape
        queries = self.query(tokens).view(batch, count, self.kv_heads, self.group, self.head_width)
        # Query heads that share keys are laid along the sequence, so that the keys need not be repeated.
        queries = self.query_norm(queries).permute(0, 2, 3, 1, 4).flatten(2, 3)
        read = F.scaled_dot_product_attention(queries, context.keys, context.values, attn_mask=mask)
        read = read.view(batch, self.kv_heads, self.group, count, self.head_width).permute(0, 3, 1, 2, 4)
        return self.output(read.reshape(batch, count, width))


class SwiGlu(nn.Module):
    """Feed-forward layer with a gate."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        hidden = config.feed_forward_width
        self.gate = nn.Linear(config.width, hidden, bias=False)
        self.up = nn.Linear(config.width, hidden, bias=False)
        self.down = nn.Linear(hidden, config.width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return self.down(F.silu(self.gate(tokens)) * self.up(tokens))


class Block(nn.Module):
    """Self-attention, image attention, language attention (not modulated), feed-forward."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()

        def norm() -> nn.LayerNorm:
            return nn.LayerNorm(config.width, eps=config.norm_eps)

        self.self_norm, self.self_attention = norm(), Attention(config)
        self.image_norm, self.image_memory_norm, self.image_attention = norm(), norm(), Attention(config)
        self.language_norm, self.language_memory_norm = norm(), norm()
        self.language_attention = Attention(config)
        self.feed_forward_norm, self.feed_forward = norm(), SwiGlu(config)
        self.modulation = nn.Linear(config.width, MODULATIONS * config.width)

    def encode_context(self, images: Tensor, language: Tensor) -> BlockCache:
        """Keys and values of images (B, N, D) and language (B, L, D)."""
        return BlockCache(
            self.image_attention.keys_values(self.image_memory_norm(images)),
            self.language_attention.keys_values(self.language_memory_norm(language)),
        )

    def forward(self, tokens: Tensor, cache: BlockCache, mask: Tensor | None, modulation: Tensor) -> Tensor:
        """Tokens (B, T, D) under `modulation` (B, 9, D)."""
        m = modulation.unsqueeze(2).unbind(1)  # nine of (B, 1, D)
        x = _shift_scale(self.self_norm(tokens), m[0], m[1])
        tokens = torch.addcmul(tokens, m[2], self.self_attention(x, self.self_attention.keys_values(x)))
        x = _shift_scale(self.image_norm(tokens), m[3], m[4])
        tokens = torch.addcmul(tokens, m[5], self.image_attention(x, cache.images))
        tokens = tokens + self.language_attention(self.language_norm(tokens), cache.language, mask)
        x = _shift_scale(self.feed_forward_norm(tokens), m[6], m[7])
        return torch.addcmul(tokens, m[8], self.feed_forward(x))


class LastLayer(nn.Module):
    """Tokens to actions."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.hidden = nn.Linear(config.width, 4 * config.width)
        self.output = nn.Linear(4 * config.width, config.action_width)
        self.modulation = nn.Linear(config.width, 2 * config.width)

    def forward(self, tokens: Tensor, modulation: Tensor) -> Tensor:
        """Tokens (B, H, D) under `modulation` (B, 2, D) to (B, H, 76)."""
        shift, scale = modulation.unsqueeze(2).unbind(1)
        return self.output(F.silu(self.hidden(_shift_scale(self.norm(tokens), shift, scale))))


class FlowTime(nn.Module):
    """Sinusoidal embedding of the flow time, then a two-layer MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        """Flow time (B,) in 0..1 to (B, D)."""
        half = FREQUENCIES // 2
        rates = torch.exp(
            -math.log(10000.0) * torch.arange(half, device=t.device, dtype=torch.float32) / half
        )
        angles = t.float()[:, None] * rates  # in float32 whatever the weights are
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return self.mlp(waves.to(next(self.mlp.parameters()).dtype))


class Decoder(nn.Module):
    """Velocity that carries a noisy action chunk towards the action."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.flow_time = FlowTime(config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.last = LastLayer(config)
        self.position = nn.Parameter(_waves(config.state_tokens + config.horizon, config.width))
        self.image_position = nn.Parameter(torch.randn(1, config.image_tokens, config.width) * 0.02)
        self.language_position = nn.Parameter(torch.randn(1, config.language_tokens, config.width) * 0.02)
        self._initialise()

    def encode_context(
        self, images: Tensor, language: Tensor, language_mask: Tensor | None = None
    ) -> KeyValueCache:
        """Keys and values of an observation, computed once and used at every flow step.

        Args:
            images: projected image tokens, (B, N, D).
            language: projected instruction tokens, (B, L, D).
            language_mask: true for tokens, false for padding, (B, L) bool; None where there is no padding.
        """
        images = images + self.image_position[:, : images.shape[1]]
        language = language + self.language_position[:, : language.shape[1]]
        mask = None if language_mask is None else language_mask[:, None, None, :]
        return KeyValueCache([block.encode_context(images, language) for block in self.each_block()], mask)

    def modulate(self, t: Tensor) -> Modulation:
        """Modulation of every layer at flow times `t` (B,)."""
        time = F.silu(self.flow_time(t))  # (B, D)
        blocks = torch.stack([block.modulation(time) for block in self.each_block()])
        return Modulation(
            _scales_to_factors(blocks.unflatten(-1, (MODULATIONS, self.config.width))),
            _scales_to_factors(self.last.modulation(time).unflatten(-1, (2, self.config.width))),
        )

    def forward(self, state: Tensor, chunk: Tensor, cache: KeyValueCache, modulation: Modulation) -> Tensor:
        """Velocity of the chunk, (B, H, 76).

        Args:
            state: encoded proprioception, (B, S, D).
            chunk: encoded noisy actions, (B, H, D).
            cache: from `encode_context`.
            modulation: from `modulate`, for this flow time.
        """
        tokens = torch.cat([state, chunk], dim=1) + self.position  # (B, S+H, D)
        recompute = self.config.gradient_checkpointing and torch.is_grad_enabled()
        for block, block_cache, m in zip(self.blocks, cache.blocks, modulation.blocks, strict=True):
            arguments = (tokens, block_cache, cache.language_mask, m)
            tokens = checkpoint(block, *arguments, use_reentrant=False) if recompute else block(*arguments)
        return self.last(tokens[:, -chunk.shape[1] :], modulation.last)

    def each_block(self) -> list[Block]:
        """The blocks, first to last."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # Each block starts as the identity, and the first velocity is zero.
        modulations = [block.modulation for block in self.each_block()]
        for layer in (*modulations, self.last.modulation, self.last.output):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


def _scales_to_factors(modulation: Tensor) -> Tensor:
    """Shifts, scales and gates in turn, (..., M, D), with each scale s replaced in place by the factor 1 + s."""
    modulation[..., 1::3, :] += 1
    return modulation


def _shift_scale(x: Tensor, shift: Tensor, factor: Tensor) -> Tensor:
    return torch.addcmul(shift, x, factor)


def _waves(count: int, width: int) -> Tensor:
    """Sinusoidal embeddings of positions 0..count-1, (1, count, width)."""
    half = width // 2
    rates = 10000.0 ** (-torch.arange(half) / half)
    angles = torch.arange(count)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[None]
