"""The scripted operator, with time passed in: late, trembling, and waiting for a robot that is seen behind."""

import numpy as np
import pytest

from mivla_drivers.teleop.scripted_operator import (
    LARGEST_CORRECTION,
    LONGEST_WAIT_S,
    REACTION_S,
    TREMOR_RAD,
    ScriptedOperator,
)

PERIOD = 0.005
ARM, GRIPPER = 0, 1
IS_GRIPPER = np.array([False, True])
PLAN_S = 2.0


def plan(t):
    """The arm goes 0.8 rad in a second, then the fingers close within half a second, then the arm goes back."""
    arm = np.interp(t, [0.0, 1.0, 1.5, PLAN_S], [0.0, 0.8, 0.8, 0.4])
    return np.array([arm, np.interp(t, [1.0, 1.5], [0.07, 0.03])])


class Robot:
    """Follows the hand `late_s` after it, as far as `obeys` says."""

    def __init__(self, late_s=0.1):
        self.late_s, self.obeys = late_s, lambda pose, now: pose
        self.operator = ScriptedOperator(plan(0.0), IS_GRIPPER, seed=3)
        self.now, self.place = 100.0, plan(0.0)
        self.path, self.hands = [], []

    def perform(self):
        self.operator.perform(plan, self.now)

    def run(self, seconds):
        for _ in range(round(seconds / PERIOD)):
            self.now += PERIOD
            self.hands.append(self.operator.hand(self.now))
            late = round(self.late_s / PERIOD)
            self.place = self.obeys(self.hands[-1 - late] if late < len(self.hands) else plan(0.0), self.now)
            self.operator.see(self.place, self.now)
            self.path.append(self.place)
        return self.hands[-1]


@pytest.fixture
def robot():
    return Robot()


def test_nothing_moves_before_the_reaction_time(robot):
    robot.perform()
    robot.run(REACTION_S)
    assert robot.hands[-1] == pytest.approx(plan(0.0), abs=2 * TREMOR_RAD)


def test_a_robot_that_keeps_up_is_waited_for_only_while_its_fingers_are_seen_to_move(robot):
    robot.perform()
    robot.run(PLAN_S + REACTION_S + 3 * REACTION_S + 0.3)
    assert robot.operator.progress_s >= PLAN_S


def test_a_robot_that_stands_is_waited_for_and_the_fingers_do_not_close_before_it_is_there(robot):
    robot.perform()
    robot.run(0.5)
    stands = robot.place.copy()
    robot.obeys = lambda pose, now: stands
    hand = robot.run(2.0)
    assert robot.operator.progress_s < 1.0
    assert hand[GRIPPER] == 0.07
    robot.obeys = lambda pose, now: pose
    robot.run(3.0)
    assert robot.operator.progress_s >= PLAN_S


def test_the_arm_goes_on_only_once_the_fingers_stand(robot):
    def slow_fingers(pose, now):
        opening = max(pose[GRIPPER], robot.place[GRIPPER] - 0.02 * PERIOD)  # 20 mm/s
        return np.array([pose[ARM], opening])

    robot.obeys = slow_fingers
    robot.perform()
    robot.run(7.0)
    opening = np.array(robot.path)[:, GRIPPER]
    closed = int(np.argmax(opening < 0.0301))
    assert np.array(robot.hands)[closed, ARM] == pytest.approx(0.8, abs=0.03)
    assert robot.hands[-1][ARM] == pytest.approx(0.4, abs=0.03)


def test_a_robot_that_never_comes_is_not_waited_for_for_ever(robot):
    robot.obeys = lambda pose, now: plan(0.0)
    robot.perform()
    robot.run(LONGEST_WAIT_S + PLAN_S + 2.0)
    assert robot.operator.progress_s >= PLAN_S


def test_what_the_robot_misses_is_corrected_by_a_hand_that_goes_no_further_than_a_tenth(robot):
    robot.obeys = lambda pose, now: pose - np.array([0.05, 0.0])
    robot.operator.perform(lambda t: plan(0.0), robot.now)
    robot.run(6.0)
    assert robot.place[ARM] == pytest.approx(0.0, abs=0.01)
    robot.obeys = lambda pose, now: pose - np.array([0.5, 0.0])
    robot.run(6.0)
    assert robot.hands[-1][ARM] == pytest.approx(LARGEST_CORRECTION, abs=2 * TREMOR_RAD)


def test_a_hand_whose_thread_was_held_up_does_not_jump(robot):
    robot.perform()
    before = robot.run(0.6)
    robot.now += 0.5
    assert abs(robot.run(PERIOD)[ARM] - before[ARM]) < 0.06
