"""How far the same numbers may lie apart: processors (AVX-512, AVX2, ...) add up in different orders."""

from __future__ import annotations

import numpy as np
import torch

ROUNDINGS = 1000  # of the largest number; 30 were seen after five flow steps, a wrong term costs 100 000
FLOAT32 = ROUNDINGS * torch.finfo(torch.float32).eps  # as a share


def rounding(expected: torch.Tensor | np.ndarray) -> float:
    """The difference that rounding may make to any of `expected`, from their size and dtype."""
    numbers = torch.as_tensor(expected)
    return ROUNDINGS * torch.finfo(numbers.dtype).eps * numbers.abs().max().item()
