"""What an episode is worth: every topic's rate, gaps, late start and losses, counted and named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from mivla_drivers.recording.alignment import alignment_problem
from mivla_drivers.recording.clock_log import ClockStep, set_back, stamp_step
from mivla_drivers.recording.judgement import USABLE
from mivla_drivers.recording.layout import Topic

RATE_TOLERANCE = 0.2
GAP_PERIODS = 2.5  # one lost message leaves two periods; jitter on top of that is no gap yet
CLOCK_TOLERANCE_S = 1.0
# Across a longer pause nobody knows what was seen, or how the robot moved.
IMAGE_GAP_PERIODS, IMAGE_GAP_S, JOINTS_GAP_S = 3.2, 0.15, 0.5
END_GAP_S = 1.0  # a busy machine hands over the last messages a little later than the episode ends


@dataclass(frozen=True)
class TopicAudit:
    """One topic of an episode; times are header stamps [s].

    Attributes:
        count: messages kept.
        rate_hz: of what was kept, between the first and the last; 0 with less than two.
        expected_hz: the contract's; None where messages come when there is something to say.
        gaps, longest_gap_s: pauses of more than 2.5 periods between two messages.
        late_s, early_s: the first message's distance from the start, the last one's from the end.
        disordered: messages stamped no later than one before them.
        lag_s: how much later than the joints a camera's pictures move; None where that cannot be told.
        dropped: messages that arrived and found no place in the queue, or that ROS reports lost.
        problems: the same as sentences; empty where all is well.
        unusable: those of them for which nobody can learn from the episode: stamps that jump, pictures that show
            nothing.
    """

    topic: str
    required: bool
    count: int
    rate_hz: float
    expected_hz: float | None
    gaps: int
    longest_gap_s: float
    late_s: float
    early_s: float
    disordered: int
    dropped: int
    problems: tuple[str, ...]
    unusable: tuple[str, ...] = ()
    lag_s: float | None = None

    @property
    def missing(self) -> bool:
        """Whether the episode cannot be used because of this topic."""
        return self.required and self.count == 0


@dataclass(frozen=True)
class Audit:
    """All topics of an episode, and every time the system's clock was set while it was recorded.

    Attributes:
        findings: what is wrong with the episode as a whole, such as that the robot hardly moved.
        cut_off: why it ended before somebody ended it; empty where it did not.
    """

    topics: tuple[TopicAudit, ...]
    clock_steps: tuple[ClockStep, ...] = ()
    findings: tuple[str, ...] = ()
    cut_off: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of topics without which the episode cannot be used."""
        return tuple(topic.topic for topic in self.topics if topic.missing)

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that is wrong, each with its topic."""
        steps = (str(step) for step in self.clock_steps)
        topics = (f"{topic.topic}: {problem}" for topic in self.topics for problem in topic.problems)
        return (*self.findings, *steps, *topics)

    @property
    def unusable(self) -> tuple[str, ...]:
        """Why nobody can learn from the episode; empty where somebody can."""
        steps = (str(step) for step in self.clock_steps)
        topics = (f"{topic.topic}: {problem}" for topic in self.topics for problem in topic.unusable)
        return (*self.findings, *steps, *topics)

    @property
    def verdict(self) -> str:
        """USABLE, or what is wrong. An episode that was cut off is as good as somebody judges it afterwards."""
        cut_off = (f"cut off: {self.cut_off}",) if self.cut_off else ()
        return "; ".join((*cut_off, *self.unusable)) or USABLE

    @property
    def text(self) -> str:
        """For an operator: a line per topic that was heard, a line per problem, and the verdict."""
        heard = [topic for topic in self.topics if topic.count or topic.required]
        lines = [f"{topic.topic}: {topic.count} messages, {topic.rate_hz:.1f} Hz" for topic in heard]
        lines += [f"problem: {problem}" for problem in self.problems]
        return "\n".join([*lines, f"verdict: {self.verdict}"])

    def description(self) -> dict[str, Any]:
        """For `episode.json`."""
        rows = {topic.topic: asdict(topic) for topic in self.topics}
        for row in rows.values():
            del row["topic"], row["problems"], row["unusable"]
        texts = {"problems": list(self.problems), "unusable": list(self.unusable), "verdict": self.verdict}
        return {"topics": rows, **texts}


def audit_topic(
    topic: Topic,
    stamps: Sequence[float],
    arrivals: Sequence[float],
    started: float,
    ended: float,
    dropped: int = 0,
    pictures: Sequence[str] = (),
    lag: float | None = None,
) -> TopicAudit:
    """Compare what was kept of a topic with what the contract asks for.

    Args:
        stamps: header stamps in the order of arrival [s, system time], length N.
        arrivals: when they arrived [s, system time], length N.
        started, ended: of the episode [s, system time].
        pictures: what is wrong with a camera's pictures.
        lag: how much later than the joints they move [s]; None where that cannot be told.
    """
    seen = np.sort(np.asarray(stamps, dtype=float))  # (N,)
    steps = np.diff(seen)
    allowed = GAP_PERIODS / topic.rate_hz if topic.rate_hz else np.inf
    gaps = steps[steps > allowed]
    audit = TopicAudit(
        topic=topic.name,
        required=topic.required,
        count=len(seen),
        rate_hz=float(len(steps) / (seen[-1] - seen[0])) if len(seen) > 1 and seen[-1] > seen[0] else 0.0,
        expected_hz=topic.rate_hz,
        gaps=len(gaps),
        longest_gap_s=float(gaps.max()) if len(gaps) else 0.0,
        late_s=max(0.0, float(seen[0] - started)) if len(seen) else 0.0,
        early_s=max(0.0, float(ended - seen[-1])) if len(seen) else 0.0,
        disordered=int((np.diff(np.asarray(stamps, dtype=float)) <= 0).sum()),
        dropped=dropped,
        problems=(),
        lag_s=lag,
    )
    skew = float(np.median(np.asarray(arrivals) - np.asarray(stamps))) if len(seen) else 0.0
    problems = _problems(audit, topic, allowed, skew, ended - started)
    if topic.rate_hz and (late := alignment_problem(lag, topic.rate_hz)):
        problems.append(late)
    unusable = (
        *_clock_problems(topic, stamps, arrivals),
        *_gap_problems(topic, audit),
        *_end_problems(topic, arrivals, started, ended),
        *pictures,
    )
    return replace(audit, problems=(*problems, *unusable), unusable=unusable)


def audit_episode(
    topics: Sequence[Topic],
    stamps: Mapping[str, Sequence[float]],
    arrivals: Mapping[str, Sequence[float]],
    started: float,
    ended: float,
    dropped: Mapping[str, int],
    steps: Sequence[ClockStep] = (),
    pictures: Mapping[str, Sequence[str]] | None = None,
    lags: Mapping[str, float | None] | None = None,
) -> Audit:
    """`audit_topic` for every topic; the mappings are by topic name. `steps`: each time the clock was set."""
    pictures, lags = pictures or {}, lags or {}
    audits = (
        audit_topic(
            topic,
            stamps[topic.name],
            arrivals[topic.name],
            started,
            ended,
            dropped.get(topic.name, 0),
            pictures.get(topic.name, ()),
            lags.get(topic.name),
        )
        for topic in topics
    )
    return Audit(tuple(audits), tuple(steps))


def largest_gap_s(kind: str, rate_hz: float | None) -> float:
    """The longest pause [s] of a camera's images or of joint states across which an episode can be learned from."""
    if kind not in ("joints", "camera") or not rate_hz:
        return float("inf")
    if kind == "camera":
        return max(IMAGE_GAP_PERIODS / rate_hz, IMAGE_GAP_S)
    return max(GAP_PERIODS / rate_hz, JOINTS_GAP_S)


def _gap_problems(topic: Topic, audit: TopicAudit) -> list[str]:
    most = largest_gap_s(topic.kind, topic.rate_hz)
    if audit.longest_gap_s <= most + 1e-6:
        return []
    return [f"{audit.longest_gap_s:.2f} s without a message, {most:.2f} s can be bridged"]


def _end_problems(topic: Topic, arrivals: Sequence[float], started: float, ended: float) -> list[str]:
    """Where a camera or the joints were not there for a part of the episode, such as one that was unplugged."""
    if not len(arrivals) or not np.isfinite(most := largest_gap_s(topic.kind, topic.rate_hz)):
        return []
    most = max(most, END_GAP_S)
    silences = {"first": min(arrivals) - started, "last": ended - max(arrivals)}
    return [
        f"nothing came in the {which} {silence:.1f} s of the episode"
        for which, silence in silences.items()
        if silence > most
    ]


def _clock_problems(topic: Topic, stamps: Sequence[float], arrivals: Sequence[float]) -> list[str]:
    """Where a clock was set that nobody here watched, as far as stamps and arrivals show it."""
    if topic.kind not in ("joints", "camera"):
        return []
    problems = []
    if step := stamp_step(stamps, arrivals):
        problems.append(
            f"stamps jump by {step:+.2f} s against their arrival: the clock of the machine that stamps them was set"
        )
    if back := set_back(arrivals):
        problems.append(f"messages arrived {back:.2f} s before the one before them: the clock was set back")
    return problems


def _problems(
    audit: TopicAudit, topic: Topic, allowed_s: float, skew_s: float, duration_s: float
) -> list[str]:
    problems = []
    if audit.dropped:
        problems.append(f"{audit.dropped} messages were lost before they could be written")
    if audit.count == 0:
        return [*problems, "expected messages, got none"] if topic.required else problems
    if abs(skew_s) > CLOCK_TOLERANCE_S:
        problems.append(
            f"stamps are {skew_s:.1f} s older than their arrival: synchronise the clocks of the machines"
        )
    if topic.kind in ("joints", "camera") and audit.disordered:
        problems.append(f"{audit.disordered} messages are stamped no later than one before them")
    if topic.rate_hz is None:
        return problems
    if duration_s > allowed_s and not _rate_fits(audit.rate_hz, topic):
        bound = "at least " if topic.at_least else ""
        problems.append(f"expected {bound}{topic.rate_hz:g} Hz, got {audit.rate_hz:.1f} Hz")
    if audit.gaps:
        problems.append(f"{audit.gaps} gaps, the longest {audit.longest_gap_s:.2f} s")
    if audit.late_s > allowed_s:
        missed = round(audit.late_s * topic.rate_hz)
        problems.append(f"the first message is {audit.late_s:.2f} s late: about {missed} are missing")
    if audit.early_s > allowed_s:
        problems.append(f"the last message is {audit.early_s:.2f} s before the end")
    return problems


def _rate_fits(rate_hz: float, topic: Topic) -> bool:
    assert topic.rate_hz is not None
    ratio = rate_hz / topic.rate_hz
    return ratio >= 1 - RATE_TOLERANCE and (topic.at_least or ratio <= 1 + RATE_TOLERANCE)
