"""The optimiser of every training here."""

from __future__ import annotations

import torch
from torch import nn


def adamw(
    model: nn.Module, learning_rate: float, weight_decay: float, betas: tuple[float, float]
) -> torch.optim.AdamW:
    """AdamW that lets matrices decay, and leaves biases and norms as they are; one kernel per step on CUDA."""
    parameters = list(model.parameters())
    decayed = [p for p in parameters if p.dim() >= 2]
    plain = [p for p in parameters if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=parameters[0].is_cuda)
