"""What the workspace reckons in C is what it reckons in Python, which is what the other tests hold to physics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mivla_drivers.contract import RobotContract, load_contract
from mivla_drivers.control.safety_gate import SafetyGate
from mivla_drivers.control.workspace import braking as braking_module
from mivla_drivers.control.workspace import kernel
from mivla_drivers.control.workspace.limiter import WorkspaceLimiter
from mivla_drivers.control.workspace.slowing import LinearBound
from mivla_drivers.errors import HardwareError

TOY = Path(__file__).parents[2] / "examples/toy_robot/robot.yaml"
PERIOD_S = 0.005
ROUNDING = 1e-12


@pytest.fixture(params=["piper", TOY], ids=["one arm", "two arms"])
def limiter(request: pytest.FixtureRequest) -> WorkspaceLimiter:
    try:
        kernel.library()
    except HardwareError as error:
        pytest.skip(str(error))
    return WorkspaceLimiter(load_contract(str(request.param)), PERIOD_S)


def in_python(contract: RobotContract, monkeypatch: pytest.MonkeyPatch) -> WorkspaceLimiter:
    def none() -> Path:
        raise HardwareError("no compiler")

    with monkeypatch.context() as patched:
        patched.setattr(kernel, "library", none)
        return WorkspaceLimiter(contract, PERIOD_S)


def paths(contract: RobotContract, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    limits = contract.limits
    starts = rng.uniform(limits.lower, limits.upper, (count, 1, contract.size))
    return list(starts + np.cumsum(rng.normal(scale=0.03, size=(count, 9, contract.size)), axis=1))


def contract_of(limiter: WorkspaceLimiter) -> RobotContract:
    return load_contract("piper" if len(limiter.bounds[0].lever) == 7 else str(TOY))


@pytest.mark.parametrize("along_path", [True, False])
def test_distances_points_and_ways_are_the_same(
    limiter: WorkspaceLimiter, along_path: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, fast = in_python(contract_of(limiter), monkeypatch)._clearance, limiter._clearance
    assert (plain.is_fast, fast.is_fast) == (False, True)
    rng = np.random.default_rng(1)
    for path in paths(contract_of(limiter), 30):
        frames = fast.frames(path)
        np.testing.assert_allclose(frames, plain.frames(path), atol=ROUNDING)
        some = np.flatnonzero(rng.random(len(fast.bounds)) < 0.5)
        found, expected = (one.distances(frames, some, along_path) for one in (fast, plain))
        assert found.boxes == expected.boxes
        np.testing.assert_allclose(found.values, expected.values, atol=ROUNDING)
        np.testing.assert_allclose(found.points, expected.points, atol=ROUNDING)
        np.testing.assert_allclose(found.apart, expected.apart, atol=ROUNDING)


@pytest.mark.parametrize("most_periods", [150, 3])
@pytest.mark.parametrize("reduced", [True, False])
def test_a_braking_path_its_gradients_and_its_tools_steps_are_the_same(
    limiter: WorkspaceLimiter, reduced: bool, most_periods: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (kernel, braking_module):
        monkeypatch.setattr(module, "MOST_PERIODS", most_periods)
    contract, braking = contract_of(limiter), limiter._braking
    plain, fast = in_python(contract, monkeypatch), limiter
    bends = limiter._tool.joints if reduced else None
    rng = np.random.default_rng(3)
    limits = contract.limits
    for _ in range(40):
        position = rng.uniform(limits.lower, limits.upper)
        velocity = rng.uniform(-1, 1, contract.size) * limits.velocity * rng.choice([0, 0.02, 1])
        some = np.flatnonzero(rng.random(len(fast.bounds)) < 0.5)
        found, expected = (
            one._clearance.path(braking, position, velocity, some, bends) for one in (fast, plain)
        )
        np.testing.assert_array_equal(found.moments, expected.moments)
        np.testing.assert_allclose(found.poses, expected.poses, atol=ROUNDING)
        np.testing.assert_allclose(found.values, expected.values, atol=ROUNDING)
        if reduced:
            steps = plain._tool.steps(expected.frames, expected.moments)
            np.testing.assert_allclose(found.steps, steps, atol=ROUNDING)
        for row in range(len(some)):
            sample = int(rng.integers(len(found.moments)))
            slopes = (
                one._clearance.gradient(path, row, sample) for one, path in ((fast, found), (plain, expected))
            )
            np.testing.assert_allclose(*slopes, atol=1e-9)  # where two links meet, the way apart is short


def test_tools_are_slowed_alike(limiter: WorkspaceLimiter, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = contract_of(limiter)
    plain = in_python(contract, monkeypatch)
    rng, limits, slowed = np.random.default_rng(4), contract.limits, 0
    for _ in range(300):
        position = rng.uniform(limits.lower, limits.upper)
        velocity = rng.uniform(-1, 1, contract.size) * limits.velocity * rng.uniform()
        slowest = limiter._braking.slowed(velocity * rng.uniform(0.5, 1.2))
        found, expected = (
            one._tool.slowed(position, velocity, slowest, PERIOD_S, 0.25) for one in (limiter, plain)
        )
        np.testing.assert_allclose(found, expected, atol=1e-9)
        slowed += expected is not velocity
    assert 30 < slowed < 300


def test_joints_are_slowed_alike(limiter: WorkspaceLimiter) -> None:
    contract, clearance, braking = contract_of(limiter), limiter._clearance, limiter._braking
    assert clearance.is_fast
    rng = np.random.default_rng(2)
    changed, size = 0, contract.size
    for _ in range(1000):
        velocity = rng.uniform(-1, 1, size) * contract.limits.velocity * rng.choice([0.0, 1.0], size)
        position, slowest = rng.uniform(-1, 1, size), braking.slowed(velocity * rng.uniform(0.8, 1.0, size))
        linear = LinearBound(
            bound=0,
            periods=float(rng.integers(0, 60)),
            pose=position + rng.normal(scale=0.02, size=size),
            distance=float(rng.uniform(-0.01, 0.03)),
            gradient=rng.normal(scale=0.3, size=size) * rng.choice([0.0, 1.0], size),
        )
        about = (braking, position, velocity, slowest, 0.01, limiter._weights)
        expected = linear.slowed(*about)
        found = clearance.slowed(linear, *about)
        assert (found is velocity) == (expected is velocity)
        np.testing.assert_allclose(found, expected, atol=ROUNDING)
        changed += expected is not velocity
    assert changed > 300


def test_without_a_compiler_the_workspace_is_kept_all_the_same(
    limiter: WorkspaceLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = contract_of(limiter)
    plain = in_python(contract, monkeypatch)
    gate = SafetyGate(contract.limits, PERIOD_S, workspace=plain)
    gate.restart(contract.home)
    target = np.where(contract.is_gripper, contract.home, contract.limits.upper)
    for _ in range(300):
        position = gate.step(target, contract.home)
        assert (limiter.distances(position[None])[:, 0] > limiter.margins - 1e-3).all()
    assert np.abs(position - target).max() > 0.1  # held back
