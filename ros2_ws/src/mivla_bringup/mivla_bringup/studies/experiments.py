"""The work of one experiment of a study: pre-train, fine-tune, try. Each result is kept and not made twice.

A policy is whole once its URDF is there, which is written last.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mivla_bringup.studies.data import StudyData
from mivla_bringup.studies.plan import PRETRAININGS, Experiment, Scale
from mivla_bringup.studies.results import Row, write_rows
from mivla_drivers.simulation.lockstep import EarlyEnd, Lockstep
from mivla_policy.checkpoint import save_policy
from mivla_policy.data.choices import FROM_HUMAN
from mivla_policy.data.dataset import Dataset
from mivla_policy.model.mivla import Mivla
from mivla_policy.policies.mivla import load_mivla
from mivla_policy.policy_folder import URDF
from mivla_policy.training.config import Machine, Recipe, Run
from mivla_policy.training.finetune import finetune
from mivla_policy.training.objective import embodiments
from mivla_policy.training.pretrain import pretrain

FIRST_TRIAL_SCENE = 4_000_000  # far from the seeds of all demonstrations
SCENES_A_SEED = 1000
WARMUP_STEPS = 100
SAVE_EVERY = 200
COOLDOWN_SHARE, AVERAGE_DECAY = 0.4, 0.998  # of fine-tuning, which is short


def pretrain_experiment(data: StudyData, folder: Path, experiment: Experiment) -> None:
    """The pre-trained policy that `experiment` starts from, in `folder`; nothing where it starts from scratch."""
    objective = PRETRAININGS[experiment.pretraining]
    if objective is None or (folder / URDF).is_file():
        return
    steps = pretrain_steps(data.scale, data.pretraining_data(), objective)
    recipe = Recipe(steps=steps, objective=objective, **_recipe(data.scale, experiment))
    run = Run("pretrain", folder, recipe, Machine(save_every=SAVE_EVERY))
    pretrain(run, data.pretraining, data.model, data.contract)


def pretrain_steps(scale: Scale, data: Dataset, objective: str) -> int:
    """Optimiser steps of an objective; with equal passes, in proportion to the samples it learns from."""
    if scale.equal == "steps":
        return scale.pretrain_steps
    own, people = (
        int((ranges[:, 1] - ranges[:, 0]).sum())
        for ranges in (data.of(embodiments(objective)), data.of([FROM_HUMAN]))
    )
    return round(scale.pretrain_steps * own / people)


def finetune_experiment(data: StudyData, base: Path, folder: Path, experiment: Experiment) -> None:
    """Fine-tune from the policy in `base`, or from scratch, on the experiment's demonstrations, into `folder`.

    Statistics are the pre-training data's in every experiment, so that experiments differ in their weights alone.
    """
    if (folder / URDF).is_file():
        return
    if PRETRAININGS[experiment.pretraining] is None:
        torch.manual_seed(experiment.seed)
        base = folder.with_name(f"{folder.name}_start")
        save_policy(
            base, Mivla(data.model), data.contract, data.pretraining_data().statistics(), dtype=torch.float32
        )
    recipe = Recipe(
        steps=data.scale.finetune_steps,
        objective="robot_only",
        cooldown_share=COOLDOWN_SHARE,
        average_decay=AVERAGE_DECAY,
        **_recipe(data.scale, experiment),
    )
    run = Run("finetune", folder, recipe, Machine(save_every=SAVE_EVERY))
    finetune(run, data.demonstrations(experiment.seed, experiment.shots), base)


def try_experiment(data: StudyData, folder: Path, experiment: Experiment, condition: str, path: Path) -> None:
    """Trials of the policy in `folder` under `condition`, in lockstep; rows go to `path`."""
    if path.is_file():
        return
    policy = load_mivla(folder, seed=experiment.seed)
    first = FIRST_TRIAL_SCENE + SCENES_A_SEED * experiment.seed
    rows = []
    with Lockstep(data.contract, data.task) as lockstep:
        for trial in range(data.scale.trials):
            seed = first + trial
            scene = data.task.scene(seed, condition)
            done = lockstep.run_policy(policy, scene, seed, data.scale.time_limit_s, early=EarlyEnd())
            rows.append(
                Row(
                    **asdict(experiment),
                    condition=condition,
                    trial=trial,
                    scene=seed,
                    success=int(done.success),
                    completeness=done.completeness,
                    time_s=done.time_s,
                    ended_by=done.ended_by,
                )
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, rows)


def _recipe(scale: Scale, experiment: Experiment) -> dict[str, Any]:
    """What pre-training and fine-tuning have in common."""
    return {
        "batch_size": scale.batch_size,
        "learning_rate": scale.learning_rate,
        "warmup_steps": WARMUP_STEPS,
        "seed": experiment.seed,
        "every": 0,
        "cache_tokens": 1,
    }
