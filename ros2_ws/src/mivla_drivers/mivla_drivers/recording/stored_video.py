"""Images of an episode as a video: H.264 or AV1, one message per image, as Foxglove plays it.

What reads episodes sees JPEG images: `ImageRestorer` decodes the video before anybody asks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from mivla_drivers.errors import DataError
from mivla_drivers.recording.container import VIDEO_TYPE, Container, Received, read_container, typestore
from mivla_drivers.recording.video_codecs import CODECS

IMAGE_TYPE = "sensor_msgs/msg/CompressedImage"
RESTORED_QUALITY = 95  # of the JPEGs that readers see
VIDEO = "video"  # of `episode.json`: codec and quality, where images are stored as a video
KEY_PERIOD = 30  # images; every one of these numbers is a key frame, and no other
PIXEL_FORMAT = "yuv420p"
TIME_BASE = Fraction(1, 30)  # frames are counted; when they were taken stands in their messages


def encoded(images: Iterable[np.ndarray], codec: str, crf: int) -> Iterator[bytes]:
    """Packets of a video of images (H, W, 3) uint8 BGR, all of one even size; one packet per image, in order."""
    os.environ.setdefault(
        "SVT_LOG", "1"
    )  # its encoder prints its settings, unless told to print errors alone
    import av  # takes a moment, which those who have no video should not lose

    context: Any = None
    for index, image in enumerate(images):
        if context is None:
            context = _encoder(codec, crf, image.shape[1], image.shape[0])
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts, frame.time_base = index, TIME_BASE
        yield from map(bytes, context.encode(frame))
    if context is not None:
        yield from map(bytes, context.encode(None))


def _encoder(codec: str, crf: int, width: int, height: int) -> Any:
    import av

    of_codec = CODECS[codec]
    context = cast(Any, av.CodecContext.create(of_codec.encoder, "w"))
    context.width, context.height, context.pix_fmt = width, height, PIXEL_FORMAT
    context.time_base, context.framerate = TIME_BASE, 1 / TIME_BASE
    context.options = {**of_codec.options, "crf": str(crf), "g": str(KEY_PERIOD)}
    return context


def video_message(image: bytes, packet: bytes, codec: str) -> bytes:
    """The CDR bytes of the video message for one packet, with stamp and frame of the image message's CDR bytes."""
    header = cast(Any, typestore().deserialize_cdr(image, IMAGE_TYPE)).header
    message = typestore().types[VIDEO_TYPE](
        timestamp=header.stamp,
        frame_id=header.frame_id,
        data=np.frombuffer(packet, np.uint8),
        format=codec,
    )
    return bytes(typestore().serialize_cdr(message, VIDEO_TYPE))


def read_messages(path: Path) -> Container:
    """All that an MCAP file holds; a video's images are JPEG messages, as they were when they were recorded.

    Raises:
        DataError: the file is not there, was cut short, or is corrupt, or a video does not decode; names it and where.
    """
    container = read_container(path)
    types = {topic: name for topic, (name, _) in container.types.items()}
    if VIDEO_TYPE not in types.values():
        return container
    restorer, messages = ImageRestorer(types), []
    for message in container.messages:
        try:
            restored = restorer.restore(message)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        if restored is None:
            raise DataError(
                f"{path}: {message.topic}: expected a video from its first image on, found a part"
            )
        messages.append(restored)
    image = IMAGE_TYPE, typestore().generate_msgdef(IMAGE_TYPE, ros_version=2)[0]
    shown = {
        topic: image if types[topic] == VIDEO_TYPE else found for topic, found in container.types.items()
    }
    return replace(container, messages=messages, types=shown)


class ImageRestorer:
    """Turns video messages into those of JPEG images, in the order in which they were written.

    After a message that is missing, the images up to the next key frame are left out: they cannot be decoded.
    """

    def __init__(self, types: Mapping[str, str]) -> None:
        """`types`: message type by topic; messages of other types pass as they are."""
        self._decoders: dict[str, _Decoder | None] = {
            topic: None for topic, name in types.items() if name == VIDEO_TYPE
        }

    def restore(self, message: Received) -> Received | None:
        """The image message for a video message; None where an earlier one is missing.

        Raises:
            DataError: it does not decode; names the topic.
        """
        if message.topic not in self._decoders:
            return message
        try:
            video = cast(Any, typestore().deserialize_cdr(message.data, VIDEO_TYPE))
            decoder = self._decoders[message.topic]
            if decoder is None or message.sequence != decoder.next_sequence:
                decoder = self._decoders[message.topic] = _Decoder(video.format)
            bgr = decoder.decode(bytes(video.data), message.sequence)
        except Exception as error:  # whatever the bytes lead to
            raise DataError(f"{message.topic}: expected a video that decodes, found: {error}") from None
        return None if bgr is None else replace(message, data=_image_message(video, bgr))


class _Decoder:
    """One camera's decoder, from its first key frame on."""

    def __init__(self, codec: str) -> None:
        import av

        of_codec = CODECS.get(codec)
        if of_codec is None:
            raise DataError(f"format: expected one of {sorted(CODECS)}, found {codec!r}")
        self._context = cast(Any, av.CodecContext.create(of_codec.decoder, "r"))
        self._context.options = dict(of_codec.decoder_options)
        self._context.thread_type = "SLICE"  # frame threads hold images back
        self._packet = av.Packet
        self._begun = False
        self.next_sequence = 0

    def decode(self, data: bytes, sequence: int) -> np.ndarray | None:
        """The image (H, W, 3) uint8 BGR; None before the first key frame."""
        self.next_sequence = sequence + 1
        if not self._begun and sequence % KEY_PERIOD:
            return None
        self._begun = True
        frames = self._context.decode(self._packet(data))
        if len(frames) != 1:
            raise DataError(f"image {sequence}: expected one image in its message, found {len(frames)}")
        return cast(np.ndarray, frames[0].to_ndarray(format="bgr24"))


def _image_message(video: Any, bgr: np.ndarray) -> bytes:
    types = typestore().types
    header = types["std_msgs/msg/Header"](stamp=video.timestamp, frame_id=video.frame_id)
    jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, RESTORED_QUALITY])[1]
    message = types[IMAGE_TYPE](header=header, format="rgb8; jpeg compressed bgr8", data=jpeg.ravel())
    return bytes(typestore().serialize_cdr(message, IMAGE_TYPE))
