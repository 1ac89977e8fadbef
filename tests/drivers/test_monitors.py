"""What lasts long enough is believed."""

from pretend_arm import CONTRACT, GRIPPER, JOINT2

from mivla_drivers.control.debounce import Debounce
from mivla_drivers.control.feedback_monitor import Feedback, FeedbackMonitor
from mivla_drivers.control.tracking_monitor import TrackingMonitor


def test_what_lasts_is_believed_and_what_was_interrupted_begins_anew():
    condition = Debounce(0.2)
    seen = [(0.0, True), (0.1, True), (0.2, False), (0.3, True), (0.45, True), (0.5, True)]
    assert [condition.update(holds, now) for now, holds in seen] == [False, False, False, False, False, True]
    condition.reset()
    assert not condition.update(True, 0.6)


def test_a_joint_that_stays_away_is_blocked_and_a_gripper_never_is():
    monitor = TrackingMonitor(CONTRACT)
    away = CONTRACT.home.copy()
    away[GRIPPER] = 0.0
    assert [monitor.blocked(away, CONTRACT.home, now) for now in (0.0, 0.2, 0.4)] == ["", "", ""]
    away[JOINT2] += 0.5
    assert [monitor.blocked(away, CONTRACT.home, now) for now in (0.5, 0.7)] == ["", ""]
    assert (
        monitor.blocked(away, CONTRACT.home, 0.9) == "joint2 is blocked: commanded 1.400 rad, measured 0.900"
    )


def test_an_arm_that_catches_up_in_time_is_not_blocked():
    monitor = TrackingMonitor(CONTRACT)
    for now, gap in ((0.0, 0.5), (0.2, 0.1), (0.25, 0.5), (0.5, 0.5)):
        away = CONTRACT.home.copy()
        away[JOINT2] += gap
        assert not monitor.blocked(away, CONTRACT.home, now)


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
