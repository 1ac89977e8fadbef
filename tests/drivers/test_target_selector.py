"""Which target is followed at a moment, with time passed in."""

import numpy as np
import pytest
from pretend_arm import CONTRACT

from mivla_drivers.control.target_selector import RAMP_SPEED, TargetSelector
from mivla_drivers.control.trajectory import ActionChunk
from mivla_drivers.errors import CommandRefused

HOME = CONTRACT.home


@pytest.fixture
def selector():
    selector = TargetSelector(CONTRACT)
    selector.select("policy")
    return selector


def chunk(now, steps=3, source="policy"):
    positions = np.tile(HOME, (steps, 1))
    return ActionChunk(positions, np.arange(steps) / CONTRACT.policy_rate_hz, now, source)


def test_without_a_source_nothing_is_followed():
    target = TargetSelector(CONTRACT).target(0.0, HOME)
    assert target.position is None
    assert target.following == "hold"


def test_the_last_step_is_held_on_to_for_two_policy_periods(selector):
    selector.receive(chunk(0.0), 0.0, HOME)  # its last step is due at 0.2 s
    assert selector.target(0.39, HOME).following == "policy"
    assert selector.target(0.41, HOME).following == "hold"


def test_a_ramp_ends_where_the_target_is_met_and_a_hold_begins_one(selector):
    selector.receive(chunk(0.0), 0.0, HOME)
    first = selector.target(0.0, HOME)
    assert first.speed == RAMP_SPEED
    selector.note_command(first, HOME + 0.5)
    assert selector.target(0.01, HOME).speed == RAMP_SPEED
    selector.note_command(first, HOME)
    assert selector.target(0.02, HOME).speed == 1.0
    selector.note_command(selector.target(9.0, HOME), HOME)
    selector.receive(chunk(9.0), 9.0, HOME)
    assert selector.target(9.0, HOME).speed == RAMP_SPEED


def test_another_source_forgets_what_was_to_be_played(selector):
    selector.receive(chunk(0.0), 0.0, HOME)
    selector.select("teleop")
    assert selector.target(0.0, HOME).position is None


def test_the_way_home_ends_at_home_and_refuses_chunks_until_then(selector):
    selector.select("none")
    selector.go_home()
    assert selector.target(0.0, HOME + 0.5).following == "home"
    with pytest.raises(CommandRefused, match="on its way home"):
        selector.receive(chunk(0.0), 0.0, HOME + 0.5)
    assert selector.target(1.0, HOME).following == "hold"
    assert not selector.is_homing
