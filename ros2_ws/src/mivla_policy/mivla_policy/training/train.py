"""Trains a policy, on one CPU, several GPUs or several machines. Read `train` from top to bottom.

Pre-training and fine-tuning are this loop with another objective. Stop it and start it again: it goes on at its newest
checkpoint, also with another number of processes.
"""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import trange

from mivla_drivers.errors import DataError
from mivla_policy.data.dataset import Dataset
from mivla_policy.data.image_tokens import CachedTokens
from mivla_policy.data.sentences import SentenceTokens
from mivla_policy.model.config import ModelConfig
from mivla_policy.model.mivla import Batch, Mivla
from mivla_policy.normalisation import Statistics
from mivla_policy.training import checkpoints
from mivla_policy.training.average import WeightAverage
from mivla_policy.training.batches import Batches, TrainingBatch, loader
from mivla_policy.training.checkpoints import Progress
from mivla_policy.training.config import Recipe, Run
from mivla_policy.training.encoding import (
    prepare_sentences,
    sentences_folder,
    step_encoder,
    token_cache,
    tokeniser_maker,
)
from mivla_policy.training.objective import Objective
from mivla_policy.training.optimiser import adamw
from mivla_policy.training.processes import Processes, distributed

logger = logging.getLogger(__name__)

SKIPPED_SHOWN = 10  # samples that are named in the log; all are counted


@dataclass(frozen=True)
class Result:
    """What a training came to; the weights are in the first process's memory alone."""

    weights: dict[str, Tensor]
    progress: Progress


def train(
    run: Run,
    data: Dataset,
    model: Mivla,
    statistics: Mapping[str, Statistics],
    processes: Processes,
    made_from: dict[str, str],
    encoders: Path | None = None,
) -> Result:
    """Train `model` on `data`. All processes call this, with the same weights.

    Args:
        statistics: of each robot that the data have.
        made_from: digests by name of what else decides the result, such as the data and the base.
        encoders: policy folder with the encoders that no package ships.

    Raises:
        DataError: the data lack what the objective needs, `run.out` holds another run's checkpoints, or the loss is
            no number any more.
    """
    recipe, machine, config = run.recipe, run.machine, model.config
    device = processes.device

    sentences, tokens = _encoded_once(run, data, config, processes, encoders)
    share = (processes.rank, processes.world_size)
    batches = Batches(data, config, recipe, statistics, sentences, tokens, share)
    encode = step_encoder(config, recipe, machine, encoders, device)

    objective = Objective(model).to(device).train()
    trained = distributed(objective, machine.sharding, processes, recipe.precision == "bf16")
    optimiser = adamw(trained, recipe.learning_rate, recipe.weight_decay, (recipe.beta1, recipe.beta2))
    average = WeightAverage(trained, recipe.average_decay) if recipe.average_decay else None
    state = checkpoints.State(trained, optimiser, average)
    kept = {**recipe.kept(), **made_from}
    progress = checkpoints.resume(run.out, state, kept, recipe.steps)

    for number, reason in sentences.refused.items():
        progress.skipped[f"demonstrations of {data.sentences[number]!r}"] = reason
        logger.warning("skipped all demonstrations of %r: %s", data.sentences[number], reason)

    losses = _Losses(processes, progress)
    began = time.monotonic() - progress.seconds
    steps = range(progress.step, recipe.steps)
    waiting = _Waiting(loader(batches, steps, machine.workers), progress)
    for step in _bar(steps, recipe.steps, processes):
        batch = waiting.next()
        _name_skipped(batch, progress)
        batch = batch.to(device)
        loss = update(trained, optimiser, encode(batch), batch, recipe, step, processes.world_size)
        losses.add(loss)
        if average is not None:
            average.update(trained, step)

        progress.step = step + 1
        progress.seconds = time.monotonic() - began
        last = progress.step == recipe.steps
        if progress.step % machine.log_every == 0 or last:
            losses.write_row(recipe.rate(step))
        if progress.step % machine.save_every == 0 or last:
            losses.settle()
            checkpoints.save(run.out, state, progress, kept, processes)

    if average is not None:
        average.copy_to(trained)
    weights = checkpoints.full_state_dict(trained)
    if processes.is_main:
        write_log(run.out / "train_log.csv", progress.log)
    return Result(weights, progress)


def _encoded_once(
    run: Run, data: Dataset, config: ModelConfig, processes: Processes, encoders: Path | None
) -> tuple[SentenceTokens, CachedTokens | None]:
    """Before the first step: tokens of all sentences, and of all images where they are kept."""
    recipe, device = run.recipe, str(processes.device)
    if processes.is_main:
        prepare_sentences(data, config, encoders, device)
        if recipe.cache_tokens:
            make = tokeniser_maker(config, encoders, device)
            token_cache(data, config, recipe, encoders).write(make, run.machine.workers)
    processes.barrier()
    folder = sentences_folder(data, config, encoders)
    sentences = SentenceTokens(data.sentences, folder, config.language_width)
    tokens = CachedTokens(token_cache(data, config, recipe, encoders)) if recipe.cache_tokens else None
    return sentences, tokens


def update(
    trained: nn.Module,
    optimiser: torch.optim.Optimizer,
    inputs: Batch,
    batch: TrainingBatch,
    recipe: Recipe,
    step: int,
    world_size: int = 1,
) -> Tensor:
    """One step of the optimiser on this process's share of a batch; its share of the loss before the step."""
    for group in optimiser.param_groups:
        group["lr"] = recipe.rate(step)
    with torch.autocast(batch.noise.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
        loss: Tensor = trained(inputs, batch.noise, batch.t, batch.weights)
    optimiser.zero_grad(set_to_none=True)
    # Gradients are averaged over processes, but the shares of the loss add up.
    (loss * world_size).backward()
    nn.utils.clip_grad_norm_(trained.parameters(), recipe.gradient_clip)
    optimiser.step()
    return loss


class _Losses:
    """Sums of the loss between two rows of the log; they stay on the device, since each look waits for it."""

    def __init__(self, processes: Processes, progress: Progress) -> None:
        self._processes, self._progress = processes, progress
        self._sum = torch.zeros((), device=processes.device)
        self._count = 0

    def add(self, loss: Tensor) -> None:
        """Count a step's share of the loss."""
        self._sum += loss.detach()
        self._count += 1

    def settle(self) -> None:
        """Bring the progress up to date.

        Raises:
            DataError: the loss of a step since the last time is no number.
        """
        found = self._processes.sum(self._sum)
        progress = self._progress
        if not torch.isfinite(torch.tensor(found)):
            raise DataError(
                f"training: the loss is no number any more, since one of the {self._count} steps before step "
                f"{progress.step}; the last checkpoint is before that. Choose a lower learning rate, or look for what "
                "is wrong in the data"
            )
        progress.since = (progress.since[0] + found, progress.since[1] + self._count)
        self._sum.zero_()
        self._count = 0

    def write_row(self, rate: float) -> None:
        """End a row of the log: the mean loss of the steps since the last one."""
        self.settle()
        total, count = self._progress.since
        self._progress.log.append((self._progress.step - 1, total / max(1, count), rate))
        self._progress.since = (0.0, 0)


class _Waiting:
    """Takes batches from the loader, and adds up how long they are waited for."""

    def __init__(self, batches: Iterator[TrainingBatch], progress: Progress) -> None:
        self._batches, self._progress = batches, progress

    def next(self) -> TrainingBatch:
        """The next batch."""
        began = time.monotonic()
        batch = next(self._batches)
        self._progress.waited += time.monotonic() - began
        return batch


def _name_skipped(batch: TrainingBatch, progress: Progress) -> None:
    """Count samples that cannot be used, each once; the first ones are named in the log, the others at the end."""
    for text in batch.skipped:
        name, _, reason = text.partition(": ")
        if name in progress.skipped:
            continue
        progress.skipped[name] = reason
        if len(progress.skipped) <= SKIPPED_SHOWN:
            logger.warning("skipped %s", text)


def _bar(steps: range, end: int, processes: Processes) -> Any:
    silent = {} if processes.is_main else {"disable": True}  # otherwise TQDM_DISABLE decides
    return trange(steps.start, end, initial=steps.start, total=end, unit="step", mininterval=2, **silent)


def write_log(path: Path, log: list[tuple[int, float, float]]) -> None:
    """The log as a table for people."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "loss", "learning_rate"])
        writer.writerows((step, f"{loss:.5f}", f"{rate:.2e}") for step, loss, rate in log)
