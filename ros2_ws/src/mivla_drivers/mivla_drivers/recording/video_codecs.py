"""Codecs in which the images of an episode may be stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class VideoCodec:
    """How a codec is written and read.

    Attributes:
        encoder, decoder: FFmpeg's names; a packet of this decoder is an image at once.
        options, decoder_options: no image waits for a later one (no B-frames).
        crf: quality where none is asked for; a smaller one is better.
        worst: the range of qualities goes from 1 to this.
    """

    encoder: str
    decoder: str
    options: Mapping[str, str]
    decoder_options: Mapping[str, str]
    crf: int
    worst: int


CODECS = {
    "h264": VideoCodec(
        encoder="libx264",
        decoder="h264",
        options={"preset": "veryfast", "bf": "0", "sc_threshold": "0", "threads": "1"},
        decoder_options={},
        crf=20,
        worst=51,
    ),
    "av1": VideoCodec(
        encoder="libsvtav1",
        decoder="libdav1d",
        options={"preset": "8", "svtav1-params": "pred-struct=1"},
        decoder_options={"max_frame_delay": "1"},
        crf=30,
        worst=63,
    ),
}
