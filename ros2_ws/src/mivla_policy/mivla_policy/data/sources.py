"""Episodes of different origin as frames at the policy's rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mivla_drivers.contract import RobotContract
from mivla_drivers.errors import DataError
from mivla_policy.data import generate
from mivla_policy.data.encoded import EpisodeFrames

if TYPE_CHECKING:
    from mivla_drivers.recording.episode import Episode

OLDEST_IMAGE_S = 0.15  # how old another view may be when the first one is taken


def generated_episodes(folder: Path, instruction: str, limit: int | None = None) -> Iterator[EpisodeFrames]:
    """Episodes that `mivla pretrain` generated in `folder`, at most `limit`.

    `instruction` stands for the sentence of those that hold none.
    """
    for path in sorted(folder.glob("episode_*[0-9].npz"))[:limit]:
        demonstration = generate.load(path)
        yield EpisodeFrames(
            demonstration.joints,
            demonstration.commands,
            demonstration.images,
            demonstration.instruction or instruction,
        )


def recorded_episodes(
    episodes: Iterable[Episode], contract: RobotContract, horizon: int, views: Sequence[str]
) -> Iterator[EpisodeFrames]:
    """Recordings, sampled where the camera of the first view took an image; everything is paired by stamps."""
    for episode in episodes:
        yield recorded_frames(episode, contract, horizon, views)


def recorded_frames(
    episode: Episode, contract: RobotContract, horizon: int, views: Sequence[str]
) -> EpisodeFrames:
    """One recording: joints measured at each image, and the targets commanded at the `horizon` steps after it.

    Raises:
        DataError: no image has a command after it, or a view is missing or too old.
    """
    missing = [view for view in views if view not in episode.cameras]
    if missing:
        raise DataError(f"{episode.folder}: expected views {list(views)}, found {sorted(episode.cameras)}")
    times = episode.cameras[views[0]].times
    first, last = episode.command_span
    times = times[
        (times >= max(first, episode.joint_times[0])) & (times <= min(last, episode.joint_times[-1]))
    ]
    if not len(times):
        raise DataError(f"{episode.folder}: expected images while commands were given, found none")
    ahead = np.arange(1, horizon + 1) / contract.policy_rate_hz
    commands = episode.command_at((times[:, None] + ahead).ravel()).reshape(len(times), horizon, -1)
    images = {view: [_image(episode, view, time) for time in times] for view in views}
    return EpisodeFrames(episode.joints_at(times), commands, images, episode.instruction)


def _image(episode: Episode, view: str, time: float) -> bytes:
    jpeg, age_s = episode.frame_before(view, time + 1e-3)
    if age_s > OLDEST_IMAGE_S:
        raise DataError(
            f"{episode.folder}: view {view}: expected an image within {OLDEST_IMAGE_S} s, "
            f"the newest is {age_s:.2f} s old"
        )
    return jpeg
