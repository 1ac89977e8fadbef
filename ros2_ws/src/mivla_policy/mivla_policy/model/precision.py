"""Numbers that policies and encoders compute in."""

from __future__ import annotations

import torch

from mivla_policy.model.config import ModelConfig
from mivla_policy.model.packing import WIDE


def precision(config: ModelConfig, device: torch.device | str) -> torch.dtype:
    """What a policy and its encoders run in: bfloat16 for a wide decoder on CUDA, else float32."""
    # Reading the weights is what a flow step of one chunk spends its time on: half the bytes, half the time.
    halved = torch.device(device).type == "cuda" and config.decoder.width >= WIDE
    return torch.bfloat16 if halved else torch.float32
