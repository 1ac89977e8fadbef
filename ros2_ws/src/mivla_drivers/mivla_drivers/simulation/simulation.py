"""The simulated cell in real time: world, task and the mailbox between world and emulated arm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mivla_drivers.contract import Camera, RobotContract
from mivla_drivers.robots.plant import PlantState
from mivla_drivers.simulation.renderer import render
from mivla_drivers.simulation.scene import sample_scene
from mivla_drivers.simulation.task import MoveBottleOntoPad
from mivla_drivers.simulation.world import World

LOOK_PERIOD_S = 0.1  # how often the task looks at the world
LONGEST_CATCH_UP_S = 0.1


@dataclass(frozen=True)
class Frame:
    """A camera image (H, W, 3) uint8 rgb and the camera that took it."""

    camera: Camera
    image: np.ndarray


class WorldPlant:
    """The emulated arm's view of the world: whole arrays are exchanged, so that no lock is needed."""

    def __init__(self, home: np.ndarray) -> None:
        zeros = np.zeros_like(home)
        self._state = PlantState(home.copy(), zeros, zeros)
        self.order: tuple[np.ndarray, np.ndarray] | None = None

    def state(self) -> PlantState:
        """What the encoders measured last."""
        return self._state

    def drive(self, target: np.ndarray, enabled: np.ndarray) -> None:
        """Move towards `target` (n,) where `enabled` (n,) bool; other joints fall limp."""
        self.order = (np.array(target, dtype=float), np.array(enabled, dtype=bool))

    def measured(self, state: PlantState) -> None:
        """Called by the world's owner after each step."""
        self._state = state


class Simulation:
    """Steps the world along the clock; one thread owns it.

    Time that the machine could not keep up with is lost, never caught up in a jump: the world then runs slow.
    """

    def __init__(self, contract: RobotContract, seed: int, mode: str) -> None:
        self._contract = contract
        self._world = World(contract, sample_scene(seed, mode))
        self._task = MoveBottleOntoPad()
        self.plant = WorldPlant(contract.home)
        self._clock: float | None = None
        self._next_frame = {camera.name: 0.0 for camera in contract.cameras}
        self._next_look = 0.0
        self.progress = dict.fromkeys(self._task.subtasks, False)
        self.lost_s = 0.0

    @property
    def success(self) -> bool:
        """Whether the task has been done since the last reset."""
        return self._task.success

    def reset(self, seed: int, mode: str) -> None:
        """Furnish the scene of `seed` anew; the arm stays where it is.

        Raises:
            ValueError: `mode` is neither easy nor hard.
        """
        joints = self._world.read().position
        self._world.reset(
            sample_scene(seed, mode),
            np.clip(joints, self._contract.limits.lower, self._contract.limits.upper),
        )
        self._task.reset()
        self.progress = dict.fromkeys(self._task.subtasks, False)
        self._next_frame = {camera.name: 0.0 for camera in self._contract.cameras}
        self._next_look = 0.0

    def advance(self, now: float) -> tuple[list[Frame], bool]:
        """Step the world up to `now` [s, steady clock].

        Returns:
            The camera frames that fell due, and whether the task looked at the world.
        """
        if self._clock is None:
            self._clock = now
        behind = now - self._clock
        if behind > LONGEST_CATCH_UP_S:
            self.lost_s += behind - LONGEST_CATCH_UP_S
            self._clock = now - LONGEST_CATCH_UP_S
        while self._clock + self._world.step_s <= now:
            self._step()
            self._clock += self._world.step_s
        looked = self._world.time_s >= self._next_look
        if looked:
            self._next_look = self._world.time_s + LOOK_PERIOD_S
            self.progress = self._task.update(self._world)
        return self._due_frames(), looked

    def close(self) -> None:
        """Release the world."""
        self._world.close()

    def _step(self) -> None:
        if self.plant.order is not None:
            self._world.target, self._world.enabled = self.plant.order
        self._world.step()
        reading = self._world.read()
        self.plant.measured(PlantState(reading.position, reading.velocity, reading.effort))

    def _due_frames(self) -> list[Frame]:
        frames = []
        for camera in self._contract.cameras:
            if self._world.time_s >= self._next_frame[camera.name]:
                period = 1.0 / camera.rate_hz
                self._next_frame[camera.name] = max(
                    self._next_frame[camera.name] + period, self._world.time_s
                )
                frames.append(Frame(camera, render(self._world, camera)))
        return frames
