"""Records one demonstration after the other: home, scene, start, end, verdict, judgement."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from mivla_bringup.plain_text import plain
from mivla_bringup.record.cues import Cues
from mivla_bringup.record.dialogue import Act, Dialogue, Intent, Phase, Reply
from mivla_bringup.record.episode import Episode, delete_episode
from mivla_bringup.record.inputs import Requests, RequestSource
from mivla_bringup.record.leader import LeaderWatch
from mivla_bringup.record.line import LiveLine
from mivla_bringup.record.plan import SessionPlan
from mivla_bringup.record.progress import RecordProgress, good_episodes
from mivla_bringup.record.readiness import ACTIVE, mode_of, set_up_recorder, wait_for_bringup
from mivla_bringup.record.recorder_watch import RecorderWatch
from mivla_bringup.trials.errors import TryLeftOut
from mivla_bringup.trials.operated_robot import OperatedRobot
from mivla_bringup.trials.scene import SimulatedScene, TrialPlan
from mivla_drivers.contract import RobotContract
from mivla_drivers.errors import MivlaError
from mivla_drivers.recording.judgement import SUCCESS, USABLE
from mivla_drivers.ros.robot_client import CallRefused, RobotClient

TICK_S = 0.05


class RecordSession:
    """An operator's session on a running bringup; `run` returns at its end."""

    def __init__(
        self,
        contract: RobotContract,
        client: RobotClient,
        scene: SimulatedScene | None,
        sources: Sequence[RequestSource],
        cues: Cues,
        progress: RecordProgress,
        plan: SessionPlan,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`scene`: None where the operator sets it up; `check` raises where waiting has become pointless."""
        self._client, self._scene = client, scene
        self._cues, self._progress, self._plan = cues, progress, plan
        self._requests = Requests(sources)
        self._robot = OperatedRobot(contract, client)
        self._dialogue = Dialogue()
        self._preparing = False
        self._done = False
        self._check = check
        client.check = self._poll
        self._leader = LeaderWatch(contract, client)
        self._recorder, self._line = RecorderWatch(client), LiveLine()
        self._episode = self._new_episode(None)

    def wait_until_ready(self, deadline_s: float) -> None:
        """Wait for driver and recorder, and end an episode that an earlier session left under way.

        Raises:
            RobotClientError: one of them is missing after `deadline_s`.
            TrialError: the recorder keeps another source's commands.
        """
        wait_for_bringup(self._client, self._robot, self._scene, deadline_s)
        if left := set_up_recorder(self._client, self._plan, self._progress.out):
            self._cues.tell(
                "an episode was under way", f"an earlier session left an episode, kept unjudged: {left}"
            )

    def run(self) -> bool:
        """Record until there are enough; False where the operator ended it before.

        Raises:
            MivlaError: a part of the bringup refuses, falls silent or ends.
        """
        try:
            while (good := self._progress.good) < self._plan.wanted:
                try:
                    if not self._record(good + 1):
                        return False
                except TryLeftOut as left:
                    self._cues.tell(str(left))
            self._cues.tell(f"all {self._plan.wanted} episodes are recorded")
            return True
        finally:
            self._release()

    # One episode

    def _new_episode(self, seed: int | None) -> Episode:
        return Episode(self._client, self._plan, seed, self._leader, self._recorder)

    def _record(self, number: int) -> bool:
        """Whether to go on after it."""
        seed = self._progress.next_seed() if self._scene is not None else None
        self._episode = self._new_episode(seed)
        if self._dialogue.wants_break:
            self._dialogue.phase = Phase.PAUSED
            if not self._converse(number, lambda: self._dialogue.phase is Phase.PAUSED):
                return False
        if not self._prepare(number, seed):
            return False
        self._dialogue.next()
        where = "" if seed is None else f", scene {seed} {self._plan.mode}"
        self._cues.tell(
            f"episode {number}. ready",
            f"episode {number}/{self._plan.wanted}{where}: {self._plan.instruction(seed)!r}  {self._dialogue.hint}",
        )
        self._done = False
        return self._converse(number, lambda: not self._done)

    def _prepare(self, number: int, seed: int | None) -> bool:
        """Power, home and a scene; False where the operator ends the session instead."""
        robot, plan = self._robot, self._plan
        if mode_of(self._client) != ACTIVE or self._scene is None:
            what = "" if mode_of(self._client) == ACTIVE else "the motors get power, "
            prompt = f"set up the scene and keep clear. Enter: {what}THE ARM MOVES HOME"
            self._cues.tell("set up the scene", f"episode {number}/{plan.wanted}: {prompt}")
            if not self._await_go():
                return False
        self._requests.clear()
        self._preparing = True
        try:
            if mode_of(self._client) != ACTIVE:
                self._client.enable()
            robot.rest()
            robot.go_home()
            sentence = plan.instruction(seed)
            if self._scene is not None:
                self._scene.begin(TrialPlan(number, seed, plan.mode, sentence, 0.0))
            scene = {"seed": -1 if seed is None else seed, "mode": plan.mode if seed is not None else ""}
            self._client.set_parameters("recorder", instruction=sentence, task=plan.task, **scene)
        except CallRefused as error:
            raise TryLeftOut(f"not ready: {plain(error)}") from None
        finally:
            self._preparing = False
        return True

    def _await_go(self) -> bool:
        while True:
            self._client.spin()
            for intent in self._requests.take():
                if intent in (Intent.GO, Intent.PEDAL):
                    return True
                if intent is Intent.QUIT:
                    return False

    def _converse(self, number: int, going: Callable[[], bool]) -> bool:
        """Take requests while `going`; False once the operator ends the session."""
        while going():
            self._client.spin_for(TICK_S)
            self._watch_robot()
            for intent in self._requests.take():
                reply = self._dialogue.press(intent)
                if reply.remark:
                    self._cues.tell(reply.remark)
                for act in reply.acts:
                    if act is Act.QUIT:
                        return False
                    self._do(act, reply)
            if self._dialogue.phase is Phase.RECORDING:
                self._line.show(self._recorder, number, self._plan.wanted)
        return True

    def _do(self, act: Act, reply: Reply) -> None:
        if act is Act.BEGIN:
            self._begin()
        elif act is Act.END:
            self._end()
        elif act is Act.JUDGE:
            self._judge(reply.judgement)
        elif act is Act.NEXT:
            self._progress.skip(self._episode.seed)
            self._done = True
        elif act in (Act.DISCARD, Act.REDO):
            delete_episode(self._episode.folder, self._progress.out)
            if act is Act.DISCARD:
                self._progress.skip(self._episode.seed)
            self._cues.tell("discarded" if act is Act.DISCARD else "again")
            self._done = True
        elif act is Act.REDO_LAST:
            self._redo_last()

    def _begin(self) -> None:
        try:
            self._episode.begin()
        except CallRefused as error:
            self._dialogue.next()
            self._cues.tell("not started", f"not started: {plain(error)}  {self._dialogue.hint}")
            return
        self._cues.tell("recording", f"RECORDING  {self._dialogue.hint}")

    def _end(self) -> None:
        """End the episode, and say what the audit found."""
        audit = self._episode.end(interrupted=bool(self._dialogue.stopped))
        if audit is None:
            return
        problems = [line for line in audit if line.startswith("problem")]
        verdict = self._episode.verdict
        self._cues.tell(
            "ended" if verdict == USABLE else "ended, but not usable",
            "\n".join([f"{self._name}: {verdict}", *(f"    {line}" for line in problems)]),
        )
        if self._dialogue.phase is Phase.ENDED:
            self._cues.tell("how did it go", self._dialogue.hint)

    def _judge(self, judgement: str) -> None:
        """Write the judgement; offer to record it again where the audit contradicts a success."""
        usable = self._episode.judge(judgement)
        if judgement == SUCCESS and not usable:
            self._dialogue.review()
            verdict = self._episode.verdict
            self._cues.tell("not usable. again?", f"NOT USABLE: {verdict}  {self._dialogue.hint}")
            return
        if judgement != SUCCESS:
            self._progress.skip(self._episode.seed)
        self._cues.tell(
            judgement, f"{judgement}: {self._name}  {self._progress.good}/{self._plan.wanted} good"
        )
        self._done = True

    def _redo_last(self) -> None:
        kept = good_episodes(self._progress.out)
        if not kept:
            self._cues.tell("nothing was kept yet")
            return
        last = max(kept, key=lambda one: one[1].get("started", 0.0))[0]
        delete_episode(last, self._progress.out)
        self._cues.tell("the last one again", f"deleted {last.name}; it is recorded again")
        self._done = True

    # What goes on meanwhile

    def _watch_robot(self) -> None:
        """End the episode where the driver took the robot away, or the recorder ended it by itself."""
        if self._dialogue.phase is not Phase.RECORDING:
            return
        why = self._episode.interruption(time.monotonic())
        if why:
            self._dialogue.end_without(why)
            self._cues.tell("the episode ended", why)
            self._end()

    @property
    def _name(self) -> str:
        return "" if self._episode.folder is None else self._episode.folder.name

    def _poll(self) -> None:
        """The client's check, before each of its waits.

        Raises:
            TryLeftOut: the robot was stopped on its way home.
        """
        self._check()
        self._requests.poll()
        if self._preparing and self._requests.waiting(Intent.STOP):
            self._preparing = False
            raise TryLeftOut("stopped by the operator")

    def _release(self) -> None:
        """Take the robot from its source, and keep an episode under way as unjudged."""
        self._requests.terminal_may_go = True
        with suppress(MivlaError):
            self._client.select_source("none")
        with suppress(MivlaError):
            self._client.save()
        with suppress(MivlaError):
            self._client.say("")
