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
# Farther away, the robot would move where it never moved in the episode. Grippers may be anywhere: what they close on
# has another size, or is not there.
START_TOLERANCE = {"rad": 0.2, "m": 0.02}
TRACKING_TOLERANCE = {"rad": 0.4, "m": 0.04}


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
    was measured then: an arm that was held up is not thrown after its recording. One that still stands at the start,
    since nobody gave it to the policy yet, starts there again.

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
        self._started: float | None = None  # [s, the observations' clock]
        self._offset = np.zeros(self._contract.size)

    def infer(self, observation: Observation, committed_prefix: np.ndarray | None = None) -> ActionChunk:
        """What was commanded in the `HORIZON` policy periods after this moment of the episode.

        Raises:
            PolicyError: the robot is not near where it was then; names the joint.
        """
        elapsed = self._elapsed(observation)
        due = elapsed + self._ahead
        remaining = np.clip(1.0 - due / RAMP_S, 0.0, 1.0)[:, None]
        positions = self._episode.command_at(self._begin + due) + remaining * self._offset
        return ActionChunk(positions, self._ahead, observation.stamp, "policy")

    def _elapsed(self, observation: Observation) -> float:
        """Seconds of the episode that are played by now; 0 where it starts here."""
        strayed = ""
        if self._started is not None:
            elapsed = observation.stamp - self._started
            if elapsed < 0:
                raise PolicyError(
                    f"{self._where}: expected observations in their order, got one {-elapsed:.2f} s too early"
                )
            strayed = self._strayed(observation.joints, elapsed, TRACKING_TOLERANCE)
            if not strayed:
                return elapsed
        away = self._strayed(observation.joints, 0.0, START_TOLERANCE)
        if away:
            raise PolicyError(
                f"{strayed or away}. It starts where the robot is brought to the episode's start"
            )
        self._started = observation.stamp
        self._offset = observation.joints - self._measured(0.0)
        return 0.0

    @property
    def _where(self) -> str:
        return f"replay of {self._episode.folder}"

    @property
    def _begin(self) -> float:
        return self._episode.command_span[0]

    def _measured(self, elapsed: float) -> np.ndarray:
        """Where the robot was then, (n,)."""
        return self._episode.joints_at(np.array([self._begin + elapsed]))[0]

    def _strayed(self, joints: np.ndarray, elapsed: float, tolerance: Mapping[str, float]) -> str:
        """The joint that is not where it was then, in words; empty where all are."""
        contract, then = self._contract, self._measured(elapsed)
        for i, (joint, unit) in enumerate(zip(contract.joints, contract.units, strict=True)):
            allowed = np.inf if contract.is_gripper[i] else tolerance[unit]
            if not abs(joints[i] - then[i]) <= allowed:  # refuses NaN, too
                return (
                    f"{self._where}: {elapsed:.1f} s after its start: {joint}: expected within "
                    f"{allowed} {unit} of {then[i]:.3f}, got {joints[i]:.3f}"
                )
        return ""
