"""A trial as a video: the cameras side by side, and what was reached when."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mivla_drivers.errors import DataError

VIEW_PX = 320  # height of each view
CAPTION_PX = 36
OUTCOME_S = 1.0
INK, PAPER = (235, 235, 235), (24, 24, 24)


@dataclass(frozen=True)
class VideoFrame:
    """What the cameras saw at once: images (H, W, 3) uint8 RGB, and a caption's text."""

    images: tuple[np.ndarray, ...]
    caption: str


def captioned(frame: VideoFrame) -> np.ndarray:
    """One frame of the video, (H, W, 3) uint8 RGB: the views at the same height, the caption below."""
    views = [cv2.resize(image, _view_size(image), interpolation=cv2.INTER_LINEAR) for image in frame.images]
    picture = np.concatenate(views, axis=1)
    strip = np.full((CAPTION_PX, picture.shape[1], 3), PAPER, dtype=np.uint8)
    baseline = (10, CAPTION_PX - 13)
    cv2.putText(strip, frame.caption, baseline, cv2.FONT_HERSHEY_SIMPLEX, 0.45, INK, 1, cv2.LINE_AA)
    return np.concatenate([picture, strip], axis=0)


def caption(number: int, seed: int | None, time_s: float, subtasks: Mapping[str, bool]) -> str:
    """Text below a frame; OpenCV draws ASCII only."""
    reached = [name.replace("_", " ") for name, holds in subtasks.items() if holds]
    scene = "" if seed is None else f"  seed {seed}"
    return f"trial {number + 1}{scene}  {time_s:4.1f} s  {', '.join(reached)}"


def write_video(path: Path, frames: Sequence[VideoFrame], rate_hz: float, outcome: str = "") -> None:
    """Write a WebM video (VP8, which browsers play) of at least one frame.

    With an `outcome`, the last frame is held for `OUTCOME_S` with that word, so that a video ends on it.

    Raises:
        DataError: this OpenCV cannot write such a video.
    """
    height, width, _ = captioned(frames[0]).shape
    with _quiet_stderr():  # FFmpeg tells that it writes VP8 under another tag than OpenCV asked for
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), rate_hz, (width, height))
    if not writer.isOpened():
        raise DataError(
            f"{path}: expected an OpenCV that writes WebM videos, found {cv2.__version__} without"
        )
    held = round(rate_hz * OUTCOME_S) if outcome else 0
    last = VideoFrame(frames[-1].images, f"{frames[-1].caption}  {outcome.upper()}")
    for frame in (*frames, *[last] * held):
        writer.write(np.ascontiguousarray(captioned(frame)[:, :, ::-1]))
    writer.release()


def _view_size(image: np.ndarray) -> tuple[int, int]:
    """Width and height of a view; even, as video codecs want it."""
    height, width, _ = image.shape
    return 2 * round(VIEW_PX * width / height / 2), VIEW_PX


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Discard what native code writes to stderr meanwhile."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
