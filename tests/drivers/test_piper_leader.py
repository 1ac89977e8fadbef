"""A PiPER leader on an emulated bus of its own, heard through python-can."""

import time
import uuid

import numpy as np
import pytest

from mivla_drivers.contract import load_contract
from mivla_drivers.errors import HardwareError
from mivla_drivers.robots.piper import protocol
from mivla_drivers.robots.piper.leader import PiperLeader
from mivla_drivers.robots.piper.leader_emulator import EmulatedPiperLeader, LinkFaults
from mivla_drivers.transport.bus_lock import BusTaken
from mivla_drivers.transport.emulated_can import EmulatedCanBus

pytestmark = pytest.mark.paced

HOME = load_contract("piper").home


class Hand:
    """Holds the leader still, or swings its first joint."""

    def __init__(self):
        self.swings = False

    def __call__(self, now):
        place = HOME.copy()
        place[0] += 0.3 * np.sin(2 * np.pi * now) if self.swings else 0.0
        return place


@pytest.fixture(scope="module")
def rig():
    hand, name = Hand(), f"leader-{uuid.uuid4().hex[:8]}"
    with EmulatedPiperLeader(name, hand) as emulated:
        leader = PiperLeader(f"emulated:{name}")
        leader.open()
        emulated.hand_, emulated.name = hand, name
        yield emulated, leader
        leader.close()


@pytest.fixture
def swinging(rig):
    emulated, leader = rig
    emulated.faults, emulated.hand_.swings = LinkFaults(), True
    wait(lambda: fresh(leader))
    wait(lambda: not leader.problem(time.monotonic()))
    return emulated, leader


def wait(condition, seconds=3.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.005)


def fresh(leader, within=0.1):
    reading = leader.read(time.monotonic())
    return reading is not None and time.monotonic() - reading.received < within


def test_its_pose_is_heard_to_a_thousandth_of_a_degree(swinging):
    emulated, leader = swinging
    emulated.hand_.swings = False
    wait(lambda: leader.read(time.monotonic()).position == pytest.approx(HOME, abs=2e-5))


def test_it_is_silent_while_it_is_not_moved(swinging):
    emulated, leader = swinging
    emulated.hand_.swings = False
    wait(lambda: not fresh(leader, 0.4))
    assert leader.problem(time.monotonic()) == ""


def test_one_whose_cable_is_out_is_told_from_one_that_rests_and_is_back_once_it_is_plugged_in(swinging):
    emulated, leader = swinging
    emulated.hand_.swings = False
    wait(lambda: not fresh(leader, 0.4))
    resting = [leader.problem(time.monotonic()) for _ in range(100) if time.sleep(0.01) is None]
    assert set(resting) == {""}
    emulated.faults = LinkFaults(silent=True)
    wait(lambda: "nobody is on the leader's bus" in leader.problem(time.monotonic()))
    emulated.faults = LinkFaults()
    wait(lambda: leader.problem(time.monotonic()) == "")
    assert not fresh(leader, 0.4)  # it never said a word


def test_a_follower_on_the_leaders_bus_is_noticed(swinging):
    emulated, leader = swinging
    emulated.faults = LinkFaults(feedback=True)
    wait(lambda: "a follower is on the leader's bus" in leader.problem(time.monotonic()))


def test_an_arm_that_was_not_made_a_leader_is_named_with_what_to_do(swinging):
    emulated, leader = swinging
    emulated.hand_.swings, emulated.faults = False, LinkFaults(feedback=True)
    bus = EmulatedCanBus(emulated.name)
    end = time.monotonic() + 3.0
    while "is a follower" not in leader.problem(time.monotonic()):
        assert time.monotonic() < end
        bus.send_frames(protocol.frame(protocol.STATUS_FEEDBACK, bytes(8)))
        time.sleep(0.02)
    assert "MasterSlaveConfig(0xFA, 0, 0, 0)" in leader.problem(time.monotonic())
    bus.shutdown()


def test_offset_identifiers_are_named(swinging):
    emulated, leader = swinging
    bus = EmulatedCanBus(emulated.name)
    bus.send_frames(protocol.frame(0x165, bytes(8)))
    wait(lambda: "offset identifiers" in leader.problem(time.monotonic()))
    bus.shutdown()


def test_a_bus_with_another_listener_that_leads_is_refused(rig):
    emulated, _ = rig
    with pytest.raises(BusTaken):
        PiperLeader(f"emulated:{emulated.name}").open()


def test_a_bus_that_is_not_there_is_refused():
    with pytest.raises(HardwareError, match="expected an emulated leader on bus emulated:nowhere"):
        PiperLeader("emulated:nowhere").open()
    with pytest.raises(HardwareError, match="expected CAN interface can77"):
        PiperLeader("can77").open()


def test_a_leader_whose_bus_goes_is_a_problem():
    name = f"leader-{uuid.uuid4().hex[:8]}"
    emulated = EmulatedPiperLeader(name, Hand())
    emulated.start()
    leader = PiperLeader(f"emulated:{name}")
    leader.open()
    emulated.close()
    wait(lambda: "is gone" in leader.problem(time.monotonic()))
    leader.close()


def test_the_frames_are_those_that_the_vendors_sdk_reads():
    import can
    from piper_sdk import C_PiperInterface_V2, LogLevel

    sdk = C_PiperInterface_V2("leader-frames", False, False, logger_level=LogLevel.SILENT)
    place = np.array([0.1, 0.8, -0.9, 0.1, 0.6, -0.2, 0.05])
    emulated = EmulatedPiperLeader(f"leader-{uuid.uuid4().hex[:8]}", Hand())
    for packed in emulated._frames(place, LinkFaults()):
        frame_id, length, data = protocol.FRAME.unpack(packed)
        sdk.ParseCANFrame(can.Message(arbitration_id=frame_id, data=data[:length], is_extended_id=False))
    told = sdk.GetArmJointCtrl().joint_ctrl
    joints = np.deg2rad([getattr(told, f"joint_{i}") / 1000 for i in range(1, 7)])
    assert joints == pytest.approx(place[:6], abs=1e-5)
    assert sdk.GetArmGripperCtrl().gripper_ctrl.grippers_angle == 50000
