"""Digests of what a run is made from: a continuation must start from the same, and a card can say which it was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mivla_policy.data.encoded import EncodedFrames
from mivla_policy.policy_folder import WEIGHTS

if TYPE_CHECKING:
    from mivla_drivers.recording.episode import Episode

BLOCK = 1 << 20  # bytes read at a time


def digest_of_policy(folder: Path) -> str:
    """SHA-256 of a policy's weights, as `sha256sum FOLDER/model.safetensors` prints it."""
    digest = hashlib.sha256()
    with (Path(folder) / WEIGHTS).open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def digest_of_recordings(episodes: Iterable[Episode]) -> str:
    """SHA-256 of what training reads from recordings, in their order; where they lie does not count."""
    digest = hashlib.sha256()
    for episode in episodes:
        digest.update(episode.instruction.encode())
        _add(digest, episode.joint_times, episode.joint_positions)
        _add(digest, episode.command_times, episode.command_positions)
        for view, track in sorted(episode.cameras.items()):
            digest.update(view.encode())
            _add(digest, track.times)
            for jpeg in track.jpegs:
                digest.update(jpeg)
    return digest.hexdigest()


def digest_of_frames(frames: EncodedFrames) -> str:
    """SHA-256 of encoded frames' states, actions and instructions; their images follow from the same episodes."""
    digest = hashlib.sha256("\n".join(frames.instructions).encode())
    _add(digest, frames.state, frames.actions, frames.instruction)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, *arrays: np.ndarray) -> None:
    for array in arrays:
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
