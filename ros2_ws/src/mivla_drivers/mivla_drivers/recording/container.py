"""The MCAP file inside an episode's folder: written as messages come, read to the end or as far as it goes.

Chunks are closed twice a second and carry checksums, so that a killed process loses half a second, and a flipped bit
is found.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import yaml
from mcap.exceptions import McapError
from mcap.records import Attachment, Channel, Chunk, Footer, McapRecord, Message, Metadata, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.writer import CompressionType, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from mivla_drivers.errors import DataError
from mivla_drivers.recording.append_file import AppendFile
from mivla_drivers.recording.clock_log import ClockReading
from mivla_drivers.recording.layout import CONTRACT_ATTACHMENT, URDF_ATTACHMENT, Topic
from mivla_drivers.recording.offered_qos import offered_qos, offered_qos_numbers

NANOSECONDS = 1_000_000_000
CLOCK, CLOCK_KEYS = "clock", ("steady_ns", "system_ns")  # metadata records that hold a reading of both clocks
ROSBAG2_VERSION = 9
VIDEO_TYPE = "foxglove_msgs/msg/CompressedVideo"  # one image of a video, as Foxglove plays it
VIDEO_DEFINITION = "builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format\n"
# What mcap raises on bytes that are not what it expects.
BROKEN = (McapError, ValueError, KeyError, struct.error, OverflowError, MemoryError)


@dataclass(frozen=True)
class Received:
    """One message as it was on the wire: CDR bytes, and when they arrived [ns, system time].

    Attributes:
        sequence: number of an image in its video; 0 for all else.
    """

    topic: str
    data: bytes
    arrival_ns: int
    sequence: int = 0


@dataclass(frozen=True)
class Container:
    """What an MCAP file holds: the robot's contract and URDF as text, all messages, and readings of both clocks.

    Attributes:
        types: by topic, the name of its message type, and its definition as text.
    """

    contract_text: str
    urdf: str
    messages: list[Received] = field(default_factory=list)
    clock: list[ClockReading] = field(default_factory=list)
    types: dict[str, tuple[str, str]] = field(default_factory=dict)


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """Definitions of ROS 2's messages, without ROS, and of Foxglove's video."""
    store = get_typestore(Stores.ROS2_KILTED)
    store.register(get_types_from_msg(VIDEO_DEFINITION, VIDEO_TYPE))
    return store


def stamp_seconds_of(data: bytes) -> float:
    """Header stamp of a serialised message whose first field is a header, or a stamp [s].

    Raises:
        DataError: too short for one.
    """
    if len(data) < 12:
        raise DataError(f"expected a message with a header, got {len(data)} bytes")
    # CDR: four bytes of encapsulation, of which the second says the byte order; then sec and nanosec.
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return seconds + nanoseconds / NANOSECONDS


class ContainerWriter:
    """Writes one MCAP file; the contract is on the disk before the first message."""

    def __init__(self, path: Path, topics: tuple[Topic, ...], contract_text: str, urdf: str) -> None:
        self._file = AppendFile(path)
        self._writer = Writer(cast(Any, self._file), compression=CompressionType.NONE, enable_data_crcs=True)
        self._writer.start(profile="ros2", library="mivla")
        for name, kind, text in (
            (CONTRACT_ATTACHMENT, "application/yaml", contract_text),
            (URDF_ATTACHMENT, "application/xml", urdf),
        ):
            self._writer.add_attachment(0, 0, name, kind, text.encode())
        self._channels = {topic.name: self._channel(topic) for topic in topics}
        self._file.sync()

    def _channel(self, topic: Topic) -> int:
        definition, _ = typestore().generate_msgdef(topic.type, ros_version=2)
        schema = self._writer.register_schema(topic.type, "ros2msg", definition.encode())
        qos = yaml.dump([offered_qos_numbers(topic)], Dumper=_PlainDumper, sort_keys=False)
        return self._writer.register_channel(topic.name, "cdr", schema, {"offered_qos_profiles": qos})

    def write(self, message: Received) -> None:
        """Append one message."""
        channel = self._channels[message.topic]
        at = message.arrival_ns
        self._writer.add_message(channel, at, message.data, at, message.sequence)

    def write_clock(self, now: ClockReading) -> None:
        """Append a reading of both clocks."""
        nanoseconds = (str(round(seconds * NANOSECONDS)) for seconds in (now.steady, now.system))
        self._writer.add_metadata(CLOCK, dict(zip(CLOCK_KEYS, nanoseconds, strict=True)))

    def flush(self) -> None:
        """Hand everything so far to the operating system: a killed process loses nothing of it."""
        self._writer.flush()

    @property
    def full(self) -> bool:
        """Whether the disk is full; the file can still be ended."""
        return self._file.full

    def sync(self) -> None:
        """Wait until everything so far is on the disk: a power cut loses nothing of it."""
        self.flush()
        self._file.sync()

    def close(self) -> None:
        """Write the index, and everything to the disk."""
        self._writer.finish()
        self._file.sync()
        self._file.close()

    def abort(self) -> None:
        """Close the file as it is."""
        self._file.close()


def read_container(path: Path) -> Container:
    """All that an MCAP file holds, every checksum verified.

    Raises:
        DataError: the file is not there, was cut short, or is corrupt; names it and where.
    """
    with _opened(path) as file:
        reader = StreamReader(file, validate_crcs=True, record_size_limit=path.stat().st_size)
        try:
            return _collect(reader.records, path)
        except BROKEN as error:
            reason = f"{type(error).__name__} {error}".strip()
            raise DataError(
                f"{path}: expected a whole MCAP file, found it broken near byte {file.tell()}: {reason}"
            ) from None


def salvaged_items(path: Path) -> Iterator[Received | ClockReading]:
    """Messages and readings of the clocks that can still be read of a file that a killed process or a bad disk left.

    Raises:
        DataError: there is no such file.
    """
    with _opened(path) as file:
        names: dict[int, str] = {}
        for record in _readable_records(file, path.stat().st_size):
            if isinstance(record, Message):
                yield _received(record, names)
            elif isinstance(record, Channel):
                names[record.id] = record.topic
            elif isinstance(record, Metadata) and (reading := _clock_reading(record)) is not None:
                yield reading


def salvaged_texts(path: Path) -> tuple[str, str]:
    """The robot's contract and URDF in such a file.

    Raises:
        DataError: they cannot be read, or there is no such file.
    """
    texts: dict[str, str] = {}
    with _opened(path) as file:
        for record in _readable_records(file, path.stat().st_size):
            if isinstance(record, Attachment):
                texts[record.name] = record.data.decode(errors="replace")
            if len(texts) == 2:
                break
    return _required_texts(texts, path)


def salvaged_types(path: Path) -> dict[str, str]:
    """The message type of each topic in such a file.

    Raises:
        DataError: there is no such file.
    """
    types: dict[str, str] = {}
    schemas: dict[int, str] = {}
    with _opened(path) as file:
        for record in _readable_records(file, path.stat().st_size):
            if isinstance(record, Schema):
                schemas[record.id] = record.name
            elif isinstance(record, Channel) and record.schema_id in schemas:
                types[record.topic] = schemas[record.schema_id]
    return types


def _opened(path: Path) -> BinaryIO:
    if not path.is_file():
        raise DataError(f"{path}: expected an MCAP file, found none")
    return path.open("rb")


def _readable_records(file: Any, size: int) -> Iterator[McapRecord]:
    """Records up to the first one that is cut short; chunks with a wrong checksum are left out."""
    records = StreamReader(file, emit_chunks=True, record_size_limit=size).records
    channels: set[int] = set()
    while True:
        try:
            record = next(records, None)
        except BROKEN:
            return
        if record is None or isinstance(record, Footer):
            return
        if not isinstance(record, Chunk):
            yield record
            continue
        try:
            inner = breakup_chunk(record, validate_crc=True)
        except BROKEN:
            continue
        channels.update(part.id for part in inner if isinstance(part, Channel))
        yield from (part for part in inner if not isinstance(part, Message) or part.channel_id in channels)


def _collect(records: Iterator[McapRecord], path: Path) -> Container:
    texts: dict[str, str] = {}
    names: dict[int, str] = {}
    schemas: dict[int, Schema] = {}
    types: dict[str, tuple[str, str]] = {}
    messages: list[Received] = []
    clock: list[ClockReading] = []
    for record in records:
        if isinstance(record, Message):
            messages.append(_received(record, names))
        elif isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            names[record.id] = record.topic
            if (schema := schemas.get(record.schema_id)) is not None:
                types[record.topic] = schema.name, schema.data.decode(errors="replace")
        elif isinstance(record, Attachment):
            texts[record.name] = record.data.decode()
        elif isinstance(record, Metadata) and (reading := _clock_reading(record)) is not None:
            clock.append(reading)
    contract_text, urdf = _required_texts(texts, path)
    return Container(contract_text, urdf, messages, clock, types)


def _received(record: Message, names: dict[int, str]) -> Received:
    return Received(names[record.channel_id], record.data, record.log_time, record.sequence)


def _clock_reading(record: Metadata) -> ClockReading | None:
    if record.name != CLOCK:
        return None
    try:
        steady, system = (int(record.metadata[key]) / NANOSECONDS for key in CLOCK_KEYS)
    except (KeyError, ValueError):  # of a damaged file that is being salvaged
        return None
    return ClockReading(steady, system)


def _required_texts(texts: dict[str, str], path: Path) -> tuple[str, str]:
    for name in (CONTRACT_ATTACHMENT, URDF_ATTACHMENT):
        if name not in texts:
            raise DataError(f"{path}: expected an attachment {name}, found {sorted(texts) or 'none'}")
    return texts[CONTRACT_ATTACHMENT], texts[URDF_ATTACHMENT]


def rosbag2_metadata(
    path: Path, topics: tuple[Topic, ...], messages: dict[str, int], span_ns: tuple[int, int]
) -> str:
    """Text of the `metadata.yaml` that makes a folder a rosbag2 recording.

    Args:
        path: the MCAP file.
        messages: number of messages, by topic name.
        span_ns: first and last arrival [ns, system time].
    """
    start, duration, count = span_ns[0], span_ns[1] - span_ns[0], sum(messages.values())
    span = {"starting_time": {"nanoseconds_since_epoch": start}, "duration": {"nanoseconds": duration}}
    rows = [
        {
            "topic_metadata": {
                "name": topic.name,
                "type": topic.type,
                "serialization_format": "cdr",
                "offered_qos_profiles": [offered_qos(topic)],
                "type_description_hash": typestore().hash_rihs01(topic.type),
            },
            "message_count": messages[topic.name],
        }
        for topic in topics
    ]
    information = {
        "version": ROSBAG2_VERSION,
        "storage_identifier": "mcap",
        **span,
        "message_count": count,
        "topics_with_message_count": rows,
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [path.name],
        "files": [{"path": path.name, **span, "message_count": count}],
        "custom_data": None,
        "ros_distro": "kilted",
    }
    return yaml.dump({"rosbag2_bagfile_information": information}, Dumper=_PlainDumper, sort_keys=False)


class _PlainDumper(yaml.SafeDumper):
    """YAML without anchors: rosbag2 reads none."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
