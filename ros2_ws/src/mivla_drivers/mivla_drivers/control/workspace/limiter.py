"""Keeps commands within a robot's workspace, by slowing joints and by nothing else."""

from __future__ import annotations

import numpy as np

from mivla_drivers.contract.robot_contract import RobotContract, Workspace
from mivla_drivers.control.workspace.bound import Bound
from mivla_drivers.control.workspace.braking import BrakingPath
from mivla_drivers.control.workspace.clearance import BrakedPath, Clearance
from mivla_drivers.control.workspace.slowing import LinearBound
from mivla_drivers.control.workspace.slowing_reason import SlowingReason
from mivla_drivers.control.workspace.tool_speed import ToolSpeed
from mivla_drivers.control.workspace.tree import LinkTree

REDUCED_SPEED_M_S = 0.25  # ISO 10218's reduced speed of a tool
AIM_M = 5e-4  # a command stops this far before a bound, so that a small error of the aim passes none
NEGLIGIBLE_M = 1e-6
ATTEMPTS = 4
FORESEEN_STEPS = 6  # so long what slowed the robot is taken to go on as it was
PASSES = (
    2  # over the bounds that slow the robot: a joint that is slowed for one may have kept clear of another
)
MOST_BOUNDS = 4  # that are reckoned with in one attempt, those most in need first
ROUNDING_M = 1e-9
DEEPER_M = 1e-3  # than it was found, so far may a robot go that began inside a forbidden zone: it must be able to turn
AIM_SPEED = 0.995  # of the tool's speed limit, now
FORESEEN_SPEED = 0.998  # of it, on the braking path: between the moments looked at it may be a little more
EASED = 0.8


class WorkspaceLimiter:
    """Lowers joint speeds so that a robot can always brake to a stop within its workspace.

    A velocity is let through where the path on which all joints brake from it keeps clear of every bound;
    braking goes on along that same path, so there always is a way to stop. Else the joints that approach a bound are
    slowed, and only those, by as much as it takes: what slides along a table goes on sliding.

    No joint ever goes faster than asked, or where it was not asked to go: each velocity lies between what was asked
    and braking as hard as allowed. So joint limits that hold for these two hold for all that comes out.

    A robot that is inside a forbidden zone may move where it does not go deeper.
    """

    def __init__(self, contract: RobotContract, period_s: float) -> None:
        """Raises:
        ContractError: the workspace cannot work on this robot.
        """
        self._period = period_s
        self._tree = LinkTree(contract, f"{contract.robot}: urdf")
        self._braking = BrakingPath(contract.limits.acceleration, period_s)
        workspace = self._workspace = contract.workspace or Workspace.unlimited()
        self._clearance = Clearance(contract, workspace, self._tree, f"{contract.robot}: workspace")
        self._tool = ToolSpeed(contract, self._tree, self._clearance.kernel)
        self._usual_speed = workspace.tool_speed_m_s
        bounds = self._clearance.bounds
        self._margins = np.array([bound.margin for bound in bounds])
        self._levers = np.array([bound.lever for bound in bounds]).reshape(len(bounds), contract.size)
        self._weights = (contract.limits.velocity / contract.limits.velocity.max()) ** 2
        self._seen_distance = np.full(len(bounds), -np.inf)  # in the pose in which it was last measured
        self._seen_pose = np.zeros((len(bounds), contract.size))
        self._least = (
            self._margins.copy()
        )  # distances that must be left; less than the margins where it began inside
        self._reduced = False
        self._foreseen: dict[int, LinearBound] = {}
        self._foreseen_for = 0
        self._slowing = SlowingReason(period_s)

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """What the robot keeps away from; length c."""
        return self._clearance.bounds

    @property
    def margins(self) -> np.ndarray:
        """Distances that must be left from the bounds, (c,) [m]."""
        return self._margins

    def distances(self, poses: np.ndarray) -> np.ndarray:
        """Distances from the bounds at `poses` (B, n), (c, B) [m]."""
        every = np.arange(len(self._margins))
        return self._clearance.distances(self._clearance.frames(poses), every).values

    def tips(self, poses: np.ndarray) -> np.ndarray:
        """Where the end effectors are at `poses` (B, n), (arms, B, 3) [m]."""
        return self._tool.tips(self._tree.frames(poses))

    @property
    def reduced(self) -> bool:
        """Whether end effectors keep `REDUCED_SPEED_M_S`."""
        return self._reduced

    def set_reduced(self, on: bool) -> None:
        """Keep end effectors at `REDUCED_SPEED_M_S`, or at the contract's speed."""
        self._reduced = on

    @property
    def tool_speed_m_s(self) -> float | None:
        """The limit that holds now; None is none."""
        limits = [self._usual_speed, REDUCED_SPEED_M_S if self._reduced else None]
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def reason(self) -> str:
        """What slows the robot, in an operator's words; empty where nothing does."""
        return self._slowing.text

    @property
    def state(self) -> str:
        """What is enforced, and what slows the robot now, for diagnostics."""
        enforced = _enforced(self._workspace, self.tool_speed_m_s)
        return f"{enforced}; {self.reason}" if self.reason else enforced

    @property
    def holds_back(self) -> bool:
        """Whether a bound of the place, not of the tool's speed, has slowed the robot for a while."""
        return self._slowing.holds_back

    def limit(self, position: np.ndarray, velocity: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """The velocity for the next period, (n,), each joint's between `wanted` and braking.

        Args:
            position, velocity: what was commanded last, (n,).
            wanted: velocity that the joints' own limits allow, (n,).
        """
        self._slowing.step()
        self._foreseen_for -= 1
        slowest = self._braking.slowed(velocity)
        limit = self.tool_speed_m_s
        if limit is not None and self._tool.surely_below(wanted, limit):
            limit = None
        allowed = wanted if limit is None else self._slow_tool(position, slowest, wanted, limit)
        near = self._may_be_reached(position, allowed)
        if len(near) or limit is not None:
            allowed = self._keep_clear(position, slowest, allowed, near, limit)
        return allowed

    def _slow_tool(
        self, position: np.ndarray, slowest: np.ndarray, wanted: np.ndarray, limit: float
    ) -> np.ndarray:
        slowed = self._tool.slowed(position, wanted, slowest, self._period, AIM_SPEED * limit)
        if slowed is not wanted:
            self._slowing.note(f"the tool's speed is limited to {limit:.2f} m/s", holds=False)
        return slowed

    def _may_be_reached(self, position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        """Which bounds may be reached on the braking path from `velocity`, by the levers of the joints; (k,)."""
        here = position - self._seen_pose
        way = np.maximum(np.abs(here), np.abs(here + self._braking.stop(velocity)))
        spare = self._seen_distance - self._margins - (self._levers * way).sum(axis=1)
        return np.flatnonzero(spare < 2 * AIM_M)

    def _keep_clear(
        self,
        position: np.ndarray,
        slowest: np.ndarray,
        wanted: np.ndarray,
        near: np.ndarray,
        limit: float | None,
    ) -> np.ndarray:
        """`wanted`, slowed until the braking path from it keeps clear of the bounds at `near` (k,)."""
        allowed, foreseen = self._foresee(position, slowest, wanted)
        bends = None if limit is None else self._tool.joints
        for attempt in range(ATTEMPTS):
            path = self._clearance.path(self._braking, position, allowed, near, bends)
            now = path.values[:, :1]
            if attempt == 0:
                self._seen_pose[near], self._seen_distance[near] = position, now[:, 0]
                least = self._note_depth(near, now[:, 0])[:, None]
            fast = None if limit is None else self._too_fast(path, limit)
            lacking = np.minimum(least + AIM_M, now) - path.values  # (k, K)
            clear = bool((path.values >= np.minimum(least, now) - ROUNDING_M).all())
            clear &= foreseen or attempt > 0 or lacking.max(initial=0.0) <= NEGLIGIBLE_M
            if clear and fast is None:
                return allowed
            if fast is not None:
                self._slowing.note(f"the tool's speed is limited to {limit:.2f} m/s", holds=False)
                allowed = np.where(fast, slowest + EASED * (allowed - slowest), allowed)
            slower = allowed if clear else self._slow_approach(path, position, allowed, slowest, lacking)
            if (slower is allowed and fast is None) or np.array_equal(slower, slowest):
                break
            allowed = slower
        return slowest

    def _too_fast(self, path: BrakedPath, limit: float) -> np.ndarray | None:
        """Joints (n,) bool of arms whose end effector exceeds `limit` [m/s] on the path; None of none."""
        steps = self._tool.steps(path.frames, path.moments) if path.steps is None else path.steps
        return self._tool.joints_of(steps > FORESEEN_SPEED * limit * self._period)

    def _note_depth(self, near: np.ndarray, distances: np.ndarray) -> np.ndarray:
        """Distances that must be left from the bounds at `near` (k,), now at `distances` (k,) [m]; (k,).

        A robot that is found inside keeps `DEEPER_M` of play from there on, and gives up what it has come out.
        """
        margins, least = self._margins[near], self._least[near]
        play = distances - DEEPER_M
        found = (distances < margins - DEEPER_M) & (least >= margins)  # it was outside, as far as was seen
        least = np.where(found, play, np.where(least < margins, np.maximum(least, play), least))
        least = np.where(distances >= margins - DEEPER_M, margins, least)
        self._least[near] = least
        return least

    def _foresee(
        self, position: np.ndarray, slowest: np.ndarray, wanted: np.ndarray
    ) -> tuple[np.ndarray, bool]:
        """`wanted`, slowed for the bounds that slowed the robot a moment ago, and whether it was."""
        if self._foreseen_for <= 0:
            self._foreseen.clear()
            return wanted, False
        allowed = self._slowed(position, slowest, wanted)
        return allowed, allowed is not wanted

    def _slowed(self, position: np.ndarray, slowest: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        """`velocity` (n,), slowed for all bounds that are foreseen; the same array where none of them asks for it."""
        for _ in range(PASSES if len(self._foreseen) > 1 else 1):
            before = velocity
            for linear in self._foreseen.values():
                aim = min(self._least[linear.bound] + AIM_M, self._seen_distance[linear.bound])
                less = self._clearance.slowed(
                    linear, self._braking, position, velocity, slowest, aim, self._weights
                )
                if less is not velocity:
                    self._slowing.note(self._clearance.bounds[linear.bound].text, holds=True)
                velocity = less
            if velocity is before:
                break
        return velocity

    def _slow_approach(
        self,
        path: BrakedPath,
        position: np.ndarray,
        velocity: np.ndarray,
        slowest: np.ndarray,
        lacking: np.ndarray,
    ) -> np.ndarray:
        """`velocity` with the joints slowed that approach bounds, by what each bound lacks, (k, K) [m]."""
        most = lacking.max(axis=1)
        self._foreseen_for = FORESEEN_STEPS
        for row in np.argsort(-most)[:MOST_BOUNDS].tolist():
            if most[row] <= ROUNDING_M:
                break
            bound, sample = int(path.which[row]), int(np.argmax(lacking[row]))
            self._foreseen[bound] = LinearBound(
                bound,
                float(path.moments[sample]),
                path.poses[sample].copy(),
                float(path.values[row, sample]),
                self._clearance.gradient(path, row, sample),
            )
        return self._slowed(position, slowest, velocity)


def _enforced(workspace: Workspace, tool_speed_m_s: float | None) -> str:
    """The bounds that hold, in an operator's words."""
    kept = []
    if workspace.table_height_m is not None:
        kept.append(f"table at {workspace.table_height_m:.3f} m")
    if workspace.lower is not None:
        kept.append("box")
    if workspace.self_collision_pairs:
        kept.append(f"{len(workspace.self_collision_pairs)} pairs of links")
    if tool_speed_m_s is not None:
        kept.append(f"tool at most {tool_speed_m_s:.2f} m/s")
    return f"enforced: {', '.join(kept)}" if kept else "the contract states none"


def workspace_limiter(contract: RobotContract, period_s: float) -> WorkspaceLimiter | None:
    """What keeps a robot within its workspace and at its tool's speed; None without a URDF, which both need."""
    return None if contract.observes_end_effectors else WorkspaceLimiter(contract, period_s)
