"""Checkpoints to resume from, written by all processes at once, each its share.

    checkpoints/step_0005000/   torch.distributed.checkpoint's files, and progress.json

The number of processes and the engine may change between two runs; the samples of a step and the data may not.
"""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)

from mivla_policy.recipe import require_same_recipe
from mivla_policy.training.digests import digest_of_policy
from mivla_policy.training.mutual import MutualConfig
from mivla_policy.training.processes import Processes

FOLDER, PROGRESS = "checkpoints", "progress.json"
CHECKPOINTS_KEPT = 2
MAY_CHANGE_ON_RESUME = (
    "steps",
    "batch_size",
    "log_every",
    "save_every",
)
PREFIX = "model."  # of a model's names inside its objective
SINGLE_PROCESS_WARNING = (
    "torch.distributed is disabled"  # of PyTorch; a small run is one process without a group
)


@dataclass
class Progress:
    """How far a run is: the next step, the log (step, loss, learning rate), and the seconds it took."""

    step: int = 0
    log: list[tuple[int, float, float]] = field(default_factory=list)
    seconds: float = 0.0


def recipe_of(config: MutualConfig, processes: Processes, frames: str, base: Path | None) -> dict[str, Any]:
    """What must be the same in a run and its continuation, as JSON.

    Args:
        frames: the digest of the data.
        base: the policy that it started from.
    """
    kept = {key: value for key, value in asdict(config).items() if key not in MAY_CHANGE_ON_RESUME}
    kept["samples_a_step"] = config.batch_size * processes.world_size
    return json.loads(
        json.dumps({**kept, "frames": frames, "base": digest_of_policy(base) if base else None})
    )


def save(
    out: Path,
    trained: nn.Module,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    recipe: dict[str, Any],
    processes: Processes,
) -> None:
    """Write a checkpoint of a run of `recipe`; the newest two are kept. All processes call this."""
    folder = out / FOLDER / f"step_{progress.step:07d}"
    partial = folder.with_suffix(".part")
    model, state = get_state_dict(trained, optimiser)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=SINGLE_PROCESS_WARNING)
        dcp.save({"model": model, "optimiser": state}, checkpoint_id=partial)
    if processes.is_main:
        document = {**asdict(progress), "recipe": recipe}
        (partial / PROGRESS).write_text(json.dumps(document))
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
        for old in _checkpoints(out)[:-CHECKPOINTS_KEPT]:
            shutil.rmtree(old)
    processes.barrier()


def resume(
    out: Path,
    trained: nn.Module,
    optimiser: torch.optim.Optimizer,
    recipe: dict[str, Any],
) -> Progress:
    """Take up the newest checkpoint below `out`; a fresh start where there is none. All processes call this.

    What an older checkpoint's recipe leaves out is not compared.

    Raises:
        DataError: it was written under another recipe.
    """
    found = _checkpoints(out)
    if not found:
        return Progress()
    document = json.loads((found[-1] / PROGRESS).read_text())
    written = document.pop("recipe")
    require_same_recipe(found[-1], written, {key: value for key, value in recipe.items() if key in written})
    model, state = get_state_dict(trained, optimiser)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=SINGLE_PROCESS_WARNING)
        dcp.load({"model": model, "optimiser": state}, checkpoint_id=found[-1])
    set_state_dict(trained, optimiser, model_state_dict=model, optim_state_dict=state)
    return Progress(document["step"], [tuple(row) for row in document["log"]], document["seconds"])


def full_state_dict(trained: nn.Module) -> dict[str, Any]:
    """The model's weights, gathered in the first process's memory, empty in the others. All processes call this."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights = get_model_state_dict(trained, options=options)
    return {name.removeprefix(PREFIX): value for name, value in weights.items()}


def _checkpoints(out: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted(path.parent for path in (out / FOLDER).glob(f"step_*[0-9]/{PROGRESS}"))
