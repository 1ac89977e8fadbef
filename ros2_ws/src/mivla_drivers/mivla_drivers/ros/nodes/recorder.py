"""The `recorder` node: ROS shell around `RecordingSession`; one rosbag2 folder an episode.

Parameters: `robot`; `folder`, where episodes go; `task`, the label (a task's name, or its file whose name it
is), without which nothing is recorded; `source`, whose episodes these are ("teleop" or "policy"); and, read when an
episode is saved: `instruction` (empty takes the topic's), `judgement`, which is "unjudged" again with each start,
`judged_by`, `seed` (below 0: none), `mode`.

Services: `~/start`, `~/save`, `~/discard`. Out: `/diagnostics`.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mivla_drivers.contract import load_contract
from mivla_drivers.errors import DataError
from mivla_drivers.recording.audit import Audit
from mivla_drivers.recording.clock_log import reading
from mivla_drivers.recording.container import typestore
from mivla_drivers.recording.foxglove import write_layout
from mivla_drivers.recording.judgement import UNJUDGED, success_of
from mivla_drivers.recording.layout import episode_topics, new_episode_folder
from mivla_drivers.recording.messages import MESSAGES
from mivla_drivers.recording.rates import RateMeter
from mivla_drivers.recording.session import RecordingSession, free_bytes, state_of
from mivla_drivers.recording.writer import EpisodeWriter, Outcome
from mivla_drivers.ros.conversions import diagnostic_message
from mivla_drivers.ros.node_endpoint import in_executor, open_endpoint
from mivla_drivers.ros.operator_endpoint import Answer, OperatorEndpoint
from mivla_drivers.ros.parameters import declare
from mivla_drivers.ros.recorder_settings import LATCHED, NO_TASK, PARAMETERS, QOS
from mivla_drivers.ros.spin import spin
from mivla_drivers.simulation.tasks import task_label

SILENCE_S = 1.0
TICK_S = 0.05
DIAGNOSTICS_PERIOD_S = 0.5
DISK_FULL = "the disk is full"


class RecorderNode(Node):
    """Listens all the time, so that it knows what is silent before an episode begins."""

    _endpoint: OperatorEndpoint | None = None  # also of a node that is destroyed before it was made

    def __init__(self) -> None:
        super().__init__("recorder")
        declare(self, PARAMETERS)
        self._contract = load_contract(self._value("robot"))
        self._topics = episode_topics(self._contract, self.get_namespace(), self._value("source"))
        self._streams = [topic.name for topic in self._topics if topic.rate_hz is not None]
        self._heard: dict[str, float] = {}  # by topic, steady clock
        self._latched: dict[str, tuple[str, bytes]] = {}  # topic and newest message, by kind
        self._session: RecordingSession | None = None
        self._rates = RateMeter()
        self._cut_off = ""  # what became of an episode that the recorder ended by itself
        self._starting: list[tuple[float, Future]] = []
        self._next_diagnostics = 0.0
        typestore()  # takes a moment that the first episode should not lose
        for topic in self._topics:
            self.create_subscription(
                MESSAGES[topic.kind],
                topic.name,
                partial(self._receive, topic.name, topic.kind),
                QOS[topic.kind],
                raw=True,
                event_callbacks=SubscriptionEventCallbacks(message_lost=partial(self._lose, topic.name)),
            )
        # Its callback waits for the timer's, so the two must not exclude each other.
        self.create_service(Trigger, "~/start", self._start, callback_group=ReentrantCallbackGroup())
        self.create_service(Trigger, "~/save", self._save)
        self.create_service(Trigger, "~/discard", self._discard)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(TICK_S, self._tick)
        self._endpoint = open_endpoint(self, ("record", "save", "discard"), self._answer)
        self.get_logger().info(f"episodes go to {self._folder()}")

    def close(self) -> None:
        """End an episode under way as one that nobody judged."""
        if self._session is not None:
            folder = self._session.folder
            audit = self._finish(Outcome(self._sentence(), ended_by="the recorder was ended"))
            self.get_logger().warning(f"stopped while recording: {folder} is kept, unjudged\n{audit.text}")

    def _receive(self, topic: str, kind: str, data: bytes, info: dict[str, Any]) -> None:
        self._heard[topic] = time.monotonic()
        self._rates.note(topic)
        if kind in LATCHED:
            self._latched[kind] = topic, data
        if self._session is not None:
            self._session.offer(topic, data, info["received_timestamp"])

    def _lose(self, topic: str, event: Any) -> None:
        if self._session is not None:
            self._session.note_lost(topic, event.total_count_change)

    def _silent(self) -> list[str]:
        now = time.monotonic()
        return [name for name in self._streams if now - self._heard.get(name, -SILENCE_S) >= SILENCE_S]

    async def _start(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Answers at once where every stream is heard, and within a second where one is silent."""
        if self._session is None and self._silent():
            heard: Future = Future(executor=self.executor)
            self._starting.append((time.monotonic() + SILENCE_S, heard))
            await heard
        if self._session is not None:
            return _refused(response, f"already recording {self._session.folder}: save or discard it first")
        if not self._value("task"):
            return _refused(response, NO_TASK)
        if not self._has_room():
            return _refused(
                response, f"{self._folder()}: expected {self._value('least_free_mb')} MB of free disk"
            )
        if silent := self._silent():
            return _refused(response, f"expected messages, silent for {SILENCE_S:g} s: {', '.join(silent)}")
        try:
            response.message = str(self._begin())
        except (OSError, DataError) as error:
            return _refused(response, f"cannot write an episode: {error}")
        response.success = True
        return response

    def _begin(self) -> Path:
        now, task = time.time(), task_label(self._value("task"))
        folder = new_episode_folder(self._folder(), task, now)
        writer = EpisodeWriter(
            folder,
            self._contract,
            task,
            self._sentence(),
            started=now,
            source=self._value("source"),
            namespace=self.get_namespace(),
        )
        self._session, self._cut_off = RecordingSession(writer), ""
        self.set_parameters([Parameter("judgement", value=UNJUDGED)])
        with suppress(OSError):  # a convenience; the episode has begun
            write_layout(self._folder(), self._contract, self._topics, self.get_namespace())
        self._read_clocks()
        for message in self._latched.values():
            self._session.offer(*message, time.time_ns())
        self.get_logger().info(f"recording {folder}")
        return folder

    def _save(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """The message holds the folder in its first line, then the audit."""
        if self._session is None:
            return _refused(response, "expected an episode under way, found none: call ~/start first")
        sentence, seed = self._sentence(), self._value("seed")
        if not sentence:
            return _refused(
                response, "instruction: expected a sentence, got none: set the parameter and save again"
            )
        folder = self._session.folder
        success = success_of(self._value("judgement"))
        judged_by = "" if success is None else self._value("judged_by")
        outcome = Outcome(sentence, success, None if seed < 0 else seed, self._value("mode"), judged_by)
        try:
            audit = self._finish(outcome)
        except DataError as error:
            return _refused(response, str(error))
        response.success = not audit.unusable
        response.message = f"{folder}\n{audit.text}\njudgement: {self._value('judgement')}"
        self.get_logger().info(f"saved {response.message}")
        return response

    def _finish(self, outcome: Outcome) -> Audit:
        assert self._session is not None
        self._read_clocks()
        session, self._session = self._session, None
        return session.finish(outcome, ended=time.time())

    def _read_clocks(self) -> None:
        """Let the episode under way know what both clocks show."""
        now = reading(time.monotonic(), time.time(), time.monotonic())
        if self._session is not None and now is not None:
            self._session.note_clock(now)

    def _discard(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._session is None:
            return _refused(response, "expected an episode under way, found none")
        session, self._session = self._session, None
        session.discard()
        response.success, response.message = True, f"discarded {session.folder}"
        return response

    def _tick(self) -> None:
        """Answer those who wait to start, and tell twice a second how it goes."""
        now, silent = time.monotonic(), self._silent()
        for start in [start for start in self._starting if not silent or now >= start[0]]:
            self._starting.remove(start)
            start[1].set_result(None)
        self._read_clocks()
        if self._session is not None and (self._session.full or self._session.failure is not None):
            self._end_by_itself(DISK_FULL)
        if now < self._next_diagnostics:
            return
        self._next_diagnostics = now + DIAGNOSTICS_PERIOD_S
        self._rates.sample(now)
        if self._session is not None and not self._has_room():
            self._end_by_itself(DISK_FULL)
        state = state_of(self._session, silent, now).warned(self._cut_off)
        if self._session is not None and state.level != "ok":
            self.get_logger().warning(state.message, throttle_duration_sec=1.0)
        name = self.get_fully_qualified_name().lstrip("/")
        values = {**state.values, **self._rates_told(), "free_mb": free_bytes(self._folder()) // 1_000_000}
        self._diagnostics.publish(diagnostic_message(name, state.level, state.message, values, time.time()))

    def _rates_told(self) -> dict[str, object]:
        """Achieved and expected rate of each stream [Hz], by topic."""
        return {
            f"rate {topic.name}": f"{self._rates.rate(topic.name):.1f} of {'>=' * topic.at_least}{topic.rate_hz:g}"
            for topic in self._topics
            if topic.rate_hz is not None
        }

    def _has_room(self) -> bool:
        return free_bytes(self._folder()) >= 1_000_000 * self._value("least_free_mb")

    def _end_by_itself(self, why: str) -> None:
        """End the episode while it is whole; it is kept, unjudged."""
        assert self._session is not None
        folder = self._session.folder
        try:
            self._cut_off = (
                f"{folder} was ended: {self._finish(Outcome(self._sentence(), ended_by=why)).verdict}"
            )
        except DataError as error:
            self._cut_off = str(error)
        self.get_logger().error(self._cut_off)

    def _answer(self, action: str, value: str) -> Answer:
        """An operator's call, in the endpoint's thread; `value` is the task of a record, the judgement of a save."""
        call = {"record": self._start, "save": self._save, "discard": self._discard}[action]
        name = {"record": "task", "save": "judgement"}.get(action)
        if value and name is not None:
            (result,) = self.set_parameters([Parameter(name, value=value)])
            if not result.successful:
                return Answer(False, result.reason)
        return in_executor(self, call, Trigger.Request(), Trigger.Response())

    def destroy_node(self) -> None:
        """Leave the ROS graph, and answer no operator any more."""
        if self._endpoint is not None:
            self._endpoint.close()
        super().destroy_node()

    def _sentence(self) -> str:
        if self._value("instruction") or "instruction" not in self._latched:
            return self._value("instruction")
        return deserialize_message(self._latched["instruction"][1], String).data

    def _folder(self) -> Path:
        return Path(self._value("folder")).expanduser().absolute()

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value


def _refused(response: Trigger.Response, reason: str) -> Trigger.Response:
    response.success, response.message = False, reason
    return response


def main() -> int:
    """Run the node until a signal ends it; 1 where it cannot record this robot."""
    return spin(RecorderNode, RecorderNode.close)


if __name__ == "__main__":
    sys.exit(main())
