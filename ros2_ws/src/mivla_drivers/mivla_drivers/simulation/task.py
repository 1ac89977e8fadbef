"""What a task is: scenes drawn from a seed, objects on the table, sub-tasks read from physics, an expert."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic

import numpy as np

from mivla_drivers.contract import RobotContract
from mivla_drivers.errors import DataError
from mivla_drivers.simulation.expert import Expert
from mivla_drivers.simulation.grasping import Waypoint
from mivla_drivers.simulation.world.base_scene import CAMERA_CONDITIONS, AnyScene
from mivla_drivers.simulation.world.physics import World

LOOK_PERIOD_S = 0.1  # how often sub-tasks are read from the world
GENERALISATION = ("seen", "unseen_locations", "unseen_objects", "unseen_scenes", "unseen_poses")
"""Conditions of the paper's Table 5, of tasks that have them; what each changes is the task's."""
CAMERA_STREAM = 7  # of a seed's random numbers: those of its cameras


class Task(ABC, Generic[AnyScene]):
    """One task of a robot at a table. `docs/add-a-task.md` shows how to write one.

    Attributes:
        name: as commands, recordings and its file call it.
        instructions: sentences that ask for it.
        subtasks: in the order in which they must be done.
        conditions: what `sample_scene` can draw; the first is the default. `scene` knows those of cameras, too.
        mishaps: what may go wrong before a demonstration, so that it shows how that is put right; see `mishap`.
        debounce_s: how long a sub-task must hold without a break before it counts; at once where not given.
    """

    name: str
    instructions: tuple[str, ...]
    subtasks: tuple[str, ...]
    conditions: tuple[str, ...] = ("easy", "hard")
    mishaps: tuple[str, ...] = ()
    debounce_s: Mapping[str, float] = {}

    @abstractmethod
    def sample_scene(self, seed: int, condition: str) -> AnyScene:
        """The scene of `seed`: same seed and condition of `conditions`, same scene. Others ask `scene`.

        Raises:
            DataError: there is no such condition.
        """

    @abstractmethod
    def spawn(self, world: World[AnyScene]) -> None:
        """Put what `world.scene` says on the table; note each body in `world.bodies` by name."""

    @abstractmethod
    def holds(self, world: World[AnyScene]) -> Mapping[str, bool]:
        """For every sub-task, whether it holds at this moment; asked every 0.1 s of simulated time."""

    def lost(self, world: World[AnyScene]) -> bool:
        """Whether the task can no longer be done, whoever tries: an object has fallen off the table, say."""
        return False

    @abstractmethod
    def expert(self, contract: RobotContract) -> Expert[AnyScene]:
        """Somebody who can do it with that robot.

        Raises:
            MivlaError: nobody can.
        """

    def mishap(self, kind: str, scene: AnyScene, rng: np.random.Generator) -> list[Waypoint]:
        """The grip's way through a mishap of `mishaps`: the object is missed, dropped or knocked over."""
        raise DataError(f"{self.name}: mishap: expected none, got {kind!r}")

    def scene_now(self, world: World[AnyScene]) -> AnyScene:
        """The scene as it is after a mishap, which an expert plans from."""
        return world.scene

    def instruction(self, scene: AnyScene) -> str:
        """The sentence that asks for it in `scene`."""
        return self.instructions[0]

    def progress(self, world: World[AnyScene]) -> Progress:
        """Which sub-tasks have been done; a new one belongs to every reset of the world."""
        return Progress(self, world)

    def scene(self, seed: int, condition: str) -> AnyScene:
        """The scene of `seed` in any condition of `all_conditions`.

        Raises:
            DataError: there is no such condition.
        """
        self.require_condition(condition)
        if condition in self.conditions:
            return self.sample_scene(seed, condition)
        plain = self.sample_scene(seed, self.conditions[0])
        return CAMERA_CONDITIONS[condition](plain, np.random.default_rng([seed, CAMERA_STREAM]))

    @property
    def all_conditions(self) -> tuple[str, ...]:
        """The task's own conditions, then those of cameras, which every task has."""
        return (*self.conditions, *(name for name in CAMERA_CONDITIONS if name not in self.conditions))

    def require_condition(self, condition: str) -> None:
        """Refuse a condition that `scene` does not know.

        Raises:
            DataError: names those that there are.
        """
        self._require(condition, self.all_conditions)

    def check_condition(self, condition: str) -> None:
        """Refuse a condition that `sample_scene` does not draw.

        Raises:
            DataError: names those that there are.
        """
        self._require(condition, self.conditions)

    def _require(self, condition: str, known: tuple[str, ...]) -> None:
        if condition not in known:
            raise DataError(f"{self.name}: condition: expected one of {list(known)}, got {condition!r}")

    def __str__(self) -> str:
        return self.name


class Progress:
    """Which sub-tasks of a task have been done since the world's last reset, in the order they must be done."""

    def __init__(self, task: Task[Any], world: World[Any]) -> None:
        self._task, self._world = task, world
        self.done = dict.fromkeys(task.subtasks, False)
        self._since: dict[str, float | None] = dict.fromkeys(task.subtasks)

    def update(self) -> dict[str, bool]:
        """Look at the world; a sub-task once done stays done, and counts only after the one before it."""
        holds = self._task.holds(self._world)
        before = True
        for subtask in self._task.subtasks:
            if not self.done[subtask]:
                self.done[subtask] = before and self._long_enough(subtask, holds[subtask])
            before = self.done[subtask]
        self._world.mark()
        return dict(self.done)

    @property
    def success(self) -> bool:
        """Whether every sub-task was done."""
        return all(self.done.values())

    @property
    def completeness(self) -> float:
        """Share of sub-tasks done, 0 to 1."""
        return sum(self.done.values()) / len(self.done)

    def _long_enough(self, subtask: str, holds: bool) -> bool:
        """Whether the sub-task, due now, has held for as long as the task wants."""
        if not holds:
            self._since[subtask] = None
            return False
        now, since = self._world.time_s, self._since[subtask]
        if since is None:
            since = self._since[subtask] = now
        return now - since >= self._task.debounce_s.get(subtask, 0.0) - 1e-6
