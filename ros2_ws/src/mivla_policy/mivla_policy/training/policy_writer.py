"""What a run leaves: a policy's folder, its card and the picture of its loss."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mivla_drivers.contract import RobotContract
from mivla_policy.checkpoint import STATISTICS_BY_ROBOT, Checkpoint, save_policy
from mivla_policy.data.choices import FROM_HUMAN
from mivla_policy.data.dataset import Dataset
from mivla_policy.model.config import ModelConfig
from mivla_policy.model.mivla import Mivla
from mivla_policy.normalisation import Statistics, Uncovered
from mivla_policy.training.card import machine, write_card
from mivla_policy.training.config import Run
from mivla_policy.training.curve import draw_loss
from mivla_policy.training.encoders import carry_encoders
from mivla_policy.training.train import Result

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Summary:
    """What a run came to, for the operator and the model card.

    Attributes:
        samples: that the data have.
        loss: mean of the last steps, before weights are averaged.
        waited: share of the time that steps waited for data.
        views: of the cameras that the policy looks through.
        unused_views: of the data's other cameras.
        skipped: {demonstration or sample: reason}.
    """

    episodes: int
    samples: int
    seconds: float
    loss: float
    waited: float
    views: tuple[str, ...]
    unused_views: tuple[str, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)


def write_policy(
    run: Run,
    data: Dataset,
    result: Result,
    model: ModelConfig,
    contract: RobotContract,
    statistics: Statistics,
    made_from: dict[str, str],
    base: Checkpoint | None = None,
    encoders: Path | None = None,
    unused_views: tuple[str, ...] = (),
    uncovered: tuple[Uncovered, ...] = (),
    by_robot: Mapping[str, Statistics] | None = None,
) -> Summary:
    """Write the policy of `result` to `run.out`; encoders that no package ships go with it.

    Args:
        by_robot: statistics of all robots that it was trained with.

    Raises:
        DataError: a weight is no number.
    """
    summary = summarise(data, result, model, unused_views)
    about: dict[str, Any] = {
        "data": describe(data),
        "command": run.command,
        "made_from": made_from,
        "training": {**asdict(run.recipe), **asdict(run.machine)},
        "differs_from_paper": {
            name: list(values) for name, values in run.recipe.differences(run.kind).items()
        },
        "result": {**asdict(summary), "skipped": len(summary.skipped)},
        "machine": machine(),
        "uncovered": [str(slot) for slot in uncovered],
    }
    if base is not None:
        about["base"] = {name: value for name, value in base.extra.items() if name != STATISTICS_BY_ROBOT}
    others = {name: one.to_dict() for name, one in (by_robot or {}).items() if name != contract.robot}
    if others:
        about[STATISTICS_BY_ROBOT] = others
    trained = Mivla(model)
    trained.load_state_dict(result.weights)
    carry_encoders(model, encoders, run.out)
    save_policy(run.out, trained, contract, statistics, about)
    write_card(run.out, trained, contract, about)
    title = f"{run.out.name}: {run.recipe.objective}, {len(data)} samples"
    draw_loss(result.progress.log, run.out / "loss.png", title)
    return summary


def summarise(
    data: Dataset, result: Result, model: ModelConfig, unused_views: tuple[str, ...] = ()
) -> Summary:
    """A run in numbers."""
    progress = result.progress
    return Summary(
        episodes=len(data.demonstrations),
        samples=len(data),
        seconds=progress.seconds,
        loss=progress.loss,
        waited=progress.waited / max(progress.seconds, 1e-9),
        views=model.views,
        unused_views=unused_views,
        skipped={**data.skipped, **progress.skipped},
    )


def describe(data: Dataset) -> str:
    """The data in words."""
    people = int((data.demonstrations["source"] == FROM_HUMAN).sum())
    names = ", ".join(str(folder) for folder in data.folders)
    return f"{names}: {people} demonstrations by people, {len(data.demonstrations) - people} by robots"
