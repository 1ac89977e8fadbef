"""Pre-training on annotated data sets of people and robots, by mutual imitation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from mivla_drivers.contract import RobotContract
from mivla_policy.checkpoint import load_policy_folder
from mivla_policy.data.dataset import Dataset
from mivla_policy.model.config import ModelConfig, with_decoder
from mivla_policy.model.mivla import Mivla
from mivla_policy.model.transfer import carry_over
from mivla_policy.recipe import require_another_folder
from mivla_policy.training.config import Run
from mivla_policy.training.digests import digest_of_policy
from mivla_policy.training.encoders import require_encoders
from mivla_policy.training.imported import keep_meaning
from mivla_policy.training.policy_writer import Summary, summarise, write_policy
from mivla_policy.training.processes import Processes
from mivla_policy.training.train import train


def pretrain(
    run: Run,
    folders: Sequence[Path],
    config: ModelConfig,
    contract: RobotContract,
    processes: Processes | None = None,
    base: Path | None = None,
    encoders: Path | None = None,
) -> Summary:
    """Train a model of `config` on the annotated data sets in `folders`, a fresh one or from `base`'s weights.

    All processes call this. The policy keeps the data's statistics of each of their robots; encoders that no package
    ships come from the policy folder `encoders`, or else from `base`.

    Raises:
        DataError: the data lack what the objective or the robot needs, `run.out` is `base` or holds what is left of
            another run, `base` is not of this configuration, or an encoder is missing.
    """
    processes = processes or Processes(0, 1, torch.device("cpu"))
    encoders = encoders or base
    require_another_folder(run.out, base)
    require_encoders(config, encoders)  # now, not after days of training
    data = Dataset(folders, run.recipe.every, run.recipe.use)
    data.require_robots({contract.robot}, only=False)
    data.require_slots(contract)
    run.out.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(run.recipe.seed)
    if run.machine.gradient_checkpointing:
        config = with_decoder(config, gradient_checkpointing=True)
    model = Mivla(config)
    origin = None if base is None else load_policy_folder(base)
    made_from = {"data": data.digest}
    if base is not None and origin is not None:
        carry_over(origin.model, model)
        made_from["base"] = digest_of_policy(base)

    by_robot = data.statistics_by_robot(config.pose_version)
    own = by_robot[contract.robot]
    if origin is not None:
        keep_meaning(replace(origin, model=model), own)
    result = train(run, data, model, by_robot, processes, made_from, encoders)
    if processes.is_main:
        write_policy(run, data, result, config, contract, own, made_from, origin, encoders, by_robot=by_robot)
    processes.barrier()
    return summarise(data, result, config)
