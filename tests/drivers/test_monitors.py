"""What lasts long enough is believed."""

import numpy as np

from mivla_drivers.control.feedback_monitor import Lasting, TrackingMonitor


def test_what_lasts_is_believed_and_what_was_interrupted_begins_anew():
    watch = Lasting(0.2)
    seen = [(0.0, True), (0.1, True), (0.2, False), (0.3, True), (0.45, True), (0.5, True)]
    assert [watch.see(so, now) for now, so in seen] == [False, False, False, False, False, True]
    watch.restart()
    assert not watch.see(True, 0.6)


def test_a_joint_that_stays_away_is_blocked_and_a_gripper_never_is():
    monitor = TrackingMonitor(np.array([0.3, np.inf]), patience_s=0.3)
    held = np.array([0.0, 0.05])
    assert monitor.blocked(np.array([0.5, 0.0]), held, now=0.0) is None
    assert monitor.blocked(np.array([0.5, 0.0]), held, now=0.2) is None
    assert monitor.blocked(np.array([0.5, 0.0]), held, now=0.4) == 0


def test_an_arm_that_catches_up_in_time_is_not_blocked():
    monitor = TrackingMonitor(np.array([0.3]), patience_s=0.3)
    for now, gap in ((0.0, 0.5), (0.2, 0.1), (0.25, 0.5), (0.5, 0.5)):
        assert monitor.blocked(np.array([gap]), np.zeros(1), now) is None
