"""The control thread keeps its deadlines, and outlives what goes wrong in it."""

import threading
import time

import pytest

from mivla_drivers.control.control_loop import ControlLoop

pytestmark = pytest.mark.realtime


def run(step, rate_hz=100.0, seconds=0.5):
    errors = []
    loop = ControlLoop(step, rate_hz, errors.append, name="control")
    loop.start()
    time.sleep(seconds)
    loop.stop()
    return loop, errors


def test_steps_at_its_rate_in_a_thread_of_its_own():
    names = []
    loop, errors = run(lambda now: names.append(threading.current_thread().name))
    statistics = loop.statistics()
    assert set(names) == {"control"}
    assert errors == []
    assert statistics.steps == len(names)
    assert statistics.steps + statistics.overruns == pytest.approx(50, abs=10)
    assert statistics.period_mean_s == pytest.approx(0.01, abs=0.004)


def test_lateness_does_not_add_up():
    moments = []
    run(moments.append)
    first = moments[0]
    late = [(moment - first) % 0.01 for moment in moments[1:]]
    assert sorted(late)[len(late) // 2] < 0.003  # most steps start right after a multiple of the period


def test_a_step_that_takes_too_long_is_an_overrun_and_is_not_made_up_for():
    loop, _ = run(lambda now: time.sleep(0.035), seconds=0.4)
    statistics = loop.statistics()
    assert statistics.steps <= 13
    assert statistics.overruns >= 20


def test_an_exception_is_reported_and_the_next_step_comes():
    def step(now):
        raise ZeroDivisionError("one of them")

    loop, errors = run(step, seconds=0.2)
    assert len(errors) == loop.statistics().errors > 5
    assert str(errors[0]) == "one of them"


def test_ends_cleanly():
    loop, _ = run(lambda now: None, seconds=0.05)
    assert not loop.running
    steps = loop.statistics().steps
    time.sleep(0.05)
    assert loop.statistics().steps == steps
