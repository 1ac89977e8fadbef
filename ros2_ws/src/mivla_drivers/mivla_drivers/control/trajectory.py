"""Action chunks and the player that turns them into joint targets by time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mivla_drivers.errors import CommandRefused


@dataclass(frozen=True)
class ActionChunk:
    """Future joint targets that one source decided from one observation.

    Attributes:
        positions: targets in contract order [rad or m], shape (H, n).
        times: when each target is due [s after `stamp`], shape (H,), not negative, strictly increasing.
        stamp: time of the observation [s]. In messages it is ROS system time; the driver's node shifts it
            to the steady clock with `shifted` before it reaches the driver.
        source: who decided it, "policy" or "teleop".
        end_effectors: of a robot whose contract says that they are observed, xyz [m] and quaternion xyzw of
            each at the same times, shape (H, 7) or (H, 14), quaternions of any length; else None. The driver
            does not use them.

    Raises:
        CommandRefused: a shape is wrong, a number is not finite, or times are negative or unordered.
    """

    positions: np.ndarray
    times: np.ndarray
    stamp: float
    source: str
    end_effectors: np.ndarray | None = None

    def __post_init__(self) -> None:
        positions = np.array(self.positions, dtype=float)
        times = np.array(self.times, dtype=float)
        where = f"{self.source} chunk"
        if positions.ndim != 2 or positions.size == 0:
            raise CommandRefused(f"{where}: expected positions of shape (H, n), got {positions.shape}")
        if times.shape != (len(positions),):
            raise CommandRefused(f"{where}: expected times of shape ({len(positions)},), got {times.shape}")
        if not np.isfinite(positions).all():
            step, joint = np.argwhere(~np.isfinite(positions))[0]
            value = positions[step, joint]
            raise CommandRefused(
                f"{where}: expected finite positions, got {value} at step {step}, joint index {joint}"
            )
        if not (np.isfinite(times).all() and np.isfinite(self.stamp)):
            raise CommandRefused(
                f"{where}: expected finite times, got stamp {self.stamp} and times {times.tolist()}"
            )
        if times[0] < 0 or (np.diff(times) <= 0).any():
            raise CommandRefused(
                f"{where}: expected times not negative and strictly increasing, got {times.tolist()}"
            )
        for array, name in ((positions, "positions"), (times, "times")):
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.end_effectors is not None:
            self._take_end_effectors(where)

    def _take_end_effectors(self, where: str) -> None:
        poses = np.array(self.end_effectors, dtype=float)
        if poses.shape not in ((len(self.times), 7), (len(self.times), 14)) or not np.isfinite(poses).all():
            raise CommandRefused(
                f"{where}: expected finite end effectors of shape ({len(self.times)}, 7 or 14), got {poses.shape}"
            )
        poses.setflags(write=False)
        object.__setattr__(self, "end_effectors", poses)

    @property
    def start(self) -> float:
        """When the first target is due [s, clock of `stamp`]."""
        return self.stamp + float(self.times[0])

    @property
    def end(self) -> float:
        """When the last target is due [s, clock of `stamp`]."""
        return self.stamp + float(self.times[-1])

    def shifted(self, seconds: float) -> ActionChunk:
        """The same chunk on another clock, whose readings are `seconds` greater."""
        return replace(self, stamp=self.stamp + seconds)


class TrajectoryPlayer:
    """Plays action chunks by time, with straight lines between their steps.

    A new chunk replaces the old one from the new one's first step on; until then the old one plays, so that
    a chunk which was inferred while the robot moved joins it without a pause.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything: the next chunk is a first one."""
        self._times = np.empty(0)  # (K,)
        self._positions = np.empty((0, 0))  # (K, n)
        self._stamp = -np.inf

    def receive(self, chunk: ActionChunk, now: float, position: np.ndarray | None = None) -> None:
        """Play `chunk` from its first step on.

        Args:
            chunk: its stamp is on the clock of `now`.
            now: [s, steady clock].
            position: where the robot is commanded to be now, shape (n,). With nothing left to play, a chunk
                that starts in the future is approached from there in a straight line; without it, its first
                step is the target at once.
        """
        times = chunk.stamp + chunk.times
        kept = self._times < times[0]
        kept[: max(0, int(np.searchsorted(self._times, now, side="right")) - 1)] = False  # played already
        if not self.playing(now):
            kept[:] = False
        if kept.any():
            self._times = np.concatenate([self._times[kept], times])
            self._positions = np.concatenate([self._positions[kept], chunk.positions])
        elif position is not None and now < times[0]:
            self._times = np.concatenate([[now], times])
            self._positions = np.concatenate([[position], chunk.positions])
        else:
            self._times, self._positions = times, chunk.positions
        self._stamp = chunk.stamp

    def sample(self, now: float) -> np.ndarray | None:
        """Joint target at `now` [s, steady clock], shape (n,); None when there is nothing left to play."""
        if not self.playing(now):
            return None
        after = int(np.searchsorted(self._times, now, side="right"))
        if after == 0 or after == len(self._times):
            return self._positions[min(after, len(self._times) - 1)].copy()
        t0, t1 = self._times[after - 1 : after + 1]
        before, behind = self._positions[after - 1 : after + 1]
        return before + (behind - before) * ((now - t0) / (t1 - t0))

    def playing(self, now: float) -> bool:
        """Whether a step is still due at or after `now`."""
        return len(self._times) > 0 and now <= self._times[-1]

    @property
    def last(self) -> np.ndarray | None:
        """Last step of what was received, shape (n,); None before the first chunk."""
        return self._positions[-1].copy() if len(self._times) else None

    @property
    def end(self) -> float:
        """When the last step is or was due [s, steady clock]; minus infinity before the first chunk."""
        return float(self._times[-1]) if len(self._times) else -np.inf

    @property
    def stamp(self) -> float:
        """Observation time of the newest chunk [s, steady clock]; minus infinity before the first one."""
        return self._stamp
