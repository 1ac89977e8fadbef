"""What the driver does with an arm, told on an arm in memory with pretend physics."""

import numpy as np
import pytest

from mivla_drivers.contract import load_contract
from mivla_drivers.driver import Driver
from mivla_drivers.driver_report import Mode
from mivla_drivers.errors import CommandRefused, HardwareError
from mivla_drivers.hardware.base import Measurement
from mivla_drivers.trajectory import ActionChunk

CONTRACT = load_contract("piper")
PERIOD = 1.0 / CONTRACT.control_rate_hz
JOINT2, GRIPPER = 1, 6


class PretendArm:
    """Follows its target exactly while it has power, unless a joint is blocked."""

    recovery = "Check the cable"

    def __init__(self):
        self.position = CONTRACT.home.copy()
        self.powered = False
        self.stuck_power = ()  # motors that keep their power when it is cut
        self.power_delay = 3  # reads between asking for power and having it
        self.deaf_since = None
        self.reopened = 0
        self.cuts = 0
        self.faults = ()
        self.blocked = {}
        self.written = []
        self._asked = 0

    def enable(self):
        self._asked = max(self._asked, 1)

    def disable(self):
        self.cuts += 1
        self.powered, self._asked = False, 0

    def read(self, now):
        if self._asked:
            self._asked += 1
            self.powered = self._asked > self.power_delay
        zero = np.zeros(CONTRACT.size)
        age = 0.0 if self.deaf_since is None else now - self.deaf_since
        some = self.powered or bool(self.stuck_power)
        return Measurement(self.position.copy(), zero, zero, age, self.powered, some, self.faults)

    def write(self, position):
        self.written.append(position.copy())
        if self.powered:
            self.position = position.copy()
            for joint, value in self.blocked.items():
                self.position[joint] = value

    def recover(self):
        self.reopened += 1


class Bench:
    """A driver, its arm, and time."""

    def __init__(self):
        self.arm = PretendArm()
        self.driver = Driver(CONTRACT, self.arm)
        self.now = 0.0
        self.report = self.driver.step(self.now)

    def run(self, seconds):
        for _ in range(round(seconds / PERIOD)):
            self.now += PERIOD
            self.report = self.driver.step(self.now)
        return self.report

    def send(self, source="policy", steps=16, age=0.0, **joints):
        target = CONTRACT.home.copy()
        for name, value in joints.items():
            target[CONTRACT.joints.index(name)] = value
        times = np.arange(steps) / CONTRACT.policy_rate_hz
        return self.driver.receive(
            ActionChunk(np.tile(target, (steps, 1)), times, self.now - age, source), self.now
        )

    def follow(self, seconds, **joints):
        """Run with a source that sends a chunk of 1.5 s every half second."""
        for _ in range(round(seconds / 0.5)):
            self.send(**joints)
            self.run(0.5)
        return self.report

    @property
    def level(self):
        return self.driver.diagnostics(self.now).level


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def active(bench):
    """A bench whose driver is enabled and follows the policy."""
    bench.driver.select_source("policy")
    bench.driver.enable()
    bench.run(0.5)
    assert bench.report.mode is Mode.ACTIVE
    return bench


def test_commands_nothing_until_enabled(bench):
    bench.run(0.5)
    assert bench.report.mode is Mode.DISABLED
    assert bench.arm.written == []
    assert bench.level == "ok"


def test_enabling_waits_for_power_and_writes_the_measured_pose_first(bench):
    bench.arm.position[JOINT2] = 0.3
    bench.driver.enable()
    assert bench.run(PERIOD).mode is Mode.ENABLING
    assert bench.run(0.5).mode is Mode.ACTIVE
    assert all(written[JOINT2] == pytest.approx(0.3) for written in bench.arm.written)


def test_motors_that_do_not_come_up_are_a_fault(bench):
    bench.arm.power_delay = 10**9
    bench.driver.enable()
    assert bench.run(5.5).mode is Mode.FAULT
    assert "did not come up" in bench.driver.reason


def test_follows_a_chunk_of_the_selected_source(active):
    assert active.send(joint2=1.2)
    active.run(0.1)
    assert active.report.source == "policy"
    active.run(1.2)
    assert active.driver.measured[JOINT2] == pytest.approx(1.2, abs=1e-3)


def test_ignores_a_source_that_does_not_hold_the_robot(active):
    assert not active.send(source="teleop", joint2=1.2)
    active.run(0.5)
    assert active.driver.measured == pytest.approx(CONTRACT.home)


@pytest.mark.parametrize("trouble", ["disabled", "stopped"])
def test_refuses_chunks_unless_active(bench, trouble):
    if trouble == "stopped":
        bench.driver.enable()
        bench.run(0.5)
        bench.driver.stop()
    bench.driver.select_source("policy")
    with pytest.raises(CommandRefused, match=f"the driver is {trouble}.*call driver/enable"):
        bench.send(joint2=1.2)


def test_refuses_stale_chunks_and_stays(active):
    with pytest.raises(CommandRefused, match="last step was due"):
        active.send(joint2=2.0, age=1.6)
    active.run(0.5)
    assert active.driver.measured == pytest.approx(CONTRACT.home)


def test_refuses_a_chunk_older_than_the_one_it_plays(active):
    active.send(joint2=1.0)
    with pytest.raises(CommandRefused, match="older than the one being played"):
        active.send(joint2=1.2, age=0.1)


def test_refuses_a_chunk_of_another_size(active):
    with pytest.raises(CommandRefused, match="expected 7 joints, got 6"):
        active.driver.receive(
            ActionChunk(np.zeros((2, 6)), np.array([0.0, 1.0]), active.now, "policy"), active.now
        )


def test_a_wrong_chunk_cannot_make_it_jump(active):
    path = [active.driver.measured]
    for value in (3.1, 0.0, 99.0, -99.0) * 5:
        active.send(joint1=value, joint2=-value)
        for _ in range(20):
            path.append(active.run(PERIOD).target)
    speed = np.diff(path, axis=0) / PERIOD
    limits = CONTRACT.limits
    assert (np.abs(speed) <= limits.velocity + 1e-6).all()
    assert (np.abs(np.diff(speed, axis=0)) / PERIOD <= limits.acceleration * (1 + 1e-6)).all()
    assert (np.array(path) >= limits.lower - 1e-9).all()
    assert (np.array(path) <= limits.upper + 1e-9).all()


def test_the_first_target_is_ramped_to_slowly(active):
    active.send(joint2=2.0)
    path = [active.run(PERIOD).target[JOINT2] for _ in range(100)]
    assert np.diff(path).max() / PERIOD <= 0.3 * CONTRACT.limits.velocity[JOINT2] + 1e-6


def test_a_new_source_is_ramped_to_slowly(active):
    active.send(joint2=1.0)
    active.run(1.0)
    active.driver.select_source("teleop")
    assert active.run(0.1).source == "hold"
    active.send(source="teleop", joint2=2.0)
    path = [active.run(PERIOD).target[JOINT2] for _ in range(100)]
    assert np.diff(path).max() / PERIOD <= 0.3 * CONTRACT.limits.velocity[JOINT2] + 1e-6


def test_holds_once_two_policy_periods_pass_after_the_last_step(active):
    active.send(joint2=0.95, steps=3)  # its last step is due 0.2 s from now
    assert active.run(0.39).source == "policy"
    assert active.run(0.03).source == "hold"
    assert active.report.target == pytest.approx(active.driver.measured)
    assert "nothing to play from policy" in active.driver.reason
    assert active.level == "warn"


def test_goes_on_when_chunks_come_again(active):
    active.run(1.0)
    active.send(joint2=1.0)
    assert active.run(0.1).source == "policy"
    assert active.level == "ok"


def test_stop_brakes_holds_with_power_and_is_latched_until_enable(active):
    active.send(joint2=2.0)
    active.run(0.5)
    active.driver.stop()
    active.run(0.5)
    place = active.driver.measured
    assert 0.9 < place[JOINT2] < 1.5
    active.driver.select_source("none")
    active.driver.select_source("policy")
    active.run(1.0)
    assert active.report.mode is Mode.STOPPED
    assert active.driver.measured == pytest.approx(place)
    assert active.arm.powered
    active.driver.enable()
    assert active.run(0.5).mode is Mode.ACTIVE
    assert active.driver.measured == pytest.approx(place)


@pytest.mark.parametrize("end", ["stop", "fault", "silence"])
def test_an_enable_afterwards_holds_until_a_source_is_selected_anew(active, end):
    active.send(joint2=1.2)
    if end == "stop":
        active.driver.stop()
    elif end == "fault":
        active.driver.fail("step: division by zero")
    else:
        active.arm.deaf_since = active.now
        active.run(0.6)
        active.arm.deaf_since = None
    active.run(0.5)
    active.driver.enable()
    active.run(0.5)
    assert active.report.mode is Mode.ACTIVE
    assert active.driver.source == "none"
    place = active.driver.measured
    assert not active.send(joint2=2.0)
    assert active.run(0.5).target == pytest.approx(place)


def test_stop_counts_while_feedback_misses_a_motor(active):
    active.send(joint2=2.0)
    active.run(0.5)
    active.arm.powered = False  # one report that says otherwise is no loss of power yet
    active.arm._asked = 0
    active.run(0.05)
    active.driver.stop()
    assert active.driver.mode is Mode.STOPPED
    active.arm.powered = True
    active.run(0.3)
    place = active.driver.measured
    assert active.run(0.5).target == pytest.approx(place)


def test_a_stopped_arm_that_loses_power_says_so(active):
    active.driver.stop()
    active.run(0.2)
    active.arm.disable()
    active.run(0.3)
    assert active.report.mode is Mode.FAULT
    assert "it may be falling" in active.driver.reason
    assert "holds" not in active.driver.reason


def test_a_fault_of_a_stopped_arm_is_told_and_leaves_it_stopped(active):
    active.driver.stop()
    active.arm.faults = ("joint3: motor is too hot",)
    active.run(0.2)
    assert active.report.mode is Mode.STOPPED
    assert "joint3: motor is too hot" in active.driver.diagnostics(active.now).message


def test_power_is_cut_until_no_motor_has_any(active):
    active.arm.stuck_power = ("joint3",)
    active.driver.fail("joint3: drive error")
    active.arm.powered = False
    active.run(0.1)
    active.driver.disable()
    active.run(0.5)
    assert active.arm.cuts >= 5
    assert "being cut" in active.driver.reason
    active.arm.stuck_power = ()
    active.run(0.1)
    assert active.driver.reason.startswith("an operator cut the motors' power")


def test_power_is_cut_at_least_once_however_things_look(active):
    active.driver.stop()
    active.arm.powered = False
    active.driver.disable()
    active.run(0.1)
    assert active.arm.cuts >= 1


def test_a_joint_that_is_held_back_has_little_to_make_up_for(active):
    active.follow(1.0, joint2=0.95)
    active.arm.blocked = {JOINT2: 0.95}
    lead = 0.0
    for _ in range(4):
        active.send(joint2=3.0)
        for _ in range(20):
            lead = max(lead, active.run(PERIOD).target[JOINT2] - 0.95)
    assert 0.2 < lead <= 0.25 + 1e-9


def test_feedback_that_comes_back_must_last_before_it_is_believed(active):
    active.arm.deaf_since = active.now
    active.run(0.6)
    active.arm.deaf_since = None
    assert active.run(0.05).mode is Mode.SILENT
    assert active.run(0.1).mode is Mode.STOPPED


def test_a_chunk_that_reaches_too_far_ahead_is_refused(active):
    with pytest.raises(CommandRefused, match=r"expected steps within 2 s.*got one 2\.90 s after it"):
        active.send(joint2=1.0, steps=30)


def test_stop_while_enabling_without_power_gives_up(bench):
    bench.arm.power_delay = 10**9
    bench.driver.enable()
    bench.run(0.1)
    bench.driver.stop()
    assert bench.run(0.1).mode is Mode.DISABLED


def test_disable_drops_an_arm_only_after_a_stop(active):
    with pytest.raises(CommandRefused, match=r"the arm falls.*Support the arm, call driver/stop"):
        active.driver.disable()
    assert active.run(0.1).mode is Mode.ACTIVE
    active.driver.stop()
    active.driver.disable()
    assert active.run(0.1).mode is Mode.DISABLED
    assert not active.arm.powered


def test_an_arm_left_powered_by_an_earlier_driver_is_not_dropped_at_once(bench):
    bench.arm.powered = True
    bench.run(0.1)
    with pytest.raises(CommandRefused, match="call driver/stop"):
        bench.driver.disable()
    bench.driver.stop()
    assert bench.run(0.1).mode is Mode.STOPPED
    bench.driver.disable()
    bench.run(0.1)
    assert not bench.arm.powered


def test_home_goes_to_the_home_pose_slowly_and_holds(bench):
    bench.arm.position[JOINT2] = 0.2
    bench.driver.enable()
    bench.run(0.5)
    bench.driver.home()
    path = [bench.run(PERIOD).target[JOINT2] for _ in range(600)]
    assert np.diff(path).max() / PERIOD <= 0.3 * CONTRACT.limits.velocity[JOINT2] + 1e-6
    assert bench.driver.measured == pytest.approx(CONTRACT.home, abs=2e-3)
    assert bench.report.source == "hold"


def test_home_is_refused_while_a_source_holds_the_robot(active):
    with pytest.raises(CommandRefused, match="policy holds the robot; set command_source to none"):
        active.driver.home()


def test_an_unknown_source_is_refused(bench):
    with pytest.raises(CommandRefused, match="expected one of"):
        bench.driver.select_source("joystick")


def test_old_feedback_pauses_and_fresh_feedback_goes_on(active):
    active.send(joint2=2.0)
    active.run(0.2)
    active.arm.deaf_since = active.now
    active.run(0.2)
    assert active.report.source == "hold"
    assert active.report.mode is Mode.ACTIVE
    active.arm.deaf_since = None
    assert active.run(0.05).source == "policy"


def test_silence_holds_says_what_to_do_and_waits_for_enable(active):
    active.send(joint2=2.0)
    active.run(0.2)
    active.arm.deaf_since = active.now
    active.run(0.6)
    assert active.report.mode is Mode.SILENT
    assert active.level == "error"
    assert (
        "no feedback on can0 for 0.5 s. The arm holds its last target while it has power. Check the cable"
        in active.driver.diagnostics(0.0).message
    )
    place = active.arm.position.copy()
    for refused in (active.driver.enable, active.driver.disable, active.driver.stop):
        with pytest.raises(CommandRefused, match="no feedback"):
            refused()
    active.run(3.0)
    assert active.arm.reopened >= 2
    active.arm.deaf_since = None
    active.run(0.5)
    assert active.report.mode is Mode.STOPPED
    assert active.arm.position == pytest.approx(place, abs=1e-9)
    active.driver.enable()
    active.driver.select_source("policy")
    active.run(0.5)
    active.send(joint2=2.0)
    path = [active.run(PERIOD).target[JOINT2] for _ in range(100)]
    assert path[0] == pytest.approx(place[JOINT2], abs=1e-3)  # ramped from the measured pose
    assert np.diff(path).max() / PERIOD <= 0.3 * CONTRACT.limits.velocity[JOINT2] + 1e-6


def test_an_arm_that_lost_power_while_silent_is_disabled_when_it_is_back(active):
    active.arm.deaf_since = active.now
    active.run(0.6)
    active.arm.disable()
    active.arm.deaf_since = None
    assert active.run(0.2).mode is Mode.DISABLED


def test_a_bus_that_cannot_be_reopened_is_explained(active):
    def fail():
        raise HardwareError("piper: expected can0 to be up, found it down")

    active.arm.recover = fail
    active.arm.deaf_since = active.now
    active.run(1.0)
    assert "expected can0 to be up" in active.driver.reason


def test_a_write_that_fails_is_a_silent_bus(active):
    def fail(position):
        raise HardwareError("piper: bus can0 is not open")

    active.arm.write = fail
    active.driver.step(active.now + PERIOD)
    assert active.driver.mode is Mode.SILENT


def test_a_fault_of_the_arm_holds_until_enable(active):
    active.send(joint2=2.0)
    active.run(0.3)
    active.arm.faults = ("joint3: motor is too hot",)
    active.run(0.5)
    place = active.driver.measured
    active.run(0.5)
    assert active.report.mode is Mode.FAULT
    assert active.level == "error"
    assert "joint3: motor is too hot; the arm holds" in active.driver.reason
    assert active.driver.measured == pytest.approx(place)
    active.arm.faults = ()
    active.driver.enable()
    assert active.run(0.5).mode is Mode.ACTIVE


def test_motors_that_lose_power_are_a_fault_and_are_not_commanded(active):
    active.arm.disable()
    active.run(0.5)
    assert active.report.mode is Mode.FAULT
    assert "lost their power" in active.driver.reason
    active.arm.written.clear()
    active.run(0.2)
    assert active.arm.written == []


def test_a_blocked_arm_gives_in_where_it_is_and_keeps_its_grip(active):
    active.arm.blocked = {GRIPPER: 0.03}
    active.follow(2.0, gripper=0.0)
    active.arm.blocked[JOINT2] = 0.9
    active.send(gripper=0.0, joint2=2.0)
    active.run(1.5)
    assert active.report.mode is Mode.FAULT
    assert "joint2 is blocked: commanded" in active.driver.reason
    assert active.report.target[JOINT2] == pytest.approx(0.9)
    assert active.report.target[GRIPPER] == pytest.approx(0.0, abs=1e-3)


def test_a_gripper_that_holds_something_is_no_fault(active):
    active.arm.blocked = {GRIPPER: 0.03}
    assert active.follow(3.0, gripper=0.0).mode is Mode.ACTIVE


def test_an_error_of_the_program_holds(active):
    active.driver.fail("step: division by zero")
    assert active.run(0.1).mode is Mode.FAULT
    assert active.report.source == "hold"


def test_diagnostics_count_what_came_in(active):
    active.send(joint2=1.0)
    active.send(source="teleop")
    active.driver.note_refusal(CommandRefused("policy chunk: too old"))
    values = active.driver.diagnostics(active.now).values
    assert (values["chunks_accepted"], values["chunks_ignored"], values["chunks_refused"]) == (1, 1, 1)
    assert values["last_refusal"] == "policy chunk: too old"


def test_a_first_chunk_that_comes_late_is_played_from_its_beginning(active):
    target = CONTRACT.home.copy()
    times = np.arange(1, 17) / CONTRACT.policy_rate_hz
    ramp = np.zeros((16, CONTRACT.size))
    ramp[:, JOINT2] = 0.08 * np.arange(1, 17)
    active.driver.receive(ActionChunk(target + ramp, times, active.now - 0.4, "policy"), active.now)
    active.run(0.15)
    assert active.report.target[JOINT2] - target[JOINT2] < 0.15  # entered in its middle it would be at 0.4
    active.run(0.65)
    assert active.report.target[JOINT2] - target[JOINT2] == pytest.approx(0.64, abs=0.05)


def test_a_late_chunk_observed_before_the_robot_moved_does_not_lead_it_back(active):
    active.send(joint2=1.2, steps=5)
    observed = active.now
    active.run(1.5)  # moves, then holds for want of a chunk
    assert active.report.source == "hold"
    assert active.driver.resting
    where = active.driver.measured[JOINT2]
    times = np.linspace(0.1, 2.0, 20)
    plan = np.tile(active.arm.position, (20, 1))
    plan[:, JOINT2] = np.linspace(CONTRACT.home[JOINT2], where, 20)  # still begins where the robot was
    active.driver.receive(ActionChunk(plan, times, observed, "policy"), active.now)
    lowest = min(active.run(PERIOD).target[JOINT2] for _ in range(100))
    middle = 0.5 * (CONTRACT.home[JOINT2] + where)
    assert lowest > middle - 0.02  # played by time; from its beginning it would go back towards home
