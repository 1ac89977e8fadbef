"""The batch of every step: which samples, in which noise. Worker processes read and decode what is in it.

A step's samples and their noise follow from the seed, the step and the place in the batch alone: one process or many,
resumed or not, they are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from mivla_drivers.errors import DataError
from mivla_policy.data.dataset import Dataset, SampleRow
from mivla_policy.data.image_tokens import CachedTokens
from mivla_policy.data.preparation import AUGMENTATION, draw_augmentation, prepared
from mivla_policy.data.sentences import SentenceTokens
from mivla_policy.data.shards import with_poses
from mivla_policy.model.config import ModelConfig
from mivla_policy.model.mivla import to_device
from mivla_policy.normalisation import Statistics
from mivla_policy.training.config import Recipe
from mivla_policy.training.objective import embodiments, slot_weights

AUGMENTED = 1  # seeds' last number


class TrainingBatch(NamedTuple):
    """One process's share of a step's batch, b samples.

    Attributes:
        images: pixels (b, V, S, S, 3) uint8, or their tokens (b, N, C) float16.
        seen: views that the samples have, (b, V) bool.
        augmentation: how the pixels are to be changed, (b, V, AUGMENTATION).
        language, language_mask: (b, L, C) float16, and true for tokens, (b, L) bool.
        state, state_mask: normalised, (b, 76), and valid slots, (b, 76) bool.
        actions: normalised, (b, H, 76).
        noise, t: (b, H, 76), and flow times (b,).
        weights: of each slot of each sample in the loss, (b, 76); the model does not see slots of weight 0.
        skipped: names of samples that cannot be used, each with the reason; their weights are 0.
    """

    images: Tensor
    seen: Tensor
    augmentation: Tensor
    language: Tensor
    language_mask: Tensor
    state: Tensor
    state_mask: Tensor
    actions: Tensor
    noise: Tensor
    t: Tensor
    weights: Tensor
    skipped: tuple[str, ...] = ()

    def to(self, device: torch.device) -> TrainingBatch:
        """The same on `device`."""
        names = [name for name in self._fields if name != "skipped"]
        moved: dict[str, Any] = {name: to_device(getattr(self, name), device) for name in names}
        return self._replace(**moved)


@dataclass(frozen=True)
class Batches(TorchDataset):
    """Batches by step.

    Attributes:
        statistics: of each robot that the data have.
        sentences: tokens of the data set's instructions.
        tokens: where images' tokens are kept; None gives pixels.
        share: this process's number, and how many there are.
    """

    data: Dataset
    config: ModelConfig
    recipe: Recipe
    statistics: Mapping[str, Statistics]
    sentences: SentenceTokens
    tokens: CachedTokens | None = None
    share: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        if self.recipe.batch_size < self.share[1]:
            raise DataError(
                f"training: batch_size: expected at least a sample for each of {self.share[1]} processes, "
                f"got {self.recipe.batch_size}"
            )
        ranges = self.data.of(embodiments(self.recipe.objective), without=self.sentences.refused)
        if not len(ranges) or not (ranges[:, 1] > ranges[:, 0]).any():
            whose = "robot" if self.recipe.objective == "robot_only" else "human"
            raise DataError(f"objective {self.recipe.objective}: expected {whose} demonstrations, found none")
        object.__setattr__(self, "_starts", ranges[:, 0])
        object.__setattr__(self, "_ends", np.cumsum(ranges[:, 1] - ranges[:, 0]))

    def drawn(self, step: int) -> np.ndarray:
        """Numbers of the samples of a step's whole batch, sorted, so that they are read forwards."""
        starts, ends = self._starts, self._ends  # type: ignore[attr-defined]
        rng = np.random.default_rng([self.recipe.seed, step])
        places = np.sort(rng.integers(int(ends[-1]), size=self.recipe.batch_size))
        ranges = np.searchsorted(ends, places, side="right")
        before = np.concatenate([[0], ends[:-1]])
        return starts[ranges] + places - before[ranges]

    def __getitem__(self, step: int) -> TrainingBatch:
        """This process's share of the batch of `step`."""
        horizon = self.config.decoder.horizon
        rank, count = self.share
        numbers = self.drawn(step)
        rows = [self.data.sample(int(number), horizon) for number in numbers]
        source = np.array([row.source for row in rows])
        known = np.stack([row.mask for row in rows])
        weights = slot_weights(source, known, self.recipe.objective)[rank::count]
        own = list(zip(range(rank, len(rows), count), numbers[rank::count], rows[rank::count], strict=True))
        generators = [np.random.default_rng([self.recipe.seed, step, place]) for place, *_ in own]
        images, seen, augmentation, failed = self._images(own, step)
        weights[list(failed)] = 0.0
        language, language_mask = self._language([row.sentence for _, _, row in own])
        shape = (horizon, self.config.decoder.action_width)
        mine = [row for _, _, row in own]
        norms = [self.statistics[self.data.robots[row.place.shard]] for row in mine]
        states = with_poses(np.stack([row.state for row in mine]), self.config.pose_version)
        actions = with_poses(np.stack([row.actions for row in mine]), self.config.pose_version)
        return TrainingBatch(
            images=torch.from_numpy(images),
            seen=torch.from_numpy(seen),
            augmentation=torch.from_numpy(augmentation),
            language=torch.from_numpy(language),
            language_mask=torch.from_numpy(language_mask),
            state=_tensor(
                np.stack([one.normalise_state(state) for one, state in zip(norms, states, strict=True)])
            ),
            state_mask=torch.from_numpy(np.stack([row.state_mask for row in mine])),
            actions=_tensor(
                np.stack([one.normalise_action(chunk) for one, chunk in zip(norms, actions, strict=True)])
            ),
            noise=_tensor(np.stack([g.standard_normal(shape, dtype=np.float32) for g in generators])),
            t=_tensor(np.array([g.uniform(0.0, self.config.flow_time_max) for g in generators])),
            weights=torch.from_numpy(weights),
            skipped=tuple(failed.values()),
        )

    def _images(
        self, own: Sequence[tuple[int, np.int64, SampleRow]], step: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[int, str]]:
        """Images or their tokens, which views there are, how they are changed, and {row: reason} of failures."""
        views, failed = self.config.views, {}
        # Of its own, so that the noise is the same whether images are changed or not.
        generators = [np.random.default_rng([self.recipe.seed, step, place, AUGMENTED]) for place, *_ in own]
        how = np.zeros((len(own), len(views), AUGMENTATION), dtype=np.float32)
        for changes, generator in zip(how, generators, strict=True):
            for view in changes:
                view[:] = draw_augmentation(generator, self.recipe.augment)
        seen = np.ones((len(own), len(views)), dtype=bool)
        if self.tokens is not None:
            found = []
            for place, ((_, number, row), generator) in enumerate(zip(own, generators, strict=True)):
                version = self._version(generator)
                tokens, reason = self.tokens.read(row.place.shard, int(number), version)
                found.append(tokens)
                if reason:
                    failed[place] = f"{self.data.name(row.place)}: {reason}"
            return np.stack(found), seen, how, failed
        side = self.config.image_size
        pixels = np.zeros((len(own), len(views), side, side, 3), dtype=np.uint8)
        for place, (_, _, row) in enumerate(own):
            for column, view in enumerate(views):
                try:
                    image = self.data.image(row.place, view)
                except DataError as error:
                    failed[place] = f"{self.data.name(row.place)}: {error}"
                    image = None
                seen[place, column] = image is not None
                if image is not None:
                    pixels[place, column] = prepared(image, self.config)
        return pixels, seen, how, failed

    def _version(self, generator: np.random.Generator) -> int:
        """Of a sample's tokens: the plain one, or for a share of samples one of the others."""
        changed = generator.random() < self.recipe.augment
        other = 1 + int(generator.integers(max(1, self.recipe.cache_tokens - 1)))
        return other if changed and self.recipe.cache_tokens > 1 else 0

    def _language(self, numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Tokens padded to the longest of these instructions, and which are no padding."""
        texts = [self.sentences[number] for number in numbers]
        shape = (len(texts), max(len(text) for text in texts))
        tokens = np.zeros((*shape, self.config.language_width), np.float16)
        valid = np.zeros(shape, bool)
        for row, text in enumerate(texts):
            tokens[row, : len(text)], valid[row, : len(text)] = text, True
        return tokens, valid


def loader(batches: Batches, steps: range, workers: int) -> Iterator[TrainingBatch]:
    """Batches of `steps` in their order, read ahead by `workers` processes; 0 reads each when it is asked for."""
    options: dict[str, Any] = {}
    if workers:
        options = {"prefetch_factor": 2, "multiprocessing_context": "fork", "worker_init_fn": _begin_worker}
    return iter(
        DataLoader(
            batches, batch_size=None, sampler=steps, num_workers=workers, collate_fn=_as_it_is, **options
        )
    )


def _begin_worker(_: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def _as_it_is(batch: Any) -> Any:
    return batch


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
