"""A trial on one picture: frames at even distances, read like a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mivla_bringup.trials.video import VideoFrame, captioned
from mivla_drivers.errors import DataError

COLUMNS, ROWS = 3, 4
GAP_PX = 4


def contact_sheet(video_frames: Sequence[VideoFrame]) -> np.ndarray:
    """Up to 12 of at least one frame, first and last among them, in rows of three; (H, W, 3) uint8 RGB."""
    chosen = np.unique(np.linspace(0, len(video_frames) - 1, COLUMNS * ROWS).round().astype(int))
    frames = [np.pad(captioned(video_frames[i]), ((0, GAP_PX), (0, GAP_PX), (0, 0))) for i in chosen]
    frames += [np.zeros_like(frames[0])] * (-len(frames) % COLUMNS)
    rows = [np.concatenate(frames[i : i + COLUMNS], axis=1) for i in range(0, len(frames), COLUMNS)]
    return np.concatenate(rows, axis=0)


def write_contact_sheet(path: Path, video_frames: Sequence[VideoFrame]) -> None:
    """Write the contact sheet as a picture; the path's suffix names the format.

    Raises:
        DataError: the file cannot be written.
    """
    if not cv2.imwrite(str(path), cv2.cvtColor(contact_sheet(video_frames), cv2.COLOR_RGB2BGR)):
        raise DataError(f"{path}: expected a folder that can be written to, could not write the picture")
