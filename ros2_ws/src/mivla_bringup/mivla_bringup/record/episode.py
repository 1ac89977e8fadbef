"""The episode that is being recorded: its scene, its folder, and who has the robot meanwhile."""

from __future__ import annotations

import math
import shutil
import time
from contextlib import suppress
from pathlib import Path

from mivla_bringup.plain_text import plain
from mivla_bringup.record.leader import LeaderWatch
from mivla_bringup.record.plan import SessionPlan
from mivla_bringup.record.recorder_watch import SILENT_S, RecorderWatch
from mivla_bringup.trials.errors import TrialError
from mivla_drivers.recording.judgement import judge_episode
from mivla_drivers.recording.layout import COMMAND_SOURCES, read_description
from mivla_drivers.ros.robot_client import CallRefused, RobotClient

HELD_S = 1.0  # within which the driver tells that it gave the robot to the source


class Episode:
    """One episode of a session, from the first message that is kept to its judgement.

    Attributes:
        seed: of its scene; None where an operator sets it up.
        folder: where the recorder keeps it; None before it begins, and where it did not.
    """

    def __init__(
        self,
        client: RobotClient,
        plan: SessionPlan,
        seed: int | None,
        leader: LeaderWatch,
        recorder: RecorderWatch,
    ) -> None:
        """`leader` says whether teleoperation may begin, `recorder` whether messages are still kept."""
        self._client, self._plan, self._leader, self._recorder = client, plan, leader, recorder
        self._given_at = math.inf
        self.seed = seed
        self.folder: Path | None = None

    def begin(self) -> None:
        """Record, then give the robot to its source: its first command belongs to the episode.

        Raises:
            CallRefused: leader, recorder or driver refuses; nothing is kept.
        """
        client, plan = self._client, self._plan
        try:
            if plan.source == "teleop" and (problem := self._leader.problem()):
                raise CallRefused(problem)
            client.say(plan.instruction(self.seed))
            self.folder = Path(client.record())
            client.select_source(plan.source)
        except CallRefused:
            if self.folder is not None:
                with suppress(CallRefused):
                    client.discard()
                self.folder = None
            raise
        self._given_at = time.monotonic()

    def interruption(self, now: float) -> str:
        """Why it ended by itself: the driver took the robot away, or the recorder ended it; empty where it goes on.

        Raises:
            TrialError: the recorder is silent at `now` [s, steady clock].
        """
        report = self._client.driver_report()
        held = report.when > self._given_at + HELD_S
        # One source may take over from the other.
        if held and report.values.get("command_source") not in COMMAND_SOURCES:
            return f"the driver took the robot away ({plain(report.message)})"
        recorder = self._recorder.values(now)
        if recorder is None:
            raise TrialError(f"recorder: silent for {SILENT_S:g} s while it was recording")
        if held and "folder" not in recorder:
            return self._recorder.message or "the recorder ended the episode"
        return ""

    def end(self, interrupted: bool) -> list[str] | None:
        """Take the robot back, and end the episode as unjudged: a judgement is written afterwards.

        Args:
            interrupted: the recorder may have ended it by itself.

        Returns:
            The audit's lines; None where the recorder had ended it already.

        Raises:
            TrialError: the recorder kept something else.
        """
        client = self._client
        client.select_source("none")
        try:
            answer = client.save()
        except CallRefused as error:  # also of an episode that nobody can learn from
            answer = str(error)
        client.say("")
        folder, *audit = answer.splitlines()
        if self.folder is not None and folder == str(self.folder):
            return audit
        if interrupted:
            return None
        raise TrialError(f"recorder/save: {answer}")

    def judge(self, judgement: str) -> bool:
        """Write the judgement; whether the episode can be learned from."""
        assert self.folder is not None
        judge_episode(self.folder, judgement)
        return not read_description(self.folder).get("unusable")

    @property
    def verdict(self) -> str:
        """What the recorder's audit found, in a line."""
        assert self.folder is not None
        return str(read_description(self.folder).get("verdict", ""))


def delete_episode(folder: Path | None, out: Path) -> None:
    """Remove an episode of the session that records into `out`, and nothing else."""
    if folder is not None and folder.resolve().parent == out.resolve():
        shutil.rmtree(folder)
