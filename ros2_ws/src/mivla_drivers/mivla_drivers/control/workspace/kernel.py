"""Frames and distances in C, where its library was compiled: ten times as fast as arrays of a few numbers each."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

from mivla_drivers.control.workspace.braking import MOST_PERIODS, MOST_SAMPLES, SAMPLE_SPACING, BrakingPath
from mivla_drivers.control.workspace.slowing import LinearBound
from mivla_drivers.errors import HardwareError
from mivla_drivers.native import compiled

SOURCE = Path(__file__).with_suffix(".c")
WHAT = "the workspace's faster library"
FLAGS = ("-lm", "-O3", "-ffp-contract=off")
INTEGERS = ("size", "moving", "arms", "tables", "faces", "pairs", "capsules")
FIELDS = (
    "size", "moving", "spread", "offset", "terms", "slides", "parents", "axes",
    "arms", "tip_bodies", "tip_points",
    "tables", "table_bodies", "table_frames", "half", "radii", "round", "table_height",
    "faces", "face_bodies", "face_axes", "face_points", "face_signs", "face_corners",
    "pairs", "capsules", "pair_one", "pair_other", "capsule_bodies", "capsule_ends", "capsule_radii",
)  # fmt: skip


def _type_of(field: str) -> Any:
    if field in INTEGERS:
        return ctypes.c_int64
    return ctypes.c_double if field == "table_height" else ctypes.c_void_p


class _Workspace(ctypes.Structure):
    _fields_ = [(field, _type_of(field)) for field in FIELDS]


def library() -> Path:
    """The compiled library, made where it is not there yet.

    Raises:
        HardwareError: it cannot be made; the message says what to install.
    """
    return compiled(SOURCE, WHAT, *FLAGS)


class _Room:
    """Memory of C, made once: to make arrays anew, or to ask where they are, costs more than to fill them."""

    def __init__(self, fields: dict[str, Any]) -> None:
        """`fields` are those of `Workspace` in kernel.c."""
        size, pairs, capsules = fields["size"], fields["pairs"], fields["capsules"]
        longest = max(MOST_PERIODS + 3, 2 * (MOST_SAMPLES + 1) + 3 * size)  # moments
        bounds = fields["tables"] + fields["faces"] + pairs
        self.moments = np.empty(longest)
        self.poses = np.empty(longest * size)
        self.frames = np.empty(longest * 16 * (fields["moving"] + 1))
        self.values = np.empty(longest * bounds)
        self.points, self.apart = np.empty((2, longest * 3 * pairs))
        self.ends, self.known = np.empty(longest * 6 * capsules), np.empty(capsules, dtype=np.uint8)
        self.steps = np.empty(fields["arms"])
        self.position, self.velocity, self.slowest, self.change = np.empty((4, size))
        self.pose, self.gradient, self.weights, self.slowed = np.empty((4, size))
        self.at = {name: one.ctypes.data for name, one in vars(self).items()}


class Kernel:
    """What `LinkTree.frames` and `Clearance.distances` reckon, for one robot."""

    def __init__(self, **values: Any) -> None:
        """`values` are the fields of `Workspace` in kernel.c.

        Raises:
            HardwareError: there is no library, and it cannot be made.
        """
        try:
            loaded = ctypes.CDLL(str(library()))
        except OSError as error:
            raise HardwareError(f"{WHAT}: {error}") from error
        self._frames, self._distances = loaded.workspace_frames, loaded.workspace_distances
        self._frames.restype = self._distances.restype = None
        pointer, count = ctypes.c_void_p, ctypes.c_int64
        self._frames.argtypes = [pointer, pointer, count, pointer]
        self._distances.argtypes = [pointer, pointer, count, pointer, count, count, *5 * [pointer]]
        self._slow, self._moments = loaded.workspace_slow, loaded.workspace_moments
        self._poses, self._steps = loaded.workspace_poses, loaded.workspace_steps
        self._gradient, self._shares = loaded.workspace_gradient, loaded.workspace_shares
        self._slow.restype = self._moments.restype = count
        self._poses.restype = self._steps.restype = self._gradient.restype = self._shares.restype = None
        number = ctypes.c_double
        self._moments.argtypes = [count, pointer, number, pointer, number, count, count, pointer, pointer]
        self._poses.argtypes = [count, pointer, number, pointer, pointer, pointer, count, pointer]
        self._steps.argtypes = [pointer, pointer, count, pointer, pointer]
        self._shares.argtypes = [pointer, number, pointer, pointer, pointer, number, *3 * [pointer]]
        self._gradient.argtypes = [pointer, pointer, count, count, count, pointer, pointer, pointer]
        self._slow.argtypes = [
            count, pointer, number, number, pointer, number,
            pointer, pointer, pointer, pointer, number, pointer, pointer,
        ]  # fmt: skip
        self._kept = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        self._bodies, self._boxes = values["moving"] + 1, values["tables"] + values["faces"]
        self._capsules = values["capsules"]
        self._workspace = _Workspace(
            **{
                name: self._kept[name].ctypes.data if name in self._kept else value
                for name, value in values.items()
            }
        )
        self._at = ctypes.addressof(self._workspace)
        self._size, self._room = values["size"], _Room(values)

    def frames(self, poses: np.ndarray) -> np.ndarray:
        """T_root_body (bodies, B, 4, 4) at `poses` (B, n)."""
        poses = np.ascontiguousarray(poses, dtype=float)
        frames = np.empty((self._bodies, len(poses), 4, 4))
        self._frames(self._at, poses.ctypes.data, len(poses), frames.ctypes.data)
        return frames

    def distances(
        self, frames: np.ndarray, which: np.ndarray, path: bool
    ) -> tuple[np.ndarray, int, np.ndarray, np.ndarray]:
        """Values (k, B), rows before the first pair, points and ways apart (pairs, B, 3), as in `Distances`."""
        frames, which = np.ascontiguousarray(frames), np.ascontiguousarray(which, dtype=np.int64)
        boxes, count = int(np.searchsorted(which, self._boxes)), frames.shape[1]
        values = np.empty((len(which), count))
        points, apart = np.empty((2, len(which) - boxes, count, 3))
        ends, known = np.empty((self._capsules, count, 6)), np.empty(self._capsules, dtype=np.uint8)
        self._distances(
            self._at, frames.ctypes.data, count, which.ctypes.data, len(which), int(path),
            values.ctypes.data, points.ctypes.data, apart.ctypes.data, ends.ctypes.data, known.ctypes.data,
        )  # fmt: skip
        return values, boxes, points, apart

    def path(
        self,
        braking: BrakingPath,
        position: np.ndarray,
        velocity: np.ndarray,
        which: np.ndarray,
        bends: np.ndarray | None,
    ) -> tuple[Any, ...]:
        """The fields of `BrakedPath` behind `which`, as `Clearance.path`; the next path overwrites them."""
        room, at, n = self._room, self._room.at, self._size
        room.position[:], room.velocity[:], room.change[:] = position, velocity, braking.change
        which = np.ascontiguousarray(which, dtype=np.int64)
        boxes, rows = int(np.searchsorted(which, self._boxes)), len(which)
        period_s, change, moving = braking.period_s, at["change"], at["velocity"]
        count = self._moments(
            n, change, period_s, moving, SAMPLE_SPACING, MOST_SAMPLES, MOST_PERIODS,
            None if bends is None else bends.ctypes.data, at["moments"],
        )  # fmt: skip
        self._poses(n, change, period_s, at["position"], moving, at["moments"], count, at["poses"])
        self._frames(self._at, at["poses"], count, at["frames"])
        self._distances(
            self._at, at["frames"], count, which.ctypes.data, rows, 1,
            at["values"], at["points"], at["apart"], at["ends"], at["known"],
        )  # fmt: skip
        if bends is not None:
            self._steps(self._at, at["frames"], count, at["moments"], at["steps"])
        across = 3 * count * (rows - boxes)
        return (
            room.frames[: 16 * count * self._bodies].reshape(self._bodies, count, 4, 4),
            room.values[: rows * count].reshape(rows, count),
            boxes,
            room.points[:across].reshape(rows - boxes, count, 3),
            room.apart[:across].reshape(rows - boxes, count, 3),
            room.moments[:count],
            room.poses[: n * count].reshape(count, n),
            None if bends is None else room.steps,
        )

    def shares(
        self, position: np.ndarray, slowest: np.ndarray, velocity: np.ndarray, period_s: float, limit: float
    ) -> list[float]:
        """As `ToolSpeed.shares`."""
        room, at = self._room, self._room.at
        room.position[:], room.velocity[:], room.slowest[:] = position, velocity, slowest
        self._shares(
            self._at, period_s, at["position"], at["slowest"], at["velocity"], limit * period_s,
            at["poses"], at["frames"], at["steps"],
        )  # fmt: skip
        return [float(share) for share in room.steps]

    def gradient(
        self, frames: np.ndarray, sample: int, bound: int, point: np.ndarray | None, apart: np.ndarray | None
    ) -> np.ndarray:
        """As `Clearance.gradient`, of `bound` in pose `sample`; `point` and `apart` (3,) are those of two links."""
        frames, out = np.ascontiguousarray(frames), np.empty(self._size)
        kept = [None if one is None else np.ascontiguousarray(one) for one in (point, apart)]
        ways = [None if one is None else one.ctypes.data for one in kept]
        self._gradient(self._at, frames.ctypes.data, frames.shape[1], sample, bound, *ways, out.ctypes.data)
        return out

    def slowed(
        self,
        linear: LinearBound,
        braking: BrakingPath,
        position: np.ndarray,
        velocity: np.ndarray,
        slowest: np.ndarray,
        aim: float,
        weights: np.ndarray,
    ) -> np.ndarray:
        """As `LinearBound.slowed`."""
        room, at = self._room, self._room.at
        room.pose[:], room.gradient[:], room.change[:] = linear.pose, linear.gradient, braking.change
        room.position[:], room.velocity[:], room.slowest[:] = position, velocity, slowest
        room.weights[:] = weights
        differs = self._slow(
            self._size, at["change"], braking.period_s, linear.periods, at["pose"], linear.distance,
            at["gradient"], at["position"], at["velocity"], at["slowest"], aim, at["weights"], at["slowed"],
        )  # fmt: skip
        return room.slowed.copy() if differs else velocity


def array(values: Any, kind: type = float) -> np.ndarray:
    """`values` as C reads them."""
    return np.ascontiguousarray(values, dtype={float: np.float64, int: np.int64, bool: np.uint8}[kind])


if __name__ == "__main__":
    try:
        print(library())
    except HardwareError as error:
        raise SystemExit(str(error)) from None
