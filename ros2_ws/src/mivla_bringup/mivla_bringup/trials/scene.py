"""Where a try is set up, watched and judged: by the simulator, or by somebody who looks at a real table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mivla_bringup.trials.errors import TrialError
from mivla_drivers.ros.robot_client import CallRefused, RobotClient

SILENCE_S = 3.0  # longer means that the simulator is gone


@dataclass(frozen=True)
class TrialPlan:
    """One trial to run: its number from 0, the scene's seed and mode, the sentence, the time limit [s].

    There is no seed where an operator sets up the scene.
    """

    number: int
    seed: int | None
    mode: str
    instruction: str
    time_limit_s: float


@dataclass(frozen=True)
class SceneState:
    """How far a try is.

    Attributes:
        ended: it need not be watched any longer.
        success: the task is done.
        subtasks: for each sub-task in order, whether it was reached.
        at: when the try ended [s, steady clock]; None while it has not, or where the time of looking is exact enough.
    """

    ended: bool
    success: bool
    subtasks: Mapping[str, bool]
    at: float | None = None


class Scene(Protocol):
    """What a try takes place in, called in this order."""

    def wait_until_ready(self, deadline_s: float) -> None:
        """Wait for who judges, at the start of a run."""

    def set_up(self, plan: TrialPlan) -> None:
        """Nobody holds the robot; when this returns, the arm goes home."""

    def begin(self, plan: TrialPlan) -> None:
        """The arm is at home; when this returns, the policy gets the robot, and nothing told before counts."""

    def look(self) -> SceneState:
        """How far the try is now."""

    def conclude(self, last: SceneState) -> SceneState:
        """What the try came to; `last` was seen when the policy gave the robot back."""


class SimulatedScene:
    """The simulator sets up the scene of a seed, and reads from physics what was reached."""

    def __init__(self, client: RobotClient) -> None:
        self._client, self._watch = client, client.watch
        self._watch.follow_progress()

    def wait_until_ready(self, deadline_s: float) -> None:
        """Wait for the simulator.

        Raises:
            RobotClientError: it is not there within `deadline_s`.
        """
        self._client.wait_for_services(("reset", "simulator/set_parameters"), deadline_s)
        self._client.wait_until(
            lambda: self._watch.progress is not None, deadline_s, "simulator: simulator/progress"
        )

    def set_up(self, plan: TrialPlan) -> None:
        """Nothing: the scene is made anew once the arm is at home."""

    def begin(self, plan: TrialPlan) -> None:
        """A fresh scene.

        Raises:
            TrialError: the simulator refuses, or shows no fresh scene.
        """
        try:
            self._client.reset_simulator(seed=plan.seed, mode=plan.mode)
        except CallRefused as error:
            raise TrialError(f"simulator/reset: seed {plan.seed}, mode {plan.mode}: {error}") from None
        arrivals = self._watch.arrivals["progress"]
        old = arrivals.count + 1  # one message may have been on its way
        self._client.wait_until(
            lambda: arrivals.count > old, SILENCE_S, "simulator: simulator/progress after a reset"
        )
        state = self.look()
        if state.success or any(state.subtasks.values()):
            raise TrialError(f"simulator: expected a fresh scene after a reset, got {dict(state.subtasks)}")

    def look(self) -> SceneState:
        """The newest progress.

        Raises:
            TrialError: the simulator fell silent.
        """
        silence = self._watch.arrivals["progress"].silence()
        if silence > SILENCE_S:
            raise TrialError(f"simulator: silent for {silence:.1f} s in the middle of a trial")
        progress = self._watch.progress
        assert progress is not None  # wait_until_ready waits for one
        return SceneState(progress.success, progress.success, progress.subtasks)

    def conclude(self, last: SceneState) -> SceneState:
        """As it was when the policy gave the robot back."""
        return last
