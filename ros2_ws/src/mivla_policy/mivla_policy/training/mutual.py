"""Human-robot mutual imitation: the objective of pre-training (section 3.3.2 of the MiVLA paper).

From the observation of one embodiment the model predicts its own action and the other's imitation of it:

    l_r2h = |A_r - A_r*| + |^A_h - ^A_h*|   over robot demonstrations  (Eq. 5)
    l_h2r = |A_h - A_h*| + |^A_r - ^A_r*|   over human demonstrations  (Eq. 6)
    L     = l_r2h + l_h2r                                              (Eq. 7)

As in H-RDT, each norm is the mean squared error of the flow's velocity. Every one of the four terms is the mean
over the samples it concerns, each sample being the mean over its known slots, so that neither a long hand vector
nor a large data set outweighs the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mivla_drivers.errors import DataError
from mivla_policy.action_space import ACTION_DIMENSIONS, HUMAN
from mivla_policy.data.mutual_frames import FROM_HUMAN, FROM_ROBOT, MutualFrames
from mivla_policy.model.flow import noisy_chunk
from mivla_policy.model.mivla import Batch, Mivla, to_device
from mivla_policy.normalisation import Statistics

OBJECTIVES = {
    "robot_only": ((FROM_ROBOT, "robot"),),
    "human_only": ((FROM_HUMAN, "hand"),),
    "h2r": ((FROM_HUMAN, "hand"), (FROM_HUMAN, "robot")),
    "h2r+r2h": ((FROM_HUMAN, "hand"), (FROM_HUMAN, "robot"), (FROM_ROBOT, "robot"), (FROM_ROBOT, "hand")),
}
"""Each objective's loss terms, as (embodiment of the samples, slots): fine-tuning on one robot, then Table 3's rows."""


@dataclass(frozen=True)
class MutualConfig:
    """The recipe of section 4.1; what it leaves open (warm-up, betas, clipping) is H-RDT's.

    Attributes:
        steps: optimiser steps.
        batch_size: samples per process and step; the paper's 4 GPUs make 128.
        learning_rate, weight_decay, betas: AdamW's.
        warmup_steps: linear warm-up to a constant rate.
        gradient_clip: largest norm of the gradient.
        objective: one of OBJECTIVES.
        precision: "bf16" or "float32"; weights and optimiser are float32 in both.
        seed: of weights, order of samples and noise.
        log_every, save_every: steps between rows of the log, and between checkpoints.
    """

    steps: int
    batch_size: int = 32
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_steps: int = 500
    gradient_clip: float = 1.0
    objective: str = "h2r+r2h"
    precision: str = "bf16"
    seed: int = 0
    log_every: int = 20
    save_every: int = 5000

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise DataError(f"objective: expected one of {sorted(OBJECTIVES)}, got {self.objective!r}")
        if self.precision not in ("bf16", "float32"):
            raise DataError(f"precision: expected bf16 or float32, got {self.precision!r}")

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup_steps))


def slot_weights(source: np.ndarray, mask: np.ndarray, objective: str) -> np.ndarray:
    """Weight of each slot of each sample in the loss of a whole batch.

    Args:
        source: FROM_ROBOT or FROM_HUMAN, shape (B,).
        mask: known action slots, shape (B, 76) bool.

    Returns:
        Shape (B, 76) float32; the weights of a term that has samples add up to 1.
    """
    hand = np.zeros(ACTION_DIMENSIONS, dtype=bool)
    hand[HUMAN] = True
    slots = {"hand": hand, "robot": ~hand}
    weights = np.zeros(mask.shape)
    for embodiment, part in OBJECTIVES[objective]:
        counted = mask & slots[part] & (source == embodiment)[:, None]
        known = counted.sum(axis=1, keepdims=True)
        samples = max(1, int((known > 0).sum()))
        weights += counted / (np.maximum(known, 1) * samples)
    return weights.astype(np.float32)


class TrainingBatch(NamedTuple):
    """One process's share of a training step's batch.

    Attributes:
        inputs: of the model, B samples.
        noise: (B, H, 76).
        t: flow times, (B,).
        weights: of each slot of each sample in the loss, (B, 76).
    """

    inputs: Batch
    noise: Tensor
    t: Tensor
    weights: Tensor

    def to(self, device: torch.device) -> TrainingBatch:
        """The same on `device`, all numbers float32."""
        return TrainingBatch(
            self.inputs.to(device, torch.float32), *(to_device(value, device) for value in self[1:])
        )


class MutualObjective(nn.Module):
    """A model and its loss under one `forward`, which is what DDP and FSDP wrap."""

    def __init__(self, model: Mivla) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch, noise: Tensor, t: Tensor, weights: Tensor) -> Tensor:
        """This process's part of the loss, a float32 scalar; the parts of all processes add up to L."""
        actions = batch.actions
        if actions is None:
            raise ValueError("batch.actions: expected the chunks to learn, got None")
        chunk = noisy_chunk(actions, noise, t)
        model = self.model
        velocity = model.velocity(batch, chunk, model.encode(batch), model.decoder.modulate(t))
        error = (velocity.float() - (actions - noise)).square().mean(dim=1)  # (B, 76)
        return (error * weights).sum()


class MutualSampler:
    """Draws batches of frames with replacement.

    A sample's noise is seeded by step and place in the whole batch: one process or many, resumed or not, see the
    same numbers.

    Args:
        share: this process's number and how many there are.
    """

    def __init__(
        self,
        frames: MutualFrames,
        statistics: Statistics,
        config: MutualConfig,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._frames, self._statistics, self._config = frames, statistics, config
        self._rank, self._count = share
        embodiments = [embodiment for embodiment, _ in OBJECTIVES[config.objective]]
        self._rows = np.flatnonzero(np.isin(frames.source, embodiments))
        if not len(self._rows):
            whose = "robot" if config.objective == "robot_only" else "human"
            raise DataError(f"objective {config.objective}: expected {whose} demonstrations, found none")

    def batch(self, step: int) -> TrainingBatch:
        """This process's share of the batch of `step`; image tokens are float16, as they are stored, until `to`."""
        frames, config = self._frames, self._config
        rng = np.random.default_rng([config.seed, step])
        size = config.batch_size * self._count
        rows = self._rows[np.sort(rng.integers(len(self._rows), size=size))]  # sorted, to read forwards
        weights = slot_weights(frames.source[rows], frames.action_mask[rows], config.objective)
        own = slice(self._rank, None, self._count)
        noise, t = self._noise(step, range(self._rank, size, self._count))
        mine = rows[own]
        tokens, valid = self._language(frames.instruction[mine])
        batch = Batch(
            image_tokens=torch.from_numpy(frames.image_tokens[mine]),  # (B, N, C) float16
            language_tokens=tokens,  # (B, L, C)
            language_mask=valid,
            state=_tensor(self._statistics.normalise_state(frames.state[mine])),  # (B, 76)
            state_mask=torch.from_numpy(np.array(frames.state_mask[mine])),
            # The model does not see, even noisy, what its objective does not teach.
            action_mask=torch.from_numpy(weights[own] > 0),
            actions=_tensor(self._statistics.normalise_action(frames.actions[mine])),  # (B, H, 76)
        )
        return TrainingBatch(batch, noise, t, torch.from_numpy(weights[own]))

    def _noise(self, step: int, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        model = self._frames.config
        shape = (model.decoder.horizon, model.decoder.action_width)
        generators = [np.random.default_rng([self._config.seed, step, place]) for place in places]
        noise = np.stack([g.standard_normal(shape, dtype=np.float32) for g in generators])
        t = np.array([g.uniform(0.0, model.flow_time_max) for g in generators], dtype=np.float32)
        return torch.from_numpy(noise), torch.from_numpy(t)

    def _language(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
        """Tokens padded to the longest of these instructions, and which are no padding."""
        texts = [self._frames.language[number] for number in numbers]
        shape = (len(texts), max(len(text) for text in texts))
        tokens, valid = np.zeros((*shape, texts[0].shape[-1]), np.float32), np.zeros(shape, bool)
        for row, text in enumerate(texts):
            tokens[row, : len(text)], valid[row, : len(text)] = text, True
        return torch.from_numpy(tokens), torch.from_numpy(valid)


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
