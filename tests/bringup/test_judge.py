"""What an operator's keys come to, in a try on a real robot."""

from __future__ import annotations

import pytest

from mivla_bringup.trials.judge import Judge


@pytest.fixture
def judge() -> Judge:
    return Judge(("grasped", "lifted", "placed"))


def press(judge: Judge, keys: str, start: float = 10.0) -> None:
    """One key per second."""
    for number, key in enumerate(keys):
        judge.press(key, start + number)


def test_success_ends_the_try_at_its_key_and_reaches_every_subtask(judge):
    press(judge, "1s")
    assert (judge.success, judge.at, judge.ended) == (True, 11.0, "success")
    assert judge.reached == {"grasped": True, "lifted": True, "placed": True}


def test_failure_keeps_the_subtasks_that_were_ticked_by_their_digits(judge):
    press(judge, "12f")
    assert (judge.success, judge.at) == (False, 12.0)
    assert judge.reached == {"grasped": True, "lifted": True, "placed": False}


def test_a_digit_pressed_again_takes_its_subtask_back(judge):
    press(judge, "121f")
    assert judge.reached == {"grasped": False, "lifted": True, "placed": False}


def test_a_failure_that_reached_everything_is_refused_with_what_to_do(judge):
    press(judge, "123f")
    assert judge.success is None
    assert not judge.ended
    assert "take one back by its digit, or s" in judge.remark
    press(judge, "3f")
    assert judge.success is False
    assert judge.remark == ""


@pytest.mark.parametrize("key", ["0", "4", "9", "a", "\n", "²"])
def test_a_key_that_means_nothing_changes_nothing(judge, key):
    press(judge, key)
    assert (judge.decided, judge.ended, any(judge.subtasks.values())) == (False, "", False)


def test_the_first_judgement_counts(judge):
    press(judge, "fs1x")
    assert (judge.success, judge.at, judge.leaving) == (False, 10.0, "")
    assert not any(judge.reached.values())


@pytest.mark.parametrize("key", ["x", "q"])
def test_a_try_may_be_left_without_a_judgement(judge, key):
    press(judge, key)
    assert (judge.decided, judge.success, judge.leaving, judge.at) == (True, None, key, 10.0)


def test_a_stopped_try_is_over_at_its_stop_and_no_success_any_more(judge):
    press(judge, " 1s")
    assert (judge.decided, judge.at) == (False, 10.0)
    assert "stopped by the operator: no success any more" in judge.remark
    press(judge, "f")
    assert (judge.success, judge.at) == (False, 10.0)
    assert judge.reached == {"grasped": True, "lifted": False, "placed": False}


def test_a_success_that_came_after_the_time_limit_came_too_late(judge):
    press(judge, "1s")
    judge.time_is_up()
    assert (judge.decided, judge.at) == (False, None)
    press(judge, "sf")
    assert judge.success is False
    assert judge.reached == {"grasped": True, "lifted": False, "placed": False}


def test_the_first_reason_that_a_try_ended_stays(judge):
    judge.end("the driver took the robot", 5.0)
    press(judge, " ")
    assert (judge.ended, judge.at) == ("the driver took the robot", 5.0)
