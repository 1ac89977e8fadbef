"""What an operator's keys say about a try; knows no terminal, no ROS and no clock."""

from __future__ import annotations

from collections.abc import Sequence

STOP = " "
SUCCESS, FAILURE, LEAVE_OUT, QUIT = "s", "f", "x", "q"
ENTER = "\n"
MOST_DIGITS = 9


class Judge:
    """One try, from the moment the policy gets the robot.

    The first key that judges ends the try. A try that ended before, by a stop, by its time limit or because the driver
    took the robot away, is no success any more: it is a failure or left out.

    Attributes:
        subtasks: which of them are ticked.
        success: the judgement; None before it.
        leaving: `LEAVE_OUT` or `QUIT` where the operator wants no judgement, else empty.
        ended: why the try is over; empty while it goes on.
        at: since when it is over [s, on the clock of `now`].
        remark: why the newest key was not taken; empty where it was.
    """

    def __init__(self, subtasks: Sequence[str]) -> None:
        self.subtasks = dict.fromkeys(subtasks, False)
        self.success: bool | None = None
        self.leaving = ""
        self.ended = ""
        self.at: float | None = None
        self.remark = ""

    @property
    def reached(self) -> dict[str, bool]:
        """Each sub-task as judged: all of them in a success."""
        return dict.fromkeys(self.subtasks, True) if self.success else dict(self.subtasks)

    @property
    def decided(self) -> bool:
        """Whether nothing more is asked of the operator."""
        return self.success is not None or bool(self.leaving)

    def press(self, key: str, now: float) -> None:
        """A key was pressed at `now` [s]."""
        if self.decided:
            return
        self.remark = ""
        if key == STOP:
            self.end("stopped by the operator", now)
        elif key == SUCCESS:
            self._succeed(now)
        elif key == FAILURE:
            self._fail(now)
        elif key in (LEAVE_OUT, QUIT):
            self.leaving = key
            self.end("left out by the operator", now)
        elif key.isdecimal() and 1 <= int(key) <= min(len(self.subtasks), MOST_DIGITS):
            name = list(self.subtasks)[int(key) - 1]
            self.subtasks[name] = not self.subtasks[name]

    def end(self, why: str, now: float) -> None:
        """The try is over at `now` [s] without a judgement; the first reason stays."""
        if not self.ended:
            self.ended, self.at = why, now

    def time_is_up(self) -> None:
        """The policy gave the robot back at the time limit; a judgement that came meanwhile came too late."""
        self.success, self.ended, self.at = None, "the time is up", None

    def _succeed(self, now: float) -> None:
        if self.ended:
            self.remark = f"{self.ended}: no success any more; f or x"
            return
        self.success = True
        self.end("success", now)

    def _fail(self, now: float) -> None:
        if all(self.subtasks.values()):
            self.remark = "every sub-task is ticked: take one back by its digit, or s"
            return
        self.success = False
        self.end("failure", now)
