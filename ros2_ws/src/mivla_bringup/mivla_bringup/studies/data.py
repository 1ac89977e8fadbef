"""The data of a study: hands and arms for pre-training, demonstrations of the task for fine-tuning.

    hands/ robot/           demonstrations of simulated people and arms; no arm moves the task's object
    annotated/              what the other embodiment would have done
    pretraining/            both, encoded
    demonstrations/seed0/   of the task, ten a folder, encoded

Everything is made once and kept; a run that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mivla_bringup.studies.plan import ALL_SHOTS, SEEN, Scale
from mivla_drivers.contract import RobotContract, load_contract
from mivla_drivers.errors import DataError, MivlaError
from mivla_drivers.robots import DEFAULT_ROBOT
from mivla_drivers.simulation.demonstration import Demonstrator
from mivla_drivers.simulation.task import Task
from mivla_drivers.simulation.tasks import load_task
from mivla_policy.data import hand_demonstrations, task_demonstrations
from mivla_policy.data.annotate import Workers, annotate_all
from mivla_policy.data.annotation import Demonstrations
from mivla_policy.data.encode_mutual import annotated_tracks
from mivla_policy.data.encoded import EncodedFrames, EpisodeFrames, concatenate, encode_episodes
from mivla_policy.data.mutual_frames import INDEX, MutualFrames, encode_tracks
from mivla_policy.model.config import ModelConfig, mivla_small
from mivla_policy.model.tokenisers import image_tokeniser, language_tokeniser

ROBOT = DEFAULT_ROBOT
KINDS = {"egodex": "hands", "simulated": "robot"}
BLOCK = 10  # demonstrations encoded together
FIRST_SCENE = 3_000_000  # far from the seeds of pre-training
SCENES_A_SEED = 1000


@dataclass(frozen=True)
class StudyData:
    """What a study of a scale trains on, below `folder`."""

    folder: Path
    scale: Scale

    @property
    def contract(self) -> RobotContract:
        """The arm that imitates hands and does the task."""
        return load_contract(ROBOT)

    @property
    def task(self) -> Task[Any]:
        """The task that policies are fine-tuned and tried on."""
        return load_task(self.scale.task)

    @property
    def model(self) -> ModelConfig:
        """The model of all policies."""
        return mivla_small(tuple(camera.view for camera in self.contract.cameras))

    def pretraining(self) -> MutualFrames:
        """The encoded frames that `prepare` left.

        Raises:
            DataError: it did not run to its end.
        """
        return MutualFrames.load(self.folder / "pretraining")

    def demonstrations(self, seed: int, shots: int) -> EncodedFrames:
        """The first `shots` demonstrations of a seed, encoded.

        Raises:
            DataError: `demonstrate` did not run to its end, or `shots` is no multiple of ten up to thirty.
        """
        if shots not in range(BLOCK, ALL_SHOTS + 1, BLOCK):
            raise DataError(f"shots: expected a multiple of {BLOCK} up to {ALL_SHOTS}, got {shots}")
        return concatenate([EncodedFrames.load(self._block(seed, i)) for i in range(shots // BLOCK)])

    def prepare(self, workers: int) -> Iterator[str]:
        """Make the data for pre-training where it is not there yet; says what it is about to do.

        Raises:
            DataError: there is nothing to learn from.
        """
        scale, horizon = self.scale, self.model.decoder.horizon
        if (self.folder / "pretraining" / INDEX).is_file():
            return
        yield f"{scale.hand_episodes} demonstrations of simulated people"
        hand_demonstrations.generate(self.folder / "hands", scale.hand_episodes, workers)
        yield f"{scale.robot_episodes} demonstrations of simulated arms"
        task_demonstrations.generate(self.folder / "robot", ROBOT, scale.robot_episodes, horizon, workers)
        yield "what the other embodiment would have done"
        for kind, name in KINDS.items():
            self._annotate(Demonstrations(kind, self.folder / name, ROBOT), workers)
        yield "their tokens"
        self._encode(workers)

    def demonstrate(self, seed: int, block: int) -> None:
        """Ten demonstrations of the task, encoded; nothing where they are there.

        Raises:
            DataError: too few succeed.
        """
        folder = self._block(seed, block)
        if (folder / "frames.json").is_file():
            return
        first = FIRST_SCENE + SCENES_A_SEED * seed + block * SCENES_A_SEED // BLOCK
        episodes = _episodes(self.contract, self.task, first, self.model.decoder.horizon)
        encode_episodes(episodes, self.contract, image_tokeniser(self.model), folder)

    def _annotate(self, demonstrations: Demonstrations, workers: int) -> None:
        shards = self.folder / "annotated" / demonstrations.kind
        for summary, _ in annotate_all(demonstrations, shards, Workers("processes", workers)):
            skipped = summary.skipped
        if skipped:
            path, reason = next(iter(skipped.items()))
            raise DataError(
                f"study: expected to annotate every demonstration, {len(skipped)} failed: {path}: {reason}"
            )

    def _encode(self, threads: int) -> None:
        data = [(kind, self.folder / name, self.folder / "annotated" / kind) for kind, name in KINDS.items()]
        encode_tracks(
            annotated_tracks(data, ROBOT),
            self.model,
            image_tokeniser(self.model, threads=threads),
            language_tokeniser(self.model),
            self.folder / "pretraining",
            every=None,
        )

    def _block(self, seed: int, block: int) -> Path:
        return self.folder / "demonstrations" / f"seed{seed}" / f"block{block}"


def _episodes(
    contract: RobotContract, task: Task[Any], first_scene: int, horizon: int
) -> Iterator[EpisodeFrames]:
    """Ten demonstrations that succeeded, in scenes of the `seen` condition from `first_scene` on.

    Raises:
        DataError: fewer do.
    """
    kept = 0
    with Demonstrator(contract, task) as demonstrator:
        for scene in range(first_scene, first_scene + SCENES_A_SEED // BLOCK):
            try:
                episode = demonstrator.run(scene, SEEN, horizon, perturbed=True)
            except MivlaError:  # a scene out of the arm's reach is no demonstration; the next one is tried
                continue
            if episode.success:
                yield EpisodeFrames(episode.joints, episode.commands, episode.images, episode.instruction)
                kept += 1
            if kept == BLOCK:
                return
    raise DataError(f"study: expected {BLOCK} demonstrations from scene {first_scene} on, got {kept}")
