"""Writes one episode, message by message."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from mivla_drivers.contract import RobotContract
from mivla_drivers.errors import DataError
from mivla_drivers.recording.audit import Audit, audit_episode
from mivla_drivers.recording.clock_log import ClockLog, ClockReading
from mivla_drivers.recording.container import (
    NANOSECONDS,
    ContainerWriter,
    Received,
    rosbag2_metadata,
    stamp_seconds_of,
    typestore,
)
from mivla_drivers.recording.control_track import control_track
from mivla_drivers.recording.driver_log import DriverLog
from mivla_drivers.recording.joint_log import JointLog
from mivla_drivers.recording.layout import (
    FORMAT,
    METADATA_FILE,
    UNSTAMPED,
    episode_topics,
    mcap_path,
    write_description,
    write_text,
)
from mivla_drivers.recording.picture_log import PictureLog
from mivla_drivers.recording.verdict import EpisodeFacts, findings

log = logging.getLogger(__name__)

FLUSH_PERIOD_S = 0.5
SYNC_PERIOD_S = 2.0  # of which a power cut loses everything
OPERATOR = "operator"  # who ends an episode that was not cut off


@dataclass(frozen=True)
class Outcome:
    """How an episode ended.

    Attributes:
        instruction: the sentence that the robot was asked to follow.
        success: a judgement; None where nobody judged.
        seed, mode: of the simulated scene, where there is one.
        judged_by: "operator" or "simulator"; empty where nobody judged.
        ended_by: "operator", or what cut it off, such as "the disk is full".
    """

    instruction: str
    success: bool | None = None
    seed: int | None = None
    mode: str = ""
    judged_by: str = ""
    ended_by: str = OPERATOR

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> Outcome:
        """As an episode's description says it."""
        optional = {field.name: field.default for field in fields(cls) if field.name != "instruction"}
        told = {name: description.get(name, default) for name, default in optional.items()}
        return cls(description["instruction"], **told)


class EpisodeWriter:
    """One episode being recorded: append with `write`, end with `close` or `discard`.

    The folder is whole after `close`. A process killed before that leaves one that readers refuse and that
    `recovery.recover_episode` repairs; it has lost half a second.
    """

    def __init__(
        self,
        folder: Path,
        contract: RobotContract,
        task: str,
        instruction: str = "",
        *,
        started: float,
        source: str = "teleop",
        namespace: str | None = None,
    ) -> None:
        """Make the folder, with contract and description in it.

        Args:
            folder: must not exist; its parents are made.
            started: [s, system time].
            source: whose commands are kept: "teleop" or "policy".
            namespace: of the robot's nodes; None takes the robot's name.

        Raises:
            DataError: the folder exists.
            OSError: it cannot be written.
        """
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            raise DataError(f"{folder}: expected no such folder yet, found one") from None
        self.folder, self._started = folder, started
        namespace = contract.robot if namespace is None else namespace
        self.topics = episode_topics(contract, namespace, source)
        self._description: dict[str, Any] = {
            **{"format": FORMAT, "complete": False, "robot": contract.robot, "namespace": namespace},
            **{"source": source, "task": task, "instruction": instruction},
            **{"success": None, "seed": None, "mode": "", "started": started},
        }
        try:
            write_description(folder, self._description)
            self._container = ContainerWriter(mcap_path(folder), self.topics, contract.text, contract.urdf)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._kinds = {topic.name: topic.kind for topic in self.topics}
        self._stamps: dict[str, list[float]] = {name: [] for name in self._kinds}
        self._arrivals: dict[str, list[float]] = {name: [] for name in self._kinds}
        self._flushed = self._synced = started
        self._clock = ClockLog()
        self._joints = JointLog(contract)
        self._pictures = PictureLog(contract, self.topics, self._joints)
        self._driver = DriverLog(namespace)
        self._holders: list[tuple[float, str]] = []

    @property
    def faults(self) -> tuple[str, ...]:
        """What makes the episode useless, as far as is known: the clock was set, pictures show nothing now."""
        steps = (str(step) for step in self._clock.steps)
        return (*steps, *(f"{topic}: {fault}" for topic, fault in self._pictures.now.items()))

    @property
    def full(self) -> bool:
        """Whether the disk is full: nothing is lost yet, and the episode can still be ended."""
        return self._container.full

    def note_clock(self, now: ClockReading) -> None:
        """Keep a reading of both clocks; a few a second show every step.

        Raises:
            OSError: the disk is full or gone.
        """
        for kept in self._clock.note(now):
            self._container.write_clock(kept)

    def write(self, topic: str, data: bytes, arrival_ns: int) -> None:
        """Append a message as it was on the wire.

        Args:
            topic: absolute name.
            data: CDR bytes.
            arrival_ns: when it arrived [ns, system time].

        Raises:
            DataError: the episode keeps no such topic, or the message has no header where its type has one.
            OSError: the disk is full or gone.
        """
        if topic not in self._kinds:
            raise DataError(f"{topic}: expected one of {sorted(self._kinds)}")
        arrival = arrival_ns / NANOSECONDS
        try:
            stamp = arrival if self._kinds[topic] in UNSTAMPED else stamp_seconds_of(data)
        except DataError as error:
            raise DataError(f"{topic}: {error}") from None
        self._container.write(Received(topic, data, arrival_ns))
        self._stamps[topic].append(stamp)
        self._arrivals[topic].append(arrival)
        self._pictures.note(topic, data)
        self._note_driver(topic, data, arrival)
        if abs(arrival - self._flushed) >= FLUSH_PERIOD_S:  # also of a clock that is set back
            self._container.flush()
            self._flushed = arrival
        if abs(arrival - self._synced) >= SYNC_PERIOD_S:
            self._container.sync()
            self._synced = arrival

    def close(self, outcome: Outcome, *, ended: float, dropped: Mapping[str, int] | None = None) -> Audit:
        """End the episode.

        Args:
            ended: [s, system time]; where readings of both clocks were noted, these tell the duration.
            dropped: messages that arrived but could not be written, by topic.

        Returns:
            What the contract asks for against what was kept; it stands in `episode.json` too.
        """
        self._container.close()
        counts = {name: len(stamps) for name, stamps in self._stamps.items()}
        arrivals = [arrival for values in self._arrivals.values() for arrival in values]
        first, last = min(arrivals, default=self._started), max(arrivals, default=self._started)
        path = mcap_path(self.folder)
        span = round(first * NANOSECONDS), round(last * NANOSECONDS)
        write_text(self.folder / METADATA_FILE, rosbag2_metadata(path, self.topics, counts, span))
        audit = audit_episode(
            self.topics,
            self._stamps,
            self._arrivals,
            self._started,
            ended,
            dropped or {},
            steps=self._clock.steps,
            pictures=self._pictures.problems(),
            lags=self._pictures.lags(),
        )
        duration_s = self._clock.duration_s
        facts = self._facts(ended - self._started if duration_s is None else duration_s)
        cut_off = "" if outcome.ended_by == OPERATOR else outcome.ended_by
        audit = replace(audit, findings=findings(audit, self.topics, facts), cut_off=cut_off)
        ending = {
            **asdict(outcome),
            "duration_s": facts.duration_s,
            "motion_s": round(facts.moved_s, 2),
            "images": self._pictures.formats(),
            "commands_refused": facts.refused,
            "in_control_s": control_track(self._holders).seconds(self._started, ended),
            "clock_steps": [asdict(step) for step in self._clock.steps],
        }
        self._description.update(ending, complete=True, **audit.description())
        write_description(self.folder, self._description)
        return audit

    def _facts(self, duration_s: float) -> EpisodeFacts:
        main = next(topic.name for topic in self.topics if topic.kind == "commands")
        return EpisodeFacts(
            duration_s,
            self._joints.moved_s,
            self._joints.watched_s,
            len(self._stamps[main]),
            self._driver.refused,
            tuple(self._driver.stops),
        )

    def _note_driver(self, topic: str, data: bytes, arrival: float) -> None:
        """What the driver says of itself, and who holds the robot."""
        kind = self._kinds[topic]
        if kind not in ("control", "diagnostics"):
            return
        types = {"control": "std_msgs/msg/String", "diagnostics": "diagnostic_msgs/msg/DiagnosticArray"}
        try:
            message: Any = typestore().deserialize_cdr(data, types[kind])
        except Exception as error:  # whatever the bytes lead to: they are written all the same
            log.debug("%s: expected a %s, got: %r", topic, types[kind], error)
            return
        if kind == "control":
            self._holders.append((arrival, message.data))
        else:
            self._driver.note_diagnostics(message)

    def abandon(self) -> None:
        """Leave what was written to `recovery.recover_episode`."""
        self._container.abort()

    def discard(self) -> None:
        """Remove everything that was written of this episode."""
        self._container.abort()
        shutil.rmtree(self.folder)
