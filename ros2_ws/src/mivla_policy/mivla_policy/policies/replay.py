"""Plays a recorded episode again: what was commanded then, at the same pace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mivla_drivers.contract import RobotContract, require_same_contract
from mivla_drivers.control.trajectory import ActionChunk
from mivla_drivers.observation import Observation
from mivla_drivers.policy import PolicyError
from mivla_drivers.recording.episode import Episode
from mivla_drivers.recording.reader import read_episode
from mivla_policy.policies import LoadOptions

HORIZON = 16  # steps of a chunk
RAMP_S = 1.0  # over which the distance to the episode's start is made up
# Farther away the robot would cross ground that nobody drove over; a gripper may close on nothing, or on something.
START_TOLERANCE = {"rad": 0.2, "m": 0.1}
TRACKING_TOLERANCE = {"rad": 0.4, "m": 0.1}


def load(where: str, contract: RobotContract, options: LoadOptions) -> ReplayPolicy:
    """The episode in the folder `where`; no option concerns it.

    Raises:
        DataError: the folder holds no whole episode.
        ContractError: it was recorded on another robot.
    """
    return ReplayPolicy(read_episode(Path(where)), contract)


class ReplayPolicy:
    """Plays one episode from its first command on; at its end the last target is held.

    It implements `mivla_drivers.policy.Policy`. It looks through no camera, takes any instruction for "start", and
    ignores a committed prefix and the seed. The robot has to stand near the episode's start, and to stay near what
    was measured then: an arm that was held up is not thrown after its recording.

    Args:
        episode: recorded on a robot whose joints mean the same; cameras may differ.

    Raises:
        ContractError: the episode was recorded on another robot.
    """

    views: tuple[str, ...] = ()

    def __init__(self, episode: Episode, contract: RobotContract) -> None:
        require_same_contract(contract, episode.contract, where=str(episode.folder), views=())
        self.timing: dict[str, float] = {}
        self._episode, self._contract = episode, contract
        self.horizon = HORIZON
        self._ahead = np.arange(1, HORIZON + 1) / contract.policy_rate_hz
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start over with the next observation; nothing is random."""
        self._started = -np.inf  # [s, the observations' clock]
        self._offset = np.zeros(self._contract.size)

    def infer(self, observation: Observation, committed_prefix: np.ndarray | None = None) -> ActionChunk:
        """What was commanded in the `HORIZON` policy periods after this moment of the episode.

        Raises:
            PolicyError: the robot is not near where it was then; names the joint.
        """
        if not np.isfinite(self._started):
            self._require_near(observation.joints, 0.0, START_TOLERANCE, "it starts there by itself")
            self._offset = observation.joints - self._measured(0.0)
            self._started = observation.stamp
        elapsed = observation.stamp - self._started
        if elapsed < 0:
            raise PolicyError(
                f"{self._where}: expected observations in their order, got one {-elapsed:.2f} s early"
            )
        self._require_near(observation.joints, elapsed, TRACKING_TOLERANCE, "give the instruction again")
        due = elapsed + self._ahead
        remaining = np.clip(1.0 - due / RAMP_S, 0.0, 1.0)[:, None]
        positions = self._episode.command_at(self._begin + due) + remaining * self._offset
        return ActionChunk(positions, self._ahead, observation.stamp, "policy")

    @property
    def _where(self) -> str:
        return f"replay of {self._episode.folder}"

    @property
    def _begin(self) -> float:
        return self._episode.command_span[0]

    def _measured(self, elapsed: float) -> np.ndarray:
        """Where the robot was then, (n,)."""
        return self._episode.joints_at(np.array([self._begin + elapsed]))[0]

    def _require_near(
        self, joints: np.ndarray, elapsed: float, tolerance: Mapping[str, float], remedy: str
    ) -> None:
        then = self._measured(elapsed)
        for joint, unit, now, was in zip(
            self._contract.joints, self._contract.units, joints, then, strict=True
        ):
            if not abs(now - was) <= tolerance[unit]:
                raise PolicyError(
                    f"{self._where}: {elapsed:.1f} s after its start: {joint}: expected within "
                    f"{tolerance[unit]} {unit} of {was:.3f}, got {now:.3f}. "
                    f"Move the robot to the episode's start and {remedy}"
                )
