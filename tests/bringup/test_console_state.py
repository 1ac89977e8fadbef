"""What `mivla console` shows of a robot: plain words from messages, with the time passed in."""

from __future__ import annotations

import pytest

from mivla_bringup.console.keys import ACTIONS, KeyContext, refusal
from mivla_bringup.console.letters import large
from mivla_bringup.console.state import MOST_PARTS, STALE_S, ConsoleState, Reach
from mivla_bringup.console.view import Row, View, view
from mivla_bringup.plain_text import LONGEST, plain
from mivla_bringup.stop_key.sender import StopStatus

OK, WARN = 0, 1
NO_STOP = StopStatus()
VALUES = {
    "mode": "active",
    "command_source": "policy",
    "following": "policy",
    "motors_enabled": "True",
    "feedback_age_ms": "5",
    "instruction": "Lift the can.",
    "starved": "0",
}


@pytest.fixture
def state():
    state = ConsoleState("piper")
    state.set_reach(Reach.SOCKET, 1.0, answered_s=0.0012)
    return state


def driver_says(state, now, message="active: following policy", level=OK, **values):
    state.hear("piper/driver", level, message, {**VALUES, **values}, now)


def shown(state, now, stop=NO_STOP) -> View:
    return view(state.snapshot(), stop, now)


def row(seen: View, name: str) -> Row:
    return next(row for row in seen.rows if row.name == name)


class TestText:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("feedback 5 ms old", "feedback 5 ms old"),
            ("\x1b[2J\x1b[31mred", "?[2J?[31mred"),
            ("two\nlines\tand \x00 more", "two lines and ? more"),
            ("\x9b31m C1 control", "?31m C1 control"),
            ("right\u202eto left", "right?to left"),
            ("\udcff no UTF-8", "? no UTF-8"),
            ("Größe 5 °C, 瓶子", "Größe 5 °C, 瓶子"),
            ("[bold]no markup[/]", "[bold]no markup[/]"),
        ],
    )
    def test_what_could_move_the_cursor_is_shown_as_a_question_mark(self, text, expected):
        assert plain(text) == expected

    def test_a_text_is_bounded(self):
        assert len(plain("x" * 10_000_000)) == LONGEST
        assert plain("x" * 10_000_000).endswith("...")

    def test_no_more_than_two_marks_pile_up_on_a_character(self):
        assert len(plain("a" + "\u0334" * 500)) <= 3


class TestState:
    def test_the_driver_is_told_by_mode_reason_source_motors_and_age_of_its_feedback(self, state):
        driver_says(state, 10.0)
        seen = shown(state, 10.3)
        assert (seen.mode, seen.level, seen.reason) == ("ACTIVE", "ok", "active: following policy")
        for words in ("source policy", "follows policy", "motors have power", "feedback 5 ms old"):
            assert words in row(seen, "driver").text
        assert row(seen, "instruction").text == "Lift the can."
        assert seen.alarm is None

    def test_what_a_driver_said_last_is_shown_as_old_once_it_is_silent(self, state):
        driver_says(state, 10.0)
        seen = shown(state, 10.0 + STALE_S + 2.0)
        assert (seen.mode, seen.level) == ("MODE UNKNOWN", "STALE")
        assert seen.reason == "no diagnostics of the driver for 3.5 s; it last said: active: following policy"
        assert row(seen, "driver").level == "STALE"
        assert "source policy" not in str(seen)

    def test_before_the_first_diagnostics_the_stop_key_is_said_to_work(self, state):
        seen = shown(state, 1.0)
        assert seen.mode == "MODE UNKNOWN"
        assert "SPACE stops all the same" in seen.reason
        assert seen.stop == "stop goes by: socket of this machine, the driver answers in 1.2 ms"

    @pytest.mark.parametrize("name", ["policy", "recorder", "camera/front_camera", "anything new"])
    def test_every_part_that_speaks_has_a_row_and_its_own_age(self, state, name):
        state.hear(f"piper/{name}", WARN, "waits for images", {}, 10.0)
        driver_says(state, 12.0)
        assert row(shown(state, 10.2), name) == Row(name, "WARNING", "waits for images")
        assert row(shown(state, 12.5), name) == Row(
            name, "STALE", "silent for 2.5 s; it last said: waits for images"
        )

    def test_parts_of_another_robot_are_passed_over(self, state):
        state.hear("left/driver", OK, "active", VALUES, 10.0)
        state.hear("piperx/driver", OK, "active", VALUES, 10.0)
        assert not state.snapshot().parts

    def test_a_flood_of_names_is_counted_and_leaves_the_driver_on_the_screen(self, state):
        driver_says(state, 10.0)
        for number in range(10_000):
            state.hear(f"piper/{number}", OK, "x" * 100_000, {str(key): "v" for key in range(100)}, 10.0)
        driver_says(state, 10.1, "stopped: by an operator", WARN, mode="stopped")
        found = state.snapshot()
        assert len(found.parts) == MOST_PARTS
        assert shown(state, 10.2).mode == "STOPPED"
        assert row(shown(state, 10.2), "others").level == "WARNING"

    def test_a_stream_tells_its_rate_its_age_and_who_publishes_it(self, state):
        state.follow("joint_states", 8.0)
        state.set_publishers("joint_states", ("driver",))
        for number in range(100):
            state.note("joint_states", 8.0 + 0.02 * number)
        assert row(shown(state, 10.0), "joint_states") == Row(
            "joint_states", "ok", "driver: 50 Hz, the newest came 20 ms ago"
        )

    def test_a_stream_that_stopped_is_stale_and_one_that_never_came_is_an_error(self, state):
        state.follow("front_camera", 8.0)
        assert row(shown(state, 8.1), "front_camera") == Row("front_camera", "ERROR", "nobody publishes")
        state.note("front_camera", 9.0)
        assert row(shown(state, 14.0), "front_camera").level == "STALE"
        assert "none for 5.0 s" in row(shown(state, 14.0), "front_camera").text

    def test_a_camera_has_one_row_with_what_its_node_says_and_what_arrives(self, state):
        state.follow("front_camera", 8.0)
        state.set_publishers("front_camera", ("camera",))
        for number in range(20):
            state.note("front_camera", 8.0 + 0.1 * number)
        state.hear("piper/camera/front_camera", 2, "the picture is frozen", {}, 10.0)
        seen = shown(state, 10.0)
        assert [row.name for row in seen.rows].count("front_camera") == 1
        assert "camera/front_camera" not in [row.name for row in seen.rows]
        assert row(seen, "front_camera").level == "ERROR"
        assert row(seen, "front_camera").text.startswith("the picture is frozen; camera: 10 Hz")
        state.hear("piper/camera/front_camera", 0, "grabbing", {}, 14.0)
        assert row(shown(state, 14.0), "front_camera").level == "STALE"

    def test_chunks_that_nobody_sends_are_no_trouble(self, state):
        state.follow("teleop chunks", 8.0)
        assert row(shown(state, 20.0), "teleop chunks").level == "-"

    def test_what_is_in_trouble_stands_first(self, state):
        driver_says(state, 10.0)
        state.hear("piper/policy", OK, "running", {}, 10.0)
        state.hear("piper/recorder", WARN, "disk is full", {}, 10.0)
        assert shown(state, 10.1).rows[0].name == "recorder"

    def test_a_console_that_hears_nothing_says_so_itself(self, state):
        state.set_trouble("listener", "hears nothing: RCLError")
        assert shown(state, 1.0).rows[0] == Row("console", "ERROR", "hears nothing: RCLError")

    def test_the_simulated_tasks_progress_has_a_row_that_grows_old(self, state):
        state.hear_progress("move_bottle", "running", {"grasped": "true", "placed": "false"}, 10.0)
        assert row(shown(state, 10.1), "simulator").text == "move_bottle: running; grasped yes, placed no"
        assert row(shown(state, 15.0), "simulator").level == "STALE"

    def test_a_call_shows_that_it_waits_what_came_of_it_and_is_forgotten_later(self, state):
        state.begin("enable", 10.0)
        assert shown(state, 12.0).told == "enable: waits for the driver ... 2.0 s"
        state.end("enable", False, "no feedback on can0", 12.5)
        assert shown(state, 13.0).told == "enable: NOT DONE: no feedback on can0"
        assert shown(state, 60.0).told == ""


class TestStop:
    def test_a_stop_without_acknowledgement_for_100_ms_stands_in_large_letters(self, state):
        stop = StopStatus(pressed=10.0)
        assert shown(state, 10.09, stop).alarm is None
        alarm = shown(state, 10.11, stop).alarm
        assert alarm.letters == large("NOT STOPPED")
        assert "USE THE HARDWARE EMERGENCY STOP" in alarm.lines[1]

    def test_it_stays_with_the_drivers_refusal_until_it_is_acknowledged(self, state):
        refused = StopStatus(pressed=10.0, message="stop: no feedback", way="socket")
        assert shown(state, 60.0, refused).alarm.lines[0] == "for 50.0 s: stop: no feedback"
        done = StopStatus(10.0, 60.1, "stopped: the arm holds", "socket")
        assert shown(state, 60.2, done).alarm is None
        assert shown(state, 61.1, done).stop == (
            "stop acknowledged after 50100 ms, 1.0 s ago, by socket: stopped: the arm holds"
        )

    @pytest.mark.parametrize(("reach", "letters"), [(Reach.HANGS, "NO ANSWER"), (Reach.NONE, "NO DRIVER")])
    def test_a_driver_that_cannot_be_reached_is_told_in_large_letters_before_any_key(
        self, state, reach, letters
    ):
        state.set_reach(reach, 1.0)
        alarm = shown(state, 1.0).alarm
        assert alarm.letters == large(letters)
        assert "HARDWARE EMERGENCY STOP" in " ".join(alarm.lines)

    def test_other_robots_of_this_machine_are_named_where_this_one_has_no_driver(self, state):
        state.set_reach(Reach.NONE, 1.0, elsewhere=("/left", "/right"))
        assert "in /left, /right: use --namespace" in shown(state, 1.0).alarm.lines[1]

    def test_a_way_that_nobody_looked_at_for_a_while_is_unknown(self, state):
        assert shown(state, 4.9).stop == "stop goes by: socket of this machine, the driver answers in 1.2 ms"
        assert shown(state, 5.1).stop == "stop goes by: looking for the driver ..."

    def test_over_the_network_the_delay_to_expect_is_said(self, state):
        state.set_reach(Reach.ROS, 1.0)
        assert "ROS service" in shown(state, 1.0).stop
        assert "network's delay" in shown(state, 1.0).stop

    def test_large_letters_fit_into_80_columns(self):
        for text in ("NOT STOPPED", "NO DRIVER", "NO ANSWER"):
            assert [len(line) <= 78 for line in large(text)] == [True] * 3
            assert len({len(line) for line in large(text)}) == 1


class TestKeys:
    @pytest.mark.parametrize("key", "ehptn")
    def test_a_key_is_taken_when_the_robot_is_calm(self, key):
        assert refusal(ACTIONS[key], KeyContext(0.0, None, False), 10.0) == ""
        assert refusal(ACTIONS[key], KeyContext(0.0, 5.0, False), 10.0) == ""

    @pytest.mark.parametrize("key", "ehpt")
    def test_what_may_move_the_robot_waits_for_the_stops_acknowledgement(self, key):
        assert "not acknowledged" in refusal(ACTIONS[key], KeyContext(0.0, 5.0, True), 10.0)

    @pytest.mark.parametrize("key", "ehpt")
    def test_a_hand_that_falls_on_the_space_bar_does_not_enable_again(self, key):
        assert "within 1 s of the stop" in refusal(ACTIONS[key], KeyContext(0.0, 9.5, False), 10.0)

    @pytest.mark.parametrize("key", "ehpt")
    def test_letters_that_a_terminal_sends_while_it_opens_are_not_taken(self, key):
        assert "of opening" in refusal(ACTIONS[key], KeyContext(9.5, None, False), 10.0)

    def test_taking_the_robot_from_its_source_is_always_taken(self):
        assert refusal(ACTIONS["n"], KeyContext(9.9, 9.9, True), 10.0) == ""
