"""How far a robot is from what its workspace forbids, for several poses at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from mivla_drivers.contract.robot_contract import RobotContract, Workspace
from mivla_drivers.control.workspace.bound import Bound
from mivla_drivers.control.workspace.box import Box
from mivla_drivers.control.workspace.braking import BrakingPath
from mivla_drivers.control.workspace.kernel import Kernel, array
from mivla_drivers.control.workspace.segments import closest_points, nearest_between
from mivla_drivers.control.workspace.shape import CollisionShape
from mivla_drivers.control.workspace.slowing import LinearBound
from mivla_drivers.control.workspace.tree import LinkTree
from mivla_drivers.errors import ContractError, HardwareError

UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class _Capsules:
    """Capsules on bodies: `ends` (k, 4, 2) are homogeneous columns in the body's frame."""

    bodies: np.ndarray
    ends: np.ndarray
    radii: np.ndarray


@dataclass(frozen=True)
class Distances:
    """Distances from the bounds at `which` (k,) in B poses, and where they were found.

    Attributes:
        frames: of the poses, (bodies, B, 4, 4).
        values: distances, below 0 where a bound is passed, (k, B) [m].
        boxes: rows before the first pair of links.
        points, apart: of those pairs, the point on the first link and the way to it from the second, (pairs, B, 3).
    """

    which: np.ndarray
    frames: np.ndarray
    values: np.ndarray
    boxes: int
    points: np.ndarray | None
    apart: np.ndarray | None


@dataclass(frozen=True)
class BrakedPath(Distances):
    """Distances on the path of braking from a velocity; good until the next path of the same robot is reckoned.

    Attributes:
        moments: of the path, periods of braking, -1 is now, (B,).
        poses: at these moments, (B, n).
        steps: the longest way of each end effector from one period to the next, (arms,) [m]; None where not reckoned.
    """

    moments: np.ndarray
    poses: np.ndarray
    steps: np.ndarray | None


class Clearance:
    """Distances of a robot's shapes from the table, of its end effectors from the box, and of pairs of links.

    Against the table, boxes, cylinders, capsules and spheres are exact; pairs of links are compared by a capsule
    around each of their shapes, so that they stand at least as far apart as they are said to.

    Attributes:
        bounds: in the order of all distances: table, box, pairs; length c.
    """

    def __init__(self, contract: RobotContract, workspace: Workspace, tree: LinkTree, where: str) -> None:
        """`where` names the workspace in messages.

        Raises:
            ContractError: a link that must be guarded has no primitive shape, or two links of a pair cannot move
                against each other.
        """
        self._tree, self._workspace = tree, workspace
        self._where = where
        self._box = Box(contract, workspace, tree)
        table, pairs = self._table_bounds(), self._pair_bounds()
        self.bounds = (*table, *self._box.bounds, *pairs)
        self._tables, self._boxes = len(table), len(table) + len(self._box.bounds)
        self._kernel = self._make_kernel()

    @property
    def is_fast(self) -> bool:
        """Whether distances are reckoned in C; the same in Python takes several times as long."""
        return self._kernel is not None

    def frames(self, poses: np.ndarray) -> np.ndarray:
        """T_root_body (bodies, B, 4, 4) at `poses` (B, n), as `LinkTree.frames`."""
        return self._tree.frames(poses) if self._kernel is None else self._kernel.frames(poses)

    @property
    def kernel(self) -> Kernel | None:
        """What reckons in C; None where that cannot be had."""
        return self._kernel

    def slowed(self, linear: LinearBound, *about: Any) -> np.ndarray:
        """As `LinearBound.slowed`."""
        return linear.slowed(*about) if self._kernel is None else self._kernel.slowed(linear, *about)

    def distances(self, frames: np.ndarray, which: np.ndarray, path: bool = False) -> Distances:
        """Distances from the bounds at `which` (k,), ascending, in the poses of `frames`.

        Where the poses are a `path`, two links that come nearer between two of them count in the later one.
        """
        if self._kernel is not None:
            return Distances(which, frames, *self._kernel.distances(frames, which, path))
        tables, boxes = np.searchsorted(which, (self._tables, self._boxes))
        values = np.empty((len(which), frames.shape[1]))
        points = apart = None
        if tables:
            values[:tables] = self._above_table(frames, which[:tables])
        if boxes > tables:
            values[tables:boxes] = self._box.inside(frames, which[tables:boxes] - self._tables)
        if len(which) > boxes:
            pairs = self._pair_indices[:, which[boxes:] - self._boxes]
            ends = frames[self._capsules.bodies, :, :3] @ self._capsules.ends[:, None]
            one, other = ends[pairs]
            points, apart = closest_points(one, other)
            if path:
                apart[:, 1:] = nearest_between(apart[:, :-1], apart[:, 1:])
            radii = self._capsules.radii[pairs].sum(axis=0)
            values[boxes:] = np.sqrt(np.einsum("kbx,kbx->kb", apart, apart)) - radii[:, None]
        return Distances(which, frames, values, boxes, points, apart)

    def path(
        self,
        braking: BrakingPath,
        position: np.ndarray,
        velocity: np.ndarray,
        which: np.ndarray,
        bends: np.ndarray | None,
    ) -> BrakedPath:
        """What braking from `velocity` (n,) at `position` (n,) leads past, at `BrakingPath.moments`.

        `which` are the bounds that are looked at, as in `distances`; `bends` see `BrakingPath.moments`.
        """
        if self._kernel is not None:
            return BrakedPath(which, *self._kernel.path(braking, position, velocity, which, bends))
        moments = braking.moments(velocity, bends)
        poses = position + braking.moved(velocity, moments)
        found = self.distances(self.frames(poses), which, path=True)
        return BrakedPath(**vars(found), moments=moments, poses=poses, steps=None)

    def _make_kernel(self) -> Kernel | None:
        """What reckons all this in C; None where that cannot be had."""
        arms, axes, signs, corners = self._box.faces
        every_tip = self._box.tips
        tips = [every_tip[arm] for arm in arms.astype(int)]
        try:
            return Kernel(
                **self._tree.fields(),
                tables=self._tables,
                table_bodies=array(self._shape_bodies, int),
                table_frames=array(self._shape_frames),
                half=array(self._half),
                radii=array(self._radii),
                round=array(self._round),
                table_height=float(self._workspace.table_height_m or 0.0),
                faces=len(self._box.bounds),
                face_bodies=array([body for body, _ in tips], int),
                face_axes=array(axes, int),
                face_points=array([local for _, local in tips]),
                face_signs=array(signs),
                face_corners=array(corners),
                arms=len(every_tip),
                tip_bodies=array([body for body, _ in every_tip], int),
                tip_points=array([local for _, local in every_tip]),
                pairs=self._pair_indices.shape[1],
                capsules=len(self._capsules.bodies),
                pair_one=array(self._pair_indices[0], int),
                pair_other=array(self._pair_indices[1], int),
                capsule_bodies=array(self._capsules.bodies, int),
                capsule_ends=array(self._capsules.ends),
                capsule_radii=array(self._capsules.radii),
            )
        except HardwareError:
            return None

    def gradient(self, found: Distances, row: int, sample: int) -> np.ndarray:
        """Change of the distance in `row` and `sample` of what was found, per change of each joint, (n,)."""
        which, pair = int(found.which[row]), row - found.boxes
        if self._kernel is not None:
            point, apart = (
                None if pair < 0 or one is None else one[pair, sample] for one in (found.points, found.apart)
            )
            return self._kernel.gradient(found.frames, sample, which, point, apart)
        frames = found.frames[:, sample]
        if which < self._tables:
            body = int(self._shape_bodies[which])
            frame = frames[body] @ self._shape_frames[which]
            point = frame[:3, :3] @ -self._lowest(frame[2, :3], which) + frame[:3, 3]
            return self._tree.gradient(frames, body, point, UP)
        if which < self._boxes:
            return self._box.gradient(frames, which - self._tables)
        assert found.points is not None
        assert found.apart is not None
        point, apart = found.points[pair, sample], found.apart[pair, sample]
        length = float(np.sqrt(apart @ apart))
        direction = apart / length if length > 1e-9 else UP
        first, second = self._capsules.bodies[self._pair_indices[:, which - self._boxes]].tolist()
        pull = self._tree.gradient(frames, first, point, direction)
        return pull - self._tree.gradient(frames, second, point - apart, direction)

    # Table

    def _table_bounds(self) -> list[Bound]:
        height = self._workspace.table_height_m
        shapes: list[CollisionShape] = []
        if height is not None:
            for link, found in self._tree.model.shapes.items():
                if self._tree.place(link)[0] > 0:
                    self._require_primitive(link, "table_height_m")
                    shapes += found
            if not shapes:
                raise ContractError(
                    f"{self._where}.table_height_m: expected a moving link with a collision shape, found none"
                )
        self._shape_bodies = np.array([self._tree.place(s.link)[0] for s in shapes], dtype=int)
        self._shape_frames = np.array([self._tree.place(s.link)[1] @ s.frame for s in shapes]).reshape(
            -1, 4, 4
        )
        self._half = np.array([s.half for s in shapes]).reshape(-1, 3)
        self._radii = np.array([s.radius for s in shapes])
        self._round = np.array([s.round_axes for s in shapes]).reshape(-1, 3)
        margin = self._workspace.table_margin_m
        return [Bound(f"{s.link} is at the table", "table_height_m", margin, self._lever(s)) for s in shapes]

    def _above_table(self, frames: np.ndarray, which: np.ndarray) -> np.ndarray:
        rows = frames[self._shape_bodies[which], :, 2] @ self._shape_frames[which]  # (k, B, 4)
        up = rows[..., :3]
        flat = (np.abs(up) @ self._half[which][:, :, None])[..., 0]
        around = (up * up) @ self._round[which][:, :, None]
        below = flat + self._radii[which][:, None] * np.sqrt(around[..., 0])
        return rows[..., 3] - below - self._workspace.table_height_m

    def _lowest(self, up: np.ndarray, which: int) -> np.ndarray:
        """The furthest point of a shape along `up` (3,), in the shape's frame."""
        rounded = self._round[which] * up
        length = float(np.linalg.norm(rounded))
        return np.sign(up) * self._half[which] + (
            self._radii[which] / length * rounded if length > 1e-9 else 0.0
        )

    # Pairs of links

    def _pair_bounds(self) -> list[Bound]:
        capsules: list[CollisionShape] = []
        first: dict[str, range] = {}
        for i, link in (
            (i, link) for i, pair in enumerate(self._workspace.self_collision_pairs) for link in pair
        ):
            if link not in first:
                self._require_primitive(link, f"self_collision_pairs[{i}]")
                first[link] = range(len(capsules), len(capsules) + len(self._tree.model.shapes[link]))
                capsules += self._tree.model.shapes[link]
        self._capsules = self._on_bodies(capsules)
        pairs, bounds = [], []
        for i, (one, other) in enumerate(self._workspace.self_collision_pairs):
            field = f"self_collision_pairs[{i}]"
            self._require_mobile(one, other, field)
            for a, b in product(first[one], first[other]):
                pairs.append((a, b))
                lever = self._lever(capsules[a], other) + self._lever(capsules[b], one)
                bounds.append(Bound(f"{one} is near {other}", field, self._workspace.margin_m, lever))
        self._pair_indices = np.array(pairs, dtype=int).reshape(-1, 2).T
        return bounds

    def _on_bodies(self, shapes: list[CollisionShape]) -> _Capsules:
        ends = np.ones((len(shapes), 4, 2))
        for column, shape in zip(ends, shapes, strict=True):
            frame = self._tree.place(shape.link)[1]
            column[:3] = frame[:3, :3] @ shape.capsule()[0].T + frame[:3, 3:]
        bodies = np.array([self._tree.place(shape.link)[0] for shape in shapes], dtype=int)
        return _Capsules(bodies, ends, np.array([shape.capsule()[1] for shape in shapes]))

    # Refusals

    def _lever(self, shape: CollisionShape, other: str | None = None) -> np.ndarray:
        body, frame = self._tree.place(shape.link)
        beyond = 0 if other is None else self._tree.place(other)[0]
        reach = float(np.linalg.norm(frame[:3, 3])) + shape.reach
        # A capsule ends a little beyond its shape.
        return self._tree.lever(body, reach + shape.capsule()[1], beyond)

    def _require_primitive(self, link: str, field: str) -> None:
        if link in self._tree.model.meshes:
            raise ContractError(
                f"{self._where}.{field}: expected boxes, cylinders, capsules or spheres as collision shapes of "
                f"{link!r}, found a mesh"
            )
        if not self._tree.model.shapes[link] and field != "table_height_m":
            raise ContractError(
                f"{self._where}.{field}: expected a link with a collision shape, found none at {link!r}"
            )

    def _require_mobile(self, one: str, other: str, field: str) -> None:
        if self._tree.place(one)[0] == self._tree.place(other)[0]:
            raise ContractError(
                f"{self._where}.{field}: expected two links that move against each other, found {one!r} and {other!r}, "
                "which no joint of the contract parts"
            )
