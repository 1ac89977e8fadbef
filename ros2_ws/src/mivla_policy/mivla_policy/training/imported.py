"""A published H-RDT checkpoint as a policy's folder that training starts from.

    mivla import-hrdt pytorch_model.bin --weights ENCODERS --out models/hrdt
    mivla finetune --base models/hrdt ...

Its state and action layers are untrained, so it is refused where it is to drive a robot.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mivla_drivers.contract import ACTION_DIMENSIONS, RobotContract
from mivla_policy.checkpoint import save_policy
from mivla_policy.model.config import ModelConfig
from mivla_policy.model.hrdt_import import ImportReport, import_hrdt, read_hrdt
from mivla_policy.model.mivla import Mivla
from mivla_policy.normalisation import Statistics
from mivla_policy.training.encoders import carry_encoders

SEED = 0  # of the layers that start fresh


def import_policy(
    checkpoint: Path, config: ModelConfig, contract: RobotContract, out: Path, encoders: Path | None = None
) -> ImportReport:
    """Write `out` as a policy's folder for `contract`, with the weights of an H-RDT `checkpoint` where they fit.

    Args:
        config: its views must be the contract's, its decoder's sizes the checkpoint's.
        encoders: a policy folder whose encoders/ the new one gets; None leaves them out.

    Raises:
        DataError: as `read_hrdt`, `import_hrdt` and `carry_encoders`.
    """
    state = read_hrdt(checkpoint)
    torch.manual_seed(SEED)
    model = Mivla(config)
    report = import_hrdt(model, state)
    about = {"imported": f"H-RDT, {checkpoint.name}", "untrained": sorted(report.left)}
    if encoders is not None:
        carry_encoders(config, encoders, out)
    save_policy(out, model, contract, _none_yet(), about, dtype=_precision(state.values()))
    return report


def _none_yet() -> Statistics:
    """Mean 0 and spread 1: training puts its data's statistics in their place."""
    zero, one = np.zeros(ACTION_DIMENSIONS), np.ones(ACTION_DIMENSIONS)
    return Statistics(zero, one, zero.copy(), one.copy())


def _precision(tensors: Iterable[Tensor]) -> torch.dtype:
    """The checkpoint's own type, so that nothing is rounded and a bfloat16 one takes half the room."""
    found = {tensor.dtype for tensor in tensors}
    return torch.bfloat16 if found == {torch.bfloat16} else torch.float32
