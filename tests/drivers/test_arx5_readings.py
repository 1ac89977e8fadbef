"""How old an ARX-5's readings are, and when its commands count as given, with time passed in."""

from __future__ import annotations

import numpy as np
import pytest

from mivla_drivers.robots.arx5.command_times import CommandTimes
from mivla_drivers.robots.arx5.readings import UNCHANGED_S, MotorReadings

PERIOD_S = 0.005


@pytest.fixture
def readings():
    """Two motors whose readings change with each of 100 states; the last came at 0.99 s."""
    readings = MotorReadings(2)
    for i in range(100):
        readings.update(np.full(6, float(i + 1)), i + 1, 0.01 * i)
    return readings


def test_before_the_first_state_all_are_infinitely_old_and_silent():
    readings = MotorReadings(2)
    assert readings.ages(5.0).tolist() == [np.inf, np.inf]
    assert readings.silent.all()
    assert not readings.received_any


def test_a_motor_whose_reading_changes_is_as_old_as_the_state(readings):
    assert readings.ages(1.0) == pytest.approx([0.01, 0.01])


def test_a_state_that_was_taken_before_makes_nothing_younger(readings):
    assert not readings.update(np.zeros(6), 100, 2.0)
    assert readings.ages(2.0) == pytest.approx([1.01, 1.01])


def test_a_motor_whose_reading_stands_still_is_as_old_as_its_last_change(readings):
    for i in range(10):
        state = np.array([[100.0, i]] * 3).ravel()
        readings.update(state, 101 + i, 1.0 + 0.01 * i)
    assert readings.ages(1.09) == pytest.approx([0.1, 0.0])
    assert UNCHANGED_S < 0.1


def test_where_no_state_comes_no_single_motor_is_called_silent(readings):
    assert readings.ages(3.0) == pytest.approx([2.01, 2.01])


def test_an_sdk_that_was_started_again_counts_from_one(readings):
    readings.restart()
    assert not readings.received_any
    assert readings.update(np.zeros(6), 1, 2.0)
    assert readings.position.tolist() == [0.0, 0.0]


def test_a_command_that_comes_late_counts_nearly_as_if_it_had_not():
    times = CommandTimes(PERIOD_S, 2 * PERIOD_S)
    given = [times.next(now) for now in (1.0, 1.005, 1.014, 1.015)]
    assert np.diff(given) == pytest.approx([PERIOD_S] * 3, abs=0.05 * PERIOD_S)


def test_after_a_longer_delay_times_begin_anew():
    times = CommandTimes(PERIOD_S, 2 * PERIOD_S)
    times.next(1.0)
    assert times.next(1.5) == 1.5
