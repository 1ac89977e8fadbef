"""Stamps of joint states: each measurement once, and never backwards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mivla_drivers.ros.joint_state_clock import JointStateClock

EPOCH = 1.79e9
steps = st.lists(
    st.tuples(
        st.floats(1e-3, 0.02),  # time to the driver's next step
        st.booleans(),  # whether feedback has come since the last one
        st.floats(-5e-4, 5e-4),  # how far the reading of the system's clock is off
    ),
    min_size=1,
    max_size=60,
)


@given(steps)
def test_each_measurement_is_stamped_once_later_than_the_one_before_and_near_its_receipt(steps):
    clock, now, received, known = JointStateClock(), 5000.0, None, set()
    stamps = []
    for period, fresh, noise in steps:
        now += period
        if fresh or received is None:
            received = now
        age = now - received
        stamp = clock.stamp(now - age, now, EPOCH + now + noise)
        assert (stamp is not None) == (received not in known)
        known.add(received)
        if stamp is not None:
            assert stamp == pytest.approx(EPOCH + received, abs=2e-3)
            stamps.append(stamp)
    assert stamps == sorted(set(stamps))


def test_a_measurement_keeps_its_receipt_however_late_it_is_published():
    assert JointStateClock().stamp(received=10.0, now=10.07, system=EPOCH + 0.07) == pytest.approx(
        EPOCH, abs=1e-6
    )


def test_stamps_follow_a_system_clock_that_is_set_back_as_the_cameras_do():
    clock = JointStateClock()
    assert clock.stamp(10.0, 10.0, EPOCH) == EPOCH
    assert clock.stamp(10.1, 10.1, EPOCH - 60) == EPOCH - 60
    assert clock.stamp(10.2, 10.2, EPOCH - 59.9) == EPOCH - 59.9


def test_an_older_measurement_than_the_last_one_has_no_stamp():
    clock = JointStateClock()
    clock.stamp(10.0, 10.0, EPOCH)
    assert clock.stamp(9.9, 10.01, EPOCH + 0.01) is None
