"""Nothing that passes the gate breaks a limit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mivla_drivers.contract import JointLimits
from mivla_drivers.control.safety_gate import SafetyGate, refuse_untimely
from mivla_drivers.control.trajectory import ActionChunk
from mivla_drivers.errors import CommandRefused

PERIOD = 0.005
EPSILON = 1e-8


def limits(lower=-1.0, upper=1.0, velocity=1.5, acceleration=6.0):
    one = (np.array([value]) for value in (lower, upper, velocity, acceleration))
    return JointLimits(("joint",), *one)


@pytest.fixture
def gate():
    return SafetyGate(limits(), PERIOD)


def follow(gate, targets, measured=0.0, speed=1.0):
    """Commanded positions, shape (T,)."""
    here = np.array([measured])
    return np.array([gate.step(None if t is None else np.array([t]), here, speed)[0] for t in targets])


targets = st.lists(
    st.one_of(st.none(), st.floats(-3.0, 3.0), st.just(1e9)).flatmap(
        lambda target: st.integers(1, 40).map(lambda repeats: [target] * repeats)
    ),
    min_size=1,
    max_size=12,
).map(lambda runs: [target for run in runs for target in run])


@settings(max_examples=200, deadline=None)
@given(
    targets,
    st.floats(-1.0, 1.0),
    st.floats(0.1, 1.0),
    st.floats(0.2, 5.0),
    st.floats(0.5, 50.0),
    st.sampled_from([0.3, 1.0]),
)
def test_no_target_breaks_a_position_velocity_or_acceleration_limit(
    wanted, start, half_range, velocity, acceleration, speed
):
    bounds = limits(-half_range, half_range, velocity, acceleration)
    start *= half_range
    path = follow(SafetyGate(bounds, PERIOD), wanted, start, speed)
    speeds = np.diff(np.concatenate([[start], path])) / PERIOD
    changes = np.diff(np.concatenate([[0.0], speeds])) / PERIOD
    assert np.abs(path).max() <= half_range + EPSILON
    assert np.abs(speeds).max() <= velocity + EPSILON
    assert np.abs(changes).max() <= acceleration * (1 + EPSILON) + EPSILON / PERIOD


@settings(max_examples=50, deadline=None)
@given(targets, st.floats(-1.0, 1.0))
def test_it_can_always_come_to_rest_and_then_stays(wanted, start):
    gate = SafetyGate(limits(), PERIOD)
    follow(gate, wanted, start)
    end = follow(gate, [None] * 100)
    assert gate.velocity == pytest.approx([0.0])
    assert end[-1] == pytest.approx(end[-2])


def test_the_first_command_starts_at_the_measured_pose(gate):
    path = follow(gate, [0.9] * 3, measured=-0.4)
    assert path[0] == pytest.approx(-0.4, abs=6.0 * PERIOD**2 + 1e-9)


def test_reaches_a_target_and_stays_without_passing_it(gate):
    path = follow(gate, [0.8] * 400)
    assert path[-1] == pytest.approx(0.8, abs=1e-6)
    assert path.max() <= 0.8 + 1e-6


def test_follows_a_steady_movement_without_lag(gate):
    path = follow(gate, 0.5 * PERIOD * np.arange(300))
    assert path[-1] == pytest.approx(0.5 * PERIOD * 299, abs=2e-3)


def test_a_share_of_the_speed_limit_is_kept(gate):
    path = follow(gate, [0.9] * 200, speed=0.3)
    assert np.diff(path).max() / PERIOD <= 0.3 * 1.5 + EPSILON


def test_an_arm_found_outside_its_limits_is_not_thrown_back_in_but_led(gate):
    path = follow(gate, [1.2] * 50, measured=1.1)
    assert path.max() <= 1.1 + EPSILON
    assert np.abs(np.diff(path)).max() / PERIOD <= 1.5 + EPSILON
    back = follow(gate, [0.5] * 300)
    assert back[-1] == pytest.approx(0.5, abs=1e-4)


@settings(max_examples=50, deadline=None)
@given(targets, st.floats(-1.0, 1.0))
def test_a_robot_that_stands_still_is_never_led_further_than_the_lead(wanted, place):
    path = follow(SafetyGate(limits(), PERIOD, lead=0.2), wanted, place)
    assert np.abs(path - place).max() <= 0.2 + EPSILON


@settings(max_examples=50, deadline=None)
@given(targets, st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=20))
def test_wherever_the_robot_is_a_command_keeps_its_limits(wanted, places):
    gate = SafetyGate(limits(), PERIOD, lead=0.2)
    path = [places[0]]
    for target, place in zip(wanted, np.resize(places, len(wanted)), strict=True):
        path.append(gate.step(None if target is None else np.array([target]), np.array([place]))[0])
    speeds = np.diff(path) / PERIOD
    assert np.abs(speeds).max() <= 1.5 + EPSILON
    assert np.abs(np.diff(np.concatenate([[0.0], speeds]))).max() / PERIOD <= 6.0 + 1e-3


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused_and_changes_nothing(gate, wrong):
    before = follow(gate, [0.2] * 10)[-1]
    with pytest.raises(CommandRefused, match="finite"):
        gate.step(np.array([wrong]), np.zeros(1))
    assert gate.position == pytest.approx([before])


def chunk(stamp):
    return ActionChunk(np.zeros((3, 1)), np.array([0.0, 0.1, 0.2]), stamp, "policy")


def test_a_chunk_with_a_step_to_come_passes():
    refuse_untimely(chunk(stamp=10.0), now=10.15)


def test_a_chunk_whose_times_are_all_past_is_refused():
    with pytest.raises(CommandRefused, match=r"0\.35 s old whose last step was due 0\.15 s ago"):
        refuse_untimely(chunk(stamp=10.0), now=10.35)


def test_a_chunk_from_the_future_is_refused():
    refuse_untimely(chunk(stamp=10.4), now=10.0)
    with pytest.raises(CommandRefused, match=r"0\.60 s ahead; compare the clocks"):
        refuse_untimely(chunk(stamp=10.6), now=10.0)
