"""A person at a leader arm, scripted: follows a plan late, trembles, waits for the robot, and corrects what it misses.

Sources of the numbers: visual reaction of 0.2 s and physiological tremor of 8 to 12 Hz are textbook values; how large
a tremor is at a leader's joint (about 0.1 degree) and how far behind a robot may be before somebody waits for it are
estimates. Knows no ROS and no clock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

REACTION_S = 0.2
TREMOR_HZ = (8.0, 12.0)
TREMOR_RAD = 0.002
CORRECTION_PER_S = 0.8  # share of a seen error that is taken back in a second
LARGEST_CORRECTION = 0.1  # [rad]
KEPT_S = 1.0
LOOK_S = 0.05  # from one look at the robot to the next
LONGEST_STEP_S = 0.05  # a hand whose thread was held up goes on from where it is
BEHIND_RAD = 0.15  # a robot further behind the hand is waited for; nobody goes on at twice that
BEHIND_AT_GRASP_RAD = 0.03  # the same before fingers close or open
STANDS_M, STANDS_RAD = 1e-3, 5e-3  # what moves less within a reaction time stands
LONGEST_WAIT_S = 3.0  # for which a robot that does not come is waited for

Plan = Callable[[float], np.ndarray]


@dataclass(frozen=True)
class _Moment:
    """What was planned and where the hand was at one moment [s, steady clock], (n,) both."""

    when: float
    planned: np.ndarray
    hand: np.ndarray


class ScriptedOperator:
    """Where an operator's hand holds a leader that stands as the robot does.

    The hand follows the plan after a reaction time, plus tremor, plus what of the robot's error was seen and is being
    corrected. Where the robot is seen to be behind, the hand slows down and waits: with an open gripper over an object
    until the arm is there, with one that is closing until the fingers stand. Grippers are squeezed as planned: nobody
    trembles there. Calls may come from several threads.
    """

    def __init__(self, start: np.ndarray, is_gripper: np.ndarray, seed: int) -> None:
        """Hold the leader at `start` (n,); `is_gripper` (n,) bool."""
        rng = np.random.default_rng(seed)
        size = len(start)
        self._lock = threading.Lock()
        self._start = np.array(start, dtype=float)
        self._arm = ~is_gripper
        self._hz = rng.uniform(*TREMOR_HZ, size=(3, size))
        self._phase = rng.uniform(0, 2 * np.pi, size=(3, size))
        self._plan: Plan | None = None
        self._begins, self._pace, self._exact = -np.inf, 1.0, False
        self._progress = 0.0
        self._advanced = -np.inf
        self._waiting_since: float | None = None
        self._look_at = -np.inf
        self._share = 1.0  # of the pace, that somebody who sees the robot goes on with
        self._correction, self._correcting = np.zeros(size), np.zeros(size)  # [rad], [rad/s]
        self._seen: deque[tuple[float, np.ndarray]] = deque()
        self._past: deque[_Moment] = deque()

    def perform(self, plan: Plan, begins: float, pace: float = 1.0) -> None:
        """Do what `plan` says from `begins` [s, steady clock] on; it is asked at `pace` seconds per second at most."""
        with self._lock:
            self._begin(plan, begins, pace, exact=False)

    def follow_exactly(self, plan: Plan, begins: float) -> None:
        """As `perform`, at once and without tremor: for measuring what comes after the hand."""
        with self._lock:
            self._begin(plan, begins, 1.0, exact=True)

    def rest(self, pose: np.ndarray) -> None:
        """Hold the leader at `pose` (n,)."""
        with self._lock:
            self._begin(None, -np.inf, 1.0, exact=False)
            self._start = np.array(pose, dtype=float)

    @property
    def progress_s(self) -> float:
        """How far the plan is performed [s of the plan]."""
        return self._progress

    def see(self, robot: np.ndarray, now: float) -> None:
        """The robot stands at `robot` (n,) at `now` [s, steady clock]; it is understood a reaction time later."""
        with self._lock:
            self._seen.append((now, robot))
            while self._seen[0][0] < now - KEPT_S:
                self._seen.popleft()

    def hand(self, now: float) -> np.ndarray:
        """Where the leader is held at `now` [s, steady clock], (n,)."""
        with self._lock:
            if self._exact and self._plan is not None:
                return self._plan(max(0.0, now - self._begins))
            passed = min(max(now - self._advanced, 0.0), LONGEST_STEP_S)
            self._advanced = max(now, self._advanced)
            if now >= self._look_at:
                self._look_at = now + LOOK_S
                self._look(now)
            self._progress += self._pace * passed * self._share
            self._correction += passed * self._correcting
            np.clip(self._correction, -LARGEST_CORRECTION, LARGEST_CORRECTION, out=self._correction)
            tremor = TREMOR_RAD / np.sqrt(3) * np.sin(2 * np.pi * self._hz * now + self._phase).sum(axis=0)
            planned = self._planned()
            hand: np.ndarray = planned + (tremor + self._correction) * self._arm
            self._past.append(_Moment(now, planned, hand))
            while self._past[0].when < now - KEPT_S:
                self._past.popleft()
            return hand

    def _begin(self, plan: Plan | None, begins: float, pace: float, exact: bool) -> None:
        self._plan, self._begins, self._pace, self._exact = plan, begins, pace, exact
        self._progress, self._advanced, self._waiting_since = 0.0, begins + REACTION_S, None
        self._look_at, self._share = -np.inf, 1.0
        self._correction[:] = self._correcting[:] = 0.0
        self._seen.clear()
        self._past.clear()

    def _planned(self) -> np.ndarray:
        return self._start if self._plan is None else self._plan(self._progress)

    def _look(self, now: float) -> None:
        """See how far the robot is: how fast to go on, and what to correct."""
        understood = self._understood(now)
        if self._plan is None or understood is None:
            self._share, self._correcting = 1.0, np.zeros_like(self._correction)
            return
        self._share = self._judge(self._plan, *understood)
        if self._share > 0:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now
        elif now - self._waiting_since > LONGEST_WAIT_S:
            self._share = 1.0
        self._correcting = self._correct(*understood)

    def _judge(self, plan: Plan, before: _Moment, robot: np.ndarray) -> float:
        """The share of the pace for a robot that was seen at `robot` (n,) at the moment `before`: 0 to 1."""
        ahead = np.abs(plan(self._progress + 0.5 * REACTION_S) - plan(self._progress))
        fingers = bool((ahead > STANDS_M)[~self._arm].any())
        if not fingers and self._fingers_move(before.when):
            return 0.0
        grasps = fingers and bool((ahead < STANDS_RAD)[self._arm].all())
        behind = float(np.abs(before.hand - robot)[self._arm].max())
        return float(np.clip(2.0 - behind / (BEHIND_AT_GRASP_RAD if grasps else BEHIND_RAD), 0.0, 1.0))

    def _fingers_move(self, until: float) -> bool:
        """Whether the robot's fingers were seen to move up to the moment `until` [s, steady clock]."""
        seen = [robot[~self._arm] for when, robot in self._seen if until - REACTION_S <= when <= until]
        return bool(seen) and bool((np.ptp(seen, axis=0) > STANDS_M).any())

    def _understood(self, now: float) -> tuple[_Moment, np.ndarray] | None:
        """The newest sight of the robot that a reaction time has passed since, and the hand at that moment."""
        for when, robot in reversed(self._seen):
            if when <= now - REACTION_S:
                before = next((one for one in reversed(self._past) if one.when <= when), None)
                return None if before is None else (before, robot)
        return None

    def _correct(self, before: _Moment, robot: np.ndarray) -> np.ndarray:
        """Take back what the robot misses where the plan stands still or goes slowly: nobody corrects in full swing.

        Returns how fast [rad/s], (n,).
        """
        earlier = next((one for one in reversed(self._past) if one.when <= before.when - REACTION_S), before)
        slow = np.abs(before.planned - earlier.planned).max() < LARGEST_CORRECTION
        speed: np.ndarray = CORRECTION_PER_S * (before.planned - robot) * self._arm * slow
        return speed
