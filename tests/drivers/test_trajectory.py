"""Chunks are valid or refused, and play by time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mivla_drivers.control.trajectory import ActionChunk, TrajectoryPlayer
from mivla_drivers.errors import CommandRefused


def chunk(positions, times, stamp=0.0):
    return ActionChunk(np.array(positions, dtype=float).reshape(-1, 1), np.array(times), stamp, "policy")


@pytest.fixture
def player():
    return TrajectoryPlayer()


def test_plays_straight_lines_between_steps(player):
    player.receive(chunk([0.0, 1.0, 1.5], [0.0, 0.1, 0.2], stamp=10.0), now=10.0)
    assert player.sample(10.05) == pytest.approx([0.5])
    assert player.sample(10.15) == pytest.approx([1.25])
    assert player.sample(10.2) == pytest.approx([1.5])


def test_has_nothing_to_play_before_the_first_chunk_and_after_its_last_step(player):
    assert player.sample(0.0) is None
    player.receive(chunk([0.0, 1.0], [0.0, 0.1]), now=0.0)
    assert player.sample(0.11) is None
    assert player.last == pytest.approx([1.0])


def test_a_new_chunk_replaces_the_old_one_from_its_first_step_on(player):
    player.receive(chunk([0.0, 1.0, 2.0], [0.0, 0.1, 0.2]), now=0.0)
    player.receive(chunk([5.0, 6.0], [0.1, 0.2], stamp=0.05), now=0.06)
    assert player.sample(0.08) == pytest.approx([0.8])  # the old one still plays
    assert player.sample(0.15) == pytest.approx([5.0])
    assert player.sample(0.25) == pytest.approx([6.0])


def test_an_inference_that_took_long_joins_in_the_middle_of_its_chunk(player):
    player.receive(chunk([0.0, 1.0, 2.0], [0.0, 0.1, 0.2]), now=0.0)
    player.receive(chunk([7.0, 8.0, 9.0], [0.0, 0.1, 0.2], stamp=0.05), now=0.12)
    assert player.sample(0.12) == pytest.approx([7.7])


def test_a_first_chunk_that_starts_later_is_approached_from_where_the_robot_is(player):
    player.receive(chunk([1.0, 2.0], [0.1, 0.2]), now=0.0, position=np.array([0.0]))
    assert player.sample(0.05) == pytest.approx([0.5])


def test_without_a_start_the_first_step_is_the_target_at_once(player):
    player.receive(chunk([1.0, 2.0], [0.1, 0.2]), now=0.0)
    assert player.sample(0.0) == pytest.approx([1.0])


def test_what_was_played_out_does_not_come_back(player):
    player.receive(chunk([0.0, 1.0], [0.0, 0.1]), now=0.0)
    player.receive(chunk([4.0, 5.0], [0.1, 0.2], stamp=1.0), now=1.0, position=np.array([3.0]))
    assert player.sample(1.05) == pytest.approx([3.5])


@pytest.mark.parametrize(
    ("positions", "times", "stamp", "said"),
    [
        ([[0.0], [np.nan]], [0.0, 0.1], 0.0, "finite positions, got nan at step 1"),
        ([[0.0], [np.inf]], [0.0, 0.1], 0.0, "finite positions"),
        ([[0.0], [1.0]], [0.1, 0.1], 0.0, "strictly increasing"),
        ([[0.0], [1.0]], [0.2, 0.1], 0.0, "strictly increasing"),
        ([[0.0], [1.0]], [-0.1, 0.1], 0.0, "not negative"),
        ([[0.0], [1.0]], [0.0], 0.0, "times of shape"),
        ([0.0, 1.0], [0.0, 0.1], 0.0, "positions of shape"),
        (np.empty((0, 1)), [], 0.0, "positions of shape"),
        ([[0.0], [1.0]], [0.0, 0.1], np.nan, "finite times"),
    ],
)
def test_a_chunk_that_makes_no_sense_is_refused(positions, times, stamp, said):
    with pytest.raises(CommandRefused, match=said):
        ActionChunk(np.array(positions), np.array(times), stamp, "policy")


@pytest.mark.parametrize("poses", [np.zeros((2, 6)), np.zeros((3, 7)), np.full((2, 7), np.nan)])
def test_end_effectors_that_do_not_fit_the_chunk_are_refused(poses):
    with pytest.raises(CommandRefused, match=r"expected finite end effectors of shape \(2, 7 or 14\)"):
        ActionChunk(np.zeros((2, 1)), np.array([0.0, 0.1]), 0.0, "policy", poses)


def test_a_chunk_cannot_be_changed_after_it_was_checked():
    positions = np.zeros((2, 1))
    made = ActionChunk(positions, np.array([0.0, 0.1]), 0.0, "policy")
    positions[0] = np.nan
    assert np.isfinite(made.positions).all()
    with pytest.raises(ValueError, match="read-only"):
        made.positions[0] = np.nan


def test_shifting_moves_a_chunk_to_another_clock():
    moved = chunk([0.0], [0.5], stamp=1000.0).shifted(-990.0)
    assert (moved.stamp, moved.start, moved.end) == pytest.approx((10.0, 10.5, 10.5))


@given(
    st.lists(st.tuples(st.floats(0.0, 0.2), st.lists(st.floats(-1, 1), min_size=1, max_size=8)), max_size=6),
    st.floats(0, 2),
)
def test_never_leaves_the_range_of_what_was_received(chunks, moment):
    player, now, seen = TrajectoryPlayer(), 0.0, []
    for pause, positions in chunks:
        now += pause
        times = 0.1 * np.arange(len(positions))
        player.receive(chunk(positions, times, stamp=now), now)
        seen += positions
    target = player.sample(now + moment)
    if target is not None:
        assert min(seen) - 1e-9 <= target[0] <= max(seen) + 1e-9
