"""Small models and batches that the tests of this folder share."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
import yaml

from mivla_drivers.contract import RobotContract, parse_contract
from mivla_policy.benchmarks.decoder_speed import randomised
from mivla_policy.model.config import ModelConfig, mivla_small, with_decoder
from mivla_policy.model.mivla import Batch, Mivla
from mivla_policy.normalisation import Statistics

PIPER_SLOTS = [*range(48, 55), *range(62, 69)]


def small_config(**decoder) -> ModelConfig:
    return with_decoder(mivla_small(), **{"width": 32, "blocks": 2, **decoder})


def small_model(**decoder) -> Mivla:
    """Random everywhere, since a fresh model's velocity is zero."""
    return randomised(Mivla(small_config(**decoder)), spread=0.2).eval()


def piper_mask() -> torch.Tensor:
    mask = torch.zeros(76, dtype=torch.bool)
    mask[PIPER_SLOTS] = True
    return mask


def random_batch(size: int = 2, tokens: int = 6, seed: int = 0, actions: bool = True) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(size, *shape, generator=generator)

    return Batch(
        image_tokens=random(98, 112),
        language_tokens=random(tokens, 384),
        language_mask=None,
        state=random(76),
        state_mask=piper_mask(),
        action_mask=piper_mask(),
        actions=random(16, 76) if actions else None,
    )


def plain_statistics() -> Statistics:
    return Statistics(np.zeros(76), np.ones(76), np.zeros(76), np.ones(76))


def with_camera(contract: RobotContract, view: str, first: bool = False) -> RobotContract:
    """`contract` with one more camera, like its first one, before or after the others."""
    document = yaml.safe_load(contract.text)
    camera = {
        **deepcopy(document["cameras"][0]),
        "name": f"{view}_camera",
        "topic": f"{view}_camera",
        "view": view,
    }
    document["cameras"].insert(0 if first else len(document["cameras"]), camera)
    return parse_contract(yaml.safe_dump(document), contract.urdf, where=f"{contract.robot}.yaml")


def without_camera(contract: RobotContract, view: str) -> RobotContract:
    """`contract` without the camera of `view`."""
    document = yaml.safe_load(contract.text)
    document["cameras"] = [camera for camera in document["cameras"] if camera["view"] != view]
    return parse_contract(yaml.safe_dump(document), contract.urdf, where=f"{contract.robot}.yaml")
