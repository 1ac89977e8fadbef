"""A policy's folder: weights, configuration, the robot it was trained for, and its numbers' statistics.

`policy_folder` says which files it has.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mivla_drivers.contract import RobotContract, require_same_contract
from mivla_drivers.contract.refusal import shown
from mivla_drivers.errors import DataError
from mivla_policy.model.config import ModelConfig
from mivla_policy.model.mivla import Mivla
from mivla_policy.normalisation import Statistics
from mivla_policy.policy_folder import CONFIG, CONTRACT, STATISTICS, URDF, WEIGHTS, read_contract, read_json

STATISTICS_BY_ROBOT = "statistics_by_robot"
"""Key of `extra`: {robot: statistics} of the other robots that pre-training normalised by their own."""


@dataclass(frozen=True)
class Checkpoint:
    """What a policy's folder holds; `extra` is what its trainer wrote beside the configuration."""

    model: Mivla
    contract: RobotContract
    statistics: Statistics
    extra: dict[str, Any] = field(default_factory=dict)

    def statistics_of(self, robot: str) -> Statistics | None:
        """Those by which `robot`'s numbers were normalised in training; None where it was not in it."""
        if robot == self.contract.robot:
            return self.statistics
        document = self.extra.get(STATISTICS_BY_ROBOT, {}).get(robot)
        return None if document is None else Statistics.from_dict(document, f"statistics of {robot}")

    @property
    def untrained(self) -> tuple[str, ...]:
        """Tensors that `mivla import-hrdt` left fresh; a policy that has any is a start for training only."""
        return tuple(self.extra.get("untrained", ()))


def save_policy(
    folder: Path,
    model: Mivla,
    contract: RobotContract,
    statistics: Statistics,
    extra: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a policy's folder; `extra` must be plain values, `dtype` is the weights' on disk.

    A tensor with a number that `dtype` cannot hold, such as 65505 in float16, is written as float32.

    Raises:
        DataError: a weight is NaN or infinite; nothing is written.
    """
    folder = Path(folder)
    weights = {name: _stored(folder, name, tensor, dtype) for name, tensor in model.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{WEIGHTS}.part"
    partial.write_bytes(save(weights))  # save_file would leave it readable by its owner only
    partial.replace(folder / WEIGHTS)  # a killed trainer leaves the last whole file
    save_policy_files(folder, model.config, contract, statistics, extra)


def save_policy_files(
    folder: Path,
    config: ModelConfig,
    contract: RobotContract,
    statistics: Statistics,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write all of a policy's folder but its weights."""
    _write_json(folder / CONFIG, {"model": config.to_dict(), "extra": extra or {}})
    _write_json(folder / STATISTICS, statistics.to_dict())
    (folder / CONTRACT).write_text(contract.text)
    (folder / URDF).write_text(contract.urdf)


def load_policy_folder(folder: Path, contract: RobotContract | None = None) -> Checkpoint:
    """Read a policy's folder, its weights as float32 and held once, in evaluation mode.

    Args:
        folder: written by `save_policy`.
        contract: of the robot the policy is to drive, whose other cameras do not matter; None takes the
            folder's own.

    Raises:
        DataError: a file is missing, truncated or does not fit the configuration.
        ContractError: the policy was trained for another robot.
        Each names the file, what was expected and what was found.
    """
    folder = Path(folder)
    own = read_contract(folder)
    document = read_json(folder / CONFIG)
    if "model" not in document:
        raise DataError(f"{folder / CONFIG}: expected a field 'model', found {shown(sorted(document))}")
    config = ModelConfig.from_dict(document["model"], str(folder / CONFIG))
    if contract is not None:
        require_same_contract(contract, own, str(folder / CONTRACT), views=config.views)
    statistics = Statistics.from_dict(read_json(folder / STATISTICS), str(folder / STATISTICS))
    # Shapes only: memory is taken once, for the weights that are read, and not for random ones too.
    with torch.device("meta"):
        model = Mivla(config)
    _load_weights(model, folder / WEIGHTS)
    return Checkpoint(model.eval(), own, statistics, document.get("extra", {}))


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, float32 where they are numbers with a point, in memory of their own.

    Raises:
        DataError: the file is truncated or not a safetensors file; names it and its size.
    """
    try:
        with safe_open(path, framework="pt") as file:
            # One after another. Copied, since the file's own tensors are a map of it, which changes with it.
            return {name: _own(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118  # it is no dict
    except (SafetensorError, OSError) as error:
        size = path.stat().st_size if path.exists() else 0
        raise DataError(
            f"{path}: expected a whole safetensors file, found {size} bytes that do not read ({error}). "
            "Copy it again."
        ) from None


def _load_weights(model: Mivla, path: Path) -> None:
    weights, expected = read_weights(path), model.state_dict()
    missing, unknown = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or unknown:
        raise DataError(
            f"{path}: expected {model.config.name}'s tensors, missing {missing}, unknown {unknown}"
        )
    for name, tensor in expected.items():
        if weights[name].shape != tensor.shape:
            raise DataError(
                f"{path}: {name}: expected shape {tuple(tensor.shape)}, found {tuple(weights[name].shape)}"
            )
        if not torch.isfinite(weights[name]).all():
            raise DataError(f"{path}: {name}: expected finite numbers, found NaN or infinity")
    model.load_state_dict(weights, assign=True)


def _stored(folder: Path, name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """`tensor` as it is written."""
    own = tensor.detach().to("cpu")
    if not torch.isfinite(own).all():
        raise DataError(
            f"{folder}: {name}: expected finite weights to write, got NaN or infinity; the training failed"
        )
    narrow = own.to(dtype)
    return (narrow if torch.isfinite(narrow).all() else own.to(torch.float32)).contiguous()


def _own(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n")
