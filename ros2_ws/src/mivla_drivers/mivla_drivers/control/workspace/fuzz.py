"""Random and hostile targets against the workspace: `python -m mivla_drivers.control.workspace.fuzz`.

Every target goes through the safety gate as in the driver. Afterwards each commanded pose is measured again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields
from time import perf_counter

import numpy as np

from mivla_drivers.contract import RobotContract, load_contract
from mivla_drivers.control.safety_gate import SafetyGate
from mivla_drivers.control.workspace.exact import ExactClearance
from mivla_drivers.control.workspace.limiter import DEEPER_M, REDUCED_SPEED_M_S, WorkspaceLimiter
from mivla_drivers.robots import DEFAULT_ROBOT

EPISODE = 400  # steps from one start to the next
EXACT_EVERY = 40  # steps
SPEED_SHARES = (0.3, 1.0)
REDUCED_SHARE = 0.2
OUTSIDE = 50.0
PROGRESS = 20_000  # steps
ALLOWED_M = 1.5e-3  # between two of the poses that are looked at, and PyBullet's own margin around cylinders
ROUNDING = 1e-6


@dataclass
class Worst:
    """The largest excess of each kind that was found, 0 where a bound was kept; `steps` says among how many.

    Attributes:
        table_m, box_m, pairs_m: deeper than allowed, of a start inside deeper than its play from there on [m].
        exact_m: as `pairs_m` and `table_m` by the true shapes, of starts that are allowed.
        tool_speed_m_s: above the limit, once it had been kept.
        position, velocity, acceleration: beyond a joint's limit [rad or m, and per second].
        not_between: how far a joint's velocity was outside of what was asked and braking [rad/s].
        held: steps in which something was slowed.
        inside: episodes that started in a forbidden zone.
    """

    table_m: float = 0.0
    box_m: float = 0.0
    pairs_m: float = 0.0
    exact_m: float = 0.0
    tool_speed_m_s: float = 0.0
    position: float = 0.0
    velocity: float = 0.0
    acceleration: float = 0.0
    not_between: float = 0.0
    held: int = 0
    inside: int = 0
    steps: int = 0
    seconds: float = 0.0
    kinds: dict[str, int] = field(default_factory=dict)

    @property
    def deepest_m(self) -> float:
        """The most that anything went beyond a bound of the place [m]."""
        return max(self.table_m, self.box_m, self.pairs_m, self.exact_m)

    @property
    def kept(self) -> bool:
        """Whether all bounds were kept: those of the place within `ALLOWED_M`, those of joints and tool exactly."""
        joints = max(self.position, self.velocity, self.acceleration)
        exactly = max(joints, self.tool_speed_m_s, self.not_between) < ROUNDING
        return exactly and self.deepest_m < ALLOWED_M

    def raise_to(self, name: str, value: float) -> None:
        """Keep `value` where it is more than was found before."""
        setattr(self, name, max(getattr(self, name), float(value)))


class _Noted(WorkspaceLimiter):
    """Notes whether what comes out lies between what was asked and braking."""

    outside = 0.0
    held = 0

    def limit(self, position: np.ndarray, velocity: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        allowed = super().limit(position, velocity, wanted)
        slowest = self._braking.slowed(velocity)
        beyond = np.maximum(np.minimum(slowest, wanted) - allowed, allowed - np.maximum(slowest, wanted))
        self.outside = max(self.outside, float(beyond.max()))
        self.held += not np.array_equal(allowed, wanted)
        return allowed


class Fuzz:
    """Drives one robot's gate with targets of every kind. A context manager."""

    def __init__(self, contract: RobotContract, seed: int, reduced: float = REDUCED_SHARE) -> None:
        """`reduced` is the share of episodes at reduced speed."""
        assert contract.workspace is not None
        self._reduced = reduced
        self._contract, self._rng = contract, np.random.default_rng(seed)
        self._period = 1.0 / contract.control_rate_hz
        self._exact = ExactClearance(contract)
        self.worst = Worst()

    def __enter__(self) -> Fuzz:
        return self

    def __exit__(self, *_: object) -> None:
        self._exact.close()

    def run(self, steps: int) -> Worst:
        """Make `steps` more steps, in episodes."""
        for _ in range(-(-steps // EPISODE)):
            self._episode()
        return self.worst

    def _episode(self) -> None:
        rng, limits, worst = self._rng, self._contract.limits, self.worst
        limiter = _Noted(self._contract, self._period)
        limiter.set_reduced(bool(rng.random() < self._reduced))
        gate = SafetyGate(limits, self._period, workspace=limiter)
        start = self._start(limiter)
        gate.restart(start)
        kind = str(rng.choice([*TARGETS]))
        targets = TARGETS[kind](self._contract, rng)
        share = float(rng.choice(SPEED_SHARES))
        poses, began = [start], perf_counter()
        for _ in range(EPISODE):
            poses.append(gate.step(next(targets), poses[-1], share))
        worst.seconds += perf_counter() - began
        worst.steps += EPISODE
        worst.kinds[kind] = worst.kinds.get(kind, 0) + EPISODE
        worst.held += limiter.held
        worst.raise_to("not_between", limiter.outside)
        self._measure(np.array(poses), limiter)

    def _start(self, limiter: WorkspaceLimiter) -> np.ndarray:
        """A random pose; of each four, three that the workspace allows and one that it forbids."""
        forbidden = self._rng.random() < 0.25
        for _ in range(200):
            pose = self._rng.uniform(self._contract.limits.lower, self._contract.limits.upper)
            if forbidden != (limiter.distances(pose[None])[:, 0] >= limiter.margins).all():
                return pose
        return self._contract.home.copy()

    def _measure(self, poses: np.ndarray, limiter: WorkspaceLimiter) -> None:
        worst, limits = self.worst, self._contract.limits
        distances = limiter.distances(poses)
        began_inside = distances[:, 0] < limiter.margins - DEEPER_M  # these have that much play
        floor = np.minimum(limiter.margins, distances[:, 0]) - np.where(began_inside, DEEPER_M, 0.0)
        worst.inside += bool((distances[:, 0] < limiter.margins).any())
        deeper = (floor[:, None] - distances).max(axis=1)
        for i, bound in enumerate(limiter.bounds):
            name = (
                "table_m"
                if bound.field.startswith("table")
                else "box_m"
                if bound.field.startswith("box")
                else "pairs_m"
            )
            worst.raise_to(name, deeper[i])
        speeds = np.diff(poses, axis=0) / self._period
        changes = np.diff(speeds, axis=0, prepend=np.zeros((1, len(limits.names)))) / self._period
        outside = np.maximum(limits.lower - poses, poses - limits.upper).max()
        worst.raise_to("position", outside)
        worst.raise_to("velocity", (np.abs(speeds) - limits.velocity).max())
        worst.raise_to("acceleration", (np.abs(changes) - limits.acceleration).max())
        self._measure_tool(poses, limiter)
        if (distances[:, 0] >= limiter.margins).all():
            self._measure_exactly(poses)

    def _measure_tool(self, poses: np.ndarray, limiter: WorkspaceLimiter) -> None:
        limit = limiter.tool_speed_m_s
        if limit is None:
            return
        tips = limiter.tips(poses)  # (arms, T, 3)
        speeds = np.linalg.norm(np.diff(tips, axis=1), axis=2) / self._period
        self.worst.raise_to("tool_speed_m_s", (speeds - limit).max())

    def _measure_exactly(self, poses: np.ndarray) -> None:
        workspace = self._contract.workspace
        assert workspace is not None
        links = limiter_links(self._contract)
        for pose in poses[EXACT_EVERY::EXACT_EVERY]:
            self._exact.place(pose)
            heights = [self._exact.table(link) for link in links]
            self.worst.raise_to("exact_m", workspace.margin_m - self._exact.pairs().min(initial=np.inf))
            self.worst.raise_to("exact_m", workspace.table_margin_m - min(heights, default=np.inf))


def limiter_links(contract: RobotContract) -> list[str]:
    """Links that move and have shapes, where the contract has a table."""
    assert contract.workspace is not None
    if contract.workspace.table_height_m is None:
        return []
    bounds = WorkspaceLimiter(contract, 1.0).bounds
    return sorted({bound.text.split()[0] for bound in bounds if bound.field == "table_height_m"})


def _uniform(contract: RobotContract, rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(contract.limits.lower, contract.limits.upper)


def _held(contract: RobotContract, rng: np.random.Generator) -> Iterator[np.ndarray | None]:
    """Random poses, each asked for a while, now and then none."""
    while True:
        target = None if rng.random() < 0.1 else _uniform(contract, rng)
        yield from [target] * int(rng.integers(1, 120))


def _noise(contract: RobotContract, rng: np.random.Generator) -> Iterator[np.ndarray | None]:
    """Another random pose in every step."""
    while True:
        yield _uniform(contract, rng)


def _oscillating(contract: RobotContract, rng: np.random.Generator) -> Iterator[np.ndarray | None]:
    """Between two poses, ever at the worst moment."""
    ends = [_uniform(contract, rng) for _ in range(2)]
    every = int(rng.integers(1, 60))
    while True:
        for end in ends:
            yield from [end] * every


def _far_outside(contract: RobotContract, rng: np.random.Generator) -> Iterator[np.ndarray | None]:
    """Far beyond every limit."""
    while True:
        target = rng.choice([-OUTSIDE, OUTSIDE], size=contract.size)
        yield from [target] * int(rng.integers(20, 200))


def _one_joint(contract: RobotContract, rng: np.random.Generator) -> Iterator[np.ndarray | None]:
    """Single joints from limit to limit, the others at a random pose: through table and base."""
    while True:
        target = _uniform(contract, rng)
        joint = int(rng.integers(contract.size))
        for side in (contract.limits.lower, contract.limits.upper):
            target = target.copy()
            target[joint] = side[joint]
            yield from [target] * int(rng.integers(20, 150))


def _sliding(contract: RobotContract, rng: np.random.Generator) -> Iterator[np.ndarray | None]:
    """A line that moves as fast as joints can, wherever it leads."""
    while True:
        here, there = _uniform(contract, rng), _uniform(contract, rng)
        steps = max(
            2, int(np.abs((there - here) / contract.limits.velocity).max() * contract.control_rate_hz)
        )
        for i in range(steps):
            yield here + (there - here) * i / steps


TARGETS = {
    "held": _held,
    "noise": _noise,
    "oscillating": _oscillating,
    "far outside": _far_outside,
    "one joint": _one_joint,
    "sliding": _sliding,
}


def main() -> int:
    """Run and print, after Ctrl-C what was done until then; 1 where anything went further than `ALLOWED_M`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--robot", default=DEFAULT_ROBOT)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--reduced", type=float, default=REDUCED_SHARE, help="share of the episodes at reduced speed"
    )
    args = parser.parse_args()
    with Fuzz(load_contract(args.robot), args.seed, args.reduced) as fuzz, suppress(KeyboardInterrupt):
        while fuzz.worst.steps < args.steps:
            fuzz.run(min(PROGRESS, args.steps - fuzz.worst.steps))
            print(f"{fuzz.worst.steps} steps, deepest {1000 * fuzz.worst.deepest_m:.3f} mm", flush=True)
    worst = fuzz.worst
    print(f"{args.robot}, seed {args.seed}, {REDUCED_SPEED_M_S} m/s in {args.reduced:g} of the episodes")
    for one in fields(worst):
        print(f"{one.name:16} {getattr(worst, one.name)}")
    print(f"{'a step':16} {1e6 * worst.seconds / max(1, worst.steps):.0f} us")
    return int(not worst.kept)


if __name__ == "__main__":
    sys.exit(main())
