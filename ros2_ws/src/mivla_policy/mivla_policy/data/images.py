"""Images of a demonstration: read when they are looked at, red first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mivla_drivers.errors import DataError

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
LARGEST_SKIP = 8  # frames of a video; beyond, it seeks


@dataclass(frozen=True)
class JpegImage:
    """JPEG bytes.

    Attributes:
        data: the bytes.
        swapped: red and blue were exchanged before encoding, so that OpenCV's BGR is RGB already.
        source: file, view and frame, for messages.
    """

    data: bytes
    swapped: bool = False
    source: str = "image"

    def __post_init__(self) -> None:
        if not (self.data.startswith(JPEG_START) and self.data.rstrip(b"\0").endswith(JPEG_END)):
            raise DataError(f"{self.source}: expected a whole JPEG, got {len(self.data)} bytes that are none")

    def pixels(self) -> np.ndarray:
        """Shape (H, W, 3) uint8 rgb.

        Raises:
            DataError: the bytes do not decode.
        """
        image = cv2.imdecode(np.frombuffer(self.data, dtype=np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise DataError(f"{self.source}: expected a JPEG, got {len(self.data)} bytes that do not decode")
        return image if self.swapped else image[..., ::-1]


Image = JpegImage | np.ndarray


def pixels(image: Image) -> np.ndarray:
    """`image` as (H, W, 3) uint8 rgb.

    Raises:
        DataError: a JPEG does not decode.
    """
    return image.pixels() if isinstance(image, JpegImage) else image


class VideoFrames(Sequence[np.ndarray]):
    """Frames of a video file, (H, W, 3) uint8 rgb each, decoded when asked for; reading forwards is fast.

    A copy sent to another process opens the file again there.

    Args:
        path: the video.
        height: frames are shrunk to this height [px], keeping their shape; None keeps them.

    Raises:
        DataError: the file is not there, is no video or has no frames.
    """

    def __init__(self, path: Path, height: int | None = None) -> None:
        self.path, self.height = path, height
        self._capture: Any = None
        self._next = 0
        self._count = int(self._open().get(cv2.CAP_PROP_FRAME_COUNT))
        if self._count < 1:
            raise DataError(f"{path}: expected a video with frames, found none")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.path}: frame {index} of {len(self)}")
        return self._frame(index % len(self))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_capture": None, "_next": 0}

    def _open(self) -> Any:
        if self._capture is None:
            self._capture, self._next = cv2.VideoCapture(str(self.path)), 0
            if not self._capture.isOpened():
                raise DataError(f"{self.path}: expected a video, found none that opens")
        return self._capture

    def _frame(self, index: int) -> np.ndarray:
        capture = self._open()
        if self._next < 0 or not 0 <= index - self._next <= LARGEST_SKIP:
            capture.set(cv2.CAP_PROP_POS_FRAMES, index)
            self._next = index
        while self._next < index and capture.grab():  # a seek would decode from the last key frame again
            self._next += 1
        frame = capture.read()[1] if self._next == index else None
        self._next = index + 1
        if frame is None:
            self._next = -1  # the next read seeks, whatever state this one left
            raise DataError(f"{self.path}: expected frame {index} of {len(self)}, it does not decode")
        if self.height is not None and frame.shape[0] > self.height:
            width = round(frame.shape[1] * self.height / frame.shape[0])
            frame = cv2.resize(frame, (width, self.height), interpolation=cv2.INTER_AREA)
        return frame[..., ::-1]


def content(images: Sequence[Image]) -> Iterator[bytes]:
    """What tells a view's images from others, without decoding any; of a video, its length, size and height."""
    if isinstance(images, VideoFrames):
        yield f"{len(images)} {images.path.stat().st_size} {images.height}".encode()
        return
    for image in images:
        if isinstance(image, JpegImage):
            yield b"swapped" if image.swapped else b"plain"
            yield image.data
        else:
            yield np.ascontiguousarray(image).tobytes()
