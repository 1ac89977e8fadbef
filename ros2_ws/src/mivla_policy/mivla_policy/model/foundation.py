"""The paper's encoders, DINOv2 with SigLIP for images and T5 for language, as Hugging Face classes.

No package ships their weights, so they are read from the policy's folder and nothing is ever downloaded:

    encoders/dinov2/   config.json, model.safetensors   (facebook/dinov2-base)
    encoders/siglip/   config.json, model.safetensors   (google/siglip-base-patch16-224)
        or, where the policy has H-RDT's encoders, facebook/dinov2-with-registers-large and
        google/siglip-so400m-patch14-384
    encoders/t5/       config.json, model.safetensors, tokenizer.json   (google/t5-v1_1-xxl, encoder)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from mivla_drivers.contract.refusal import shown
from mivla_drivers.errors import DataError
from mivla_policy.model.config import ModelConfig
from mivla_policy.model.cuda_graph import CudaGraph
from mivla_policy.model.sentences import encoded, padded
from mivla_policy.model.tokenisers import fitted_square

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported: it must not ask a server

Device = torch.device | str
DINOV2_MEAN, DINOV2_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIGLIP_MEAN, SIGLIP_STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
LARGE = "dinov2_siglip_large"
SOURCES = {
    "dinov2": "facebook/dinov2-base (for mivla_hrdt facebook/dinov2-with-registers-large)",
    "siglip": "google/siglip-base-patch16-224 (for mivla_hrdt google/siglip-so400m-patch14-384)",
    "t5": "google/t5-v1_1-xxl",
}


class Standardise(nn.Module):
    """Pixels in 0..1 as an encoder was trained on: less the mean of each colour, over its spread.

    The numbers lie on the device: copying them there at every call cannot be captured in a CUDA graph.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 3, H, W)."""
        return (pixels - self.mean) / self.std


class DinoSiglip(nn.Module):
    """Patch features of two vision transformers, pooled to one grid and joined."""

    def __init__(self, dinov2: nn.Module, siglip: nn.Module, config: ModelConfig) -> None:
        super().__init__()
        self.dinov2, self.siglip = dinov2, siglip
        self.dinov2_pixels = Standardise(DINOV2_MEAN, DINOV2_STD)
        self.siglip_pixels = Standardise(SIGLIP_MEAN, SIGLIP_STD)
        self._graph, self._views = CudaGraph(self.from_images), len(config.views)
        self._size, self._fit = config.image_size, config.image_fit
        self._grid, self._join = config.image_grid, config.vision_join
        self._second_to_last = config.image_tokeniser == LARGE  # as H-RDT reads them
        self._registers = getattr(dinov2.config, "num_register_tokens", 0)

    @classmethod
    def load(
        cls, folder: Path, config: ModelConfig, device: Device = "cpu", dtype: torch.dtype = torch.float32
    ) -> DinoSiglip:
        """The encoders in `folder`, to run on `device` in `dtype`.

        Raises:
            DataError: one is missing; says what to put where.
        """
        from transformers import Dinov2Model, Dinov2WithRegistersModel, SiglipVisionModel

        kind = Dinov2WithRegistersModel if config.image_tokeniser == LARGE else Dinov2Model
        dinov2 = _load(kind, folder, "dinov2", device, dtype)
        siglip = _load(SiglipVisionModel, folder, "siglip", device, dtype)
        return cls(dinov2, siglip, config).to(device, dtype)

    @classmethod
    def random(cls, config: ModelConfig, **sizes: Any) -> DinoSiglip:
        """Encoders of random weights, of their own size unless `sizes` say other, for tests and benches."""
        from transformers import Dinov2Config, Dinov2Model, SiglipVisionConfig, SiglipVisionModel

        size = config.image_size
        if config.image_tokeniser == LARGE:
            return cls(*_random_large(size, **sizes), config)
        dinov2 = Dinov2Model(Dinov2Config(patch_size=14, image_size=size, **sizes))
        siglip = SiglipVisionModel(SiglipVisionConfig(patch_size=16, image_size=size, **sizes))
        return cls(dinov2.eval(), siglip.eval(), config)

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Images (B, H, W, 3) uint8 rgb to tokens (B, N, C) float32.

        N is 2 g^2 where the tokens stand side by side (DINOv2's first), g^2 where the channels do.
        """
        pixels = torch.from_numpy(fitted_square(images, self._size, self._fit)).to(
            self.dinov2_pixels.mean.device
        )
        # One observation runs as a CUDA graph; batches of a data set vary in size and keep the device busy anyway.
        encode = self._graph if len(images) <= self._views else self.from_images
        return encode(pixels).cpu().numpy()

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, S, S) in 0..1 to tokens (B, N, C)."""
        dinov2 = self._features(self.dinov2, self.dinov2_pixels(pixels))[:, 1 + self._registers :]
        siglip = self._features(self.siglip, self.siglip_pixels(pixels))
        both = [_pooled(tokens, self._grid) for tokens in (dinov2, siglip)]  # each (B, g*g, its features)
        return torch.cat(both, dim=1 if self._join == "tokens" else 2)

    def _features(self, encoder: nn.Module, pixels: Tensor) -> Tensor:
        """What is read of an encoder: its result, or what its second-to-last layer gives."""
        if self._second_to_last:
            return encoder(pixels, output_hidden_states=True).hidden_states[-2]
        return encoder(pixels).last_hidden_state

    def from_images(self, images: Tensor) -> Tensor:
        """Squares (B, S, S, 3) in 0..255 to tokens (B, N, C) float32."""
        pixels = images.permute(0, 3, 1, 2).to(self.dinov2_pixels.mean.dtype) / 255
        return self.encode(pixels).float()


class SquareEncoder(nn.Module):
    """DinoSiglip on tensors of squares, for a training step."""

    def __init__(self, encoders: DinoSiglip) -> None:
        super().__init__()
        self.encoders = encoders

    def forward(self, images: Tensor) -> Tensor:
        """(B, S, S, 3) in 0..255 to tokens (B, N, C) float32."""
        return self.encoders.from_images(images)


UNKNOWN = "<unk>"  # T5's token of what its vocabulary lacks


class T5:
    """Instructions to the T5 encoder's last hidden states."""

    def __init__(self, encoder: nn.Module, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._encoder, self._tokenizer, self._max_tokens = encoder, tokenizer, max_tokens
        self._tokenizer.no_padding()

    @classmethod
    def load(
        cls, folder: Path, config: ModelConfig, device: Device = "cpu", dtype: torch.dtype = torch.float32
    ) -> T5:
        """The encoder in `folder`, to run on `device` in `dtype`.

        Raises:
            DataError: it or its tokenizer is missing; says what to put where.
        """
        from transformers import T5EncoderModel

        encoder = _load(T5EncoderModel, folder, "t5", device, dtype)
        path = folder / "t5" / "tokenizer.json"
        if not path.is_file():
            raise _missing(path, "t5")
        return cls(encoder, Tokenizer.from_file(str(path)), config.decoder.language_tokens)

    @torch.inference_mode()
    def __call__(self, instructions: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """B instructions to tokens (B, L, C) float32 and mask (B, L) bool.

        Raises:
            DataError: an instruction is empty, longer than the model reads, or has words that it does not know.
        """
        rows = encoded(self._tokenizer, instructions, UNKNOWN, self._max_tokens)
        ids, mask = padded(rows, next(self._encoder.parameters()).device)
        tokens = self._encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state * mask[..., None]
        return tokens.float().cpu().numpy(), mask.cpu().numpy()


def _random_large(size: int, **sizes: Any) -> tuple[nn.Module, nn.Module]:
    from transformers import (
        Dinov2WithRegistersConfig,
        Dinov2WithRegistersModel,
        SiglipVisionConfig,
        SiglipVisionModel,
    )

    large = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
    so400m = {
        "hidden_size": 1152,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "intermediate_size": 4304,
    }
    dinov2 = Dinov2WithRegistersConfig(patch_size=14, image_size=518, **{**large, **sizes})
    siglip = SiglipVisionConfig(patch_size=14, image_size=size, **{**so400m, **sizes})
    return Dinov2WithRegistersModel(dinov2).eval(), SiglipVisionModel(siglip).eval()


def random_t5(**sizes: Any) -> nn.Module:
    """An encoder of random weights, of T5-v1.1-xxl's size unless `sizes` say other, for tests and benches."""
    from transformers import T5Config, T5EncoderModel

    xxl = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
    config = T5Config(**{**xxl, "feed_forward_proj": "gated-gelu", **sizes})
    return T5EncoderModel(config).eval().requires_grad_(False)


def _load(kind: Any, folder: Path, name: str, device: Device, dtype: torch.dtype) -> Any:
    path = folder / name
    for file in ("config.json", "model.safetensors"):
        sharded = file == "model.safetensors" and (path / "model.safetensors.index.json").is_file()
        if not sharded and not (path / file).is_file():
            raise _missing(path / file, name)
    model, loaded = kind.from_pretrained(
        path, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
    )
    if loaded["missing_keys"]:
        missing = sorted(loaded["missing_keys"])
        raise DataError(
            f"{path}: expected all weights of the {name} encoder, missing {len(missing)}: {shown(missing)}; "
            f"they would be random. Copy the files of {SOURCES[name]} again"
        )
    return model.eval().requires_grad_(False).to(device)


def _missing(path: Path, name: str) -> DataError:
    return DataError(
        f"{path}: expected the {name} encoder's file, found none. Nothing is downloaded: put config.json and "
        f"model.safetensors (for t5 also tokenizer.json) of {SOURCES[name]} into {path.parent}"
    )


def _pooled(tokens: Tensor, grid: int) -> Tensor:
    """Patch tokens (B, n*n, C) averaged to (B, grid*grid, C), row by row."""
    side = round(tokens.shape[1] ** 0.5)
    if side == grid:
        return tokens
    square = tokens.transpose(1, 2).unflatten(2, (side, side))
    return F.adaptive_avg_pool2d(square, grid).flatten(2).transpose(1, 2)
