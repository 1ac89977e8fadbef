"""What lasts long enough is believed."""

import numpy as np

from mivla_drivers.control.debounce import Debounce
from mivla_drivers.control.feedback_monitor import Feedback, FeedbackMonitor, TrackingMonitor


def test_what_lasts_is_believed_and_what_was_interrupted_begins_anew():
    condition = Debounce(0.2)
    seen = [(0.0, True), (0.1, True), (0.2, False), (0.3, True), (0.45, True), (0.5, True)]
    assert [condition.update(holds, now) for now, holds in seen] == [False, False, False, False, False, True]
    condition.reset()
    assert not condition.update(True, 0.6)


def test_a_joint_that_stays_away_is_blocked_and_a_gripper_never_is():
    monitor = TrackingMonitor(np.array([0.3, np.inf]), duration_s=0.3)
    held = np.array([0.0, 0.05])
    assert monitor.blocked(np.array([0.5, 0.0]), held, now=0.0) is None
    assert monitor.blocked(np.array([0.5, 0.0]), held, now=0.2) is None
    assert monitor.blocked(np.array([0.5, 0.0]), held, now=0.4) == 0


def test_an_arm_that_catches_up_in_time_is_not_blocked():
    monitor = TrackingMonitor(np.array([0.3]), duration_s=0.3)
    for now, gap in ((0.0, 0.5), (0.2, 0.1), (0.25, 0.5), (0.5, 0.5)):
        assert monitor.blocked(np.array([gap]), np.zeros(1), now) is None


def test_feedback_is_stale_then_lost_and_counts_again_once_it_has_lasted():
    monitor = FeedbackMonitor()
    ages = [(0.0, 0.0), (0.2, 0.2), (0.25, 0.0), (0.8, 0.55), (0.9, 0.0), (0.95, 0.0), (1.01, 0.0)]
    states = [monitor.update(age_s, now) for now, age_s in ages]
    fresh, stale, lost = Feedback.FRESH, Feedback.STALE, Feedback.LOST
    assert states == [fresh, stale, fresh, lost, lost, lost, fresh]


def test_a_bus_that_fails_is_lost_until_fresh_feedback_has_lasted():
    monitor = FeedbackMonitor()
    monitor.update(0.0, 0.0)
    monitor.update(0.0, 1.0)
    monitor.lose()
    assert monitor.update(0.0, 1.005) is Feedback.LOST
    assert monitor.update(0.0, 1.2) is Feedback.FRESH
