"""A PiPER as a leader: the command frames that it sends on its own bus, heard and never answered.

A leader (master mode, 0xFA) sends 0x151, 0x155 to 0x157 and 0x159, no feedback, and nothing while it is not moved.
A follower on the same bus would obey these frames itself, past the safety gate: what such an arm sends is noticed.
A leader that is not moved sends as little as one whose cable is out: while the bus is silent, an empty frame that no
device uses (0x7FF) is sent there, which a leader with power acknowledges. Nothing else is ever sent on this bus.
"""

from __future__ import annotations

import math
import os

import can
import numpy as np

from mivla_drivers.contract import EMULATED, RobotContract
from mivla_drivers.errors import ContractError, HardwareError
from mivla_drivers.robots.piper import protocol
from mivla_drivers.teleop.leader_file import LeaderForm
from mivla_drivers.teleop.source import LeaderReading
from mivla_drivers.transport import socketcan
from mivla_drivers.transport.ack_probe import PROBE_ID, AckProbe
from mivla_drivers.transport.bus_lock import BusLock
from mivla_drivers.transport.can_hub import socket_path
from mivla_drivers.transport.frame_reader import FrameReader

JOINTS = ("joint1", "joint2", "joint3", "joint4", "joint5", "joint6", "gripper")
RECENT_S = 1.0  # what was heard within it is on the bus now
ASK_S = 2.0  # from one look at a silent interface to the next
FEEDBACK = frozenset((*protocol.FAST_FEEDBACK, *protocol.SLOW_FEEDBACK))
SHIFTED = frozenset(range(0x2B1, 0x2D0)) | frozenset(
    range(0x161, 0x180)
)  # of a leader with offset identifiers
MAKE_LEADER = (
    'python -c "from piper_sdk import *; '
    "p=C_PiperInterface_V2('{bus}'); p.ConnectPort(); p.MasterSlaveConfig(0xFA, 0, 0, 0)\""
)


def open_source(form: LeaderForm, contract: RobotContract) -> PiperLeader:
    """The PiPER on the file's bus.

    Raises:
        ContractError: no bus is named, or it is the robot's own.
    """
    if not form.bus:
        raise ContractError(
            "leader file: bus: expected the leader's CAN interface, such as can1, found nothing"
        )
    if form.bus in {part.bus for part in contract.parts}:
        raise ContractError(
            f"leader file: bus: expected a bus of the leader's own, found {form.bus}, which is the robot's: an arm "
            "on the leader's bus obeys it directly, past every limit. Use a second USB-CAN adapter"
        )
    return PiperLeader(form.bus)


class PiperLeader:
    """Hears one PiPER leader; `TeleopSource`."""

    joints = JOINTS
    is_silent_at_rest = True
    always_changes = True

    def __init__(self, bus: str) -> None:
        """`bus` is a CAN interface, or emulated:NAME; `open` enters it."""
        self._bus = bus
        self._emulated = bus.startswith(EMULATED)
        self._channel = bus.removeprefix(EMULATED)
        self._lock = BusLock(f"{bus}/user{os.getuid()}" if self._emulated else bus)
        self._reader: FrameReader | None = None
        self._can: can.BusABC | None = None
        self._probe: AckProbe | None = None
        self._values: dict[int, tuple[float, ...]] = {}
        self._state, self._ask_at = "", -math.inf  # of the controller, where the bus is silent

    def open(self) -> None:
        """Enter the bus.

        Raises:
            HardwareError: another program leads or drives by it, or it cannot be opened.
        """
        self._lock.acquire()
        try:
            self._connect()
        except BaseException:
            self._lock.release()
            raise

    def _connect(self) -> None:
        if self._emulated:
            if not socket_path(self._channel).exists():
                raise HardwareError(
                    f"piper leader: expected an emulated leader on bus {self._bus}, found none"
                )
        else:
            socketcan.require_up(self._channel)
        interface = "mivla_emulated" if self._emulated else "socketcan"
        try:
            self._can = can.Bus(
                channel=self._channel,
                interface=interface,
                bitrate=socketcan.BITRATE,
                receive_own_messages=True,
            )
        except (OSError, can.CanError) as error:
            raise HardwareError(
                f"piper leader: cannot open {self._bus}: {error}. Check the adapter, then: "
                f"{socketcan.commands(self._channel)}"
            ) from error
        self._probe = AckProbe(self._can)
        self._reader = FrameReader(self._can, self._take, f"leader-{self._channel}")
        self._reader.start()

    def read(self, now: float) -> LeaderReading | None:
        """The newest pose; None before every frame of one has come. A gripper that says nothing is where it was."""
        if self._reader is None:
            return None
        arrival = self._reader.arrival
        if any(frame_id not in arrival for frame_id in protocol.JOINT_CONTROL):
            return None
        values = [self._values[frame_id] for frame_id in (*protocol.JOINT_CONTROL, protocol.GRIPPER_CONTROL)
                  if frame_id in self._values]  # fmt: skip
        position = np.array([number for pair in values for number in pair])
        if len(position) != len(JOINTS):
            return None
        return LeaderReading(position, min(arrival[frame_id] for frame_id in protocol.JOINT_CONTROL))

    def problem(self, now: float) -> str:
        """What is wrong on the bus; empty where nothing is."""
        reader = self._reader
        if reader is None or not reader.running:
            why = f" ({reader.error})" if reader is not None and reader.error else ""
            return f"the leader's bus {self._bus} is gone{why}: plug its adapter in and start teleoperation again"
        arrival = dict(reader.arrival)
        heard = max((when for frame_id, when in arrival.items() if frame_id != PROBE_ID), default=-math.inf)
        state = self._controller(now, heard)
        if state == "bus-off":
            return f"the leader's bus {self._bus} is off: look at its cable, then: {socketcan.commands(self._channel)}"
        if (self._probe is not None and self._probe.is_alone(now, heard)) or state == "error-passive":
            return (
                f"nobody is on the leader's bus {self._bus}: it is silent, and acknowledges nothing. Look at the "
                "leader's cable and power"
            )

        def recent(ids: frozenset[int]) -> bool:
            return any(now - arrival.get(i, -math.inf) < RECENT_S for i in ids)

        if recent(FEEDBACK) and recent(frozenset(protocol.JOINT_CONTROL)):
            return (
                f"a follower is on the leader's bus {self._bus}: it obeys the leader directly, past every limit. "
                "Unplug it; each arm needs an adapter of its own"
            )
        if recent(FEEDBACK):
            return (
                f"the arm on {self._bus} is a follower (it sends 0x2A1 to 0x2A8): make it a leader, and switch its "
                f"power off and on: {MAKE_LEADER.format(bus=self._channel)}"
            )
        if recent(SHIFTED):
            return (
                f"the leader on {self._bus} sends with offset identifiers: set them back, and switch its power off "
                f"and on: {MAKE_LEADER.format(bus=self._channel)}"
            )
        if protocol.GRIPPER_CONTROL not in arrival and recent(frozenset(protocol.JOINT_CONTROL)):
            return f"the leader on {self._bus} tells its joints and no gripper (0x159): is its gripper plugged in?"
        return ""

    def _controller(self, now: float, heard: float) -> str:
        """State of a silent bus's controller, as `socketcan.state`; it is asked rarely, which costs milliseconds."""
        if self._emulated or now - heard < RECENT_S:
            self._state = ""
        elif now >= self._ask_at:
            self._ask_at = now + ASK_S
            self._state = socketcan.state(self._channel)
        return self._state

    def follow(self, position: np.ndarray | None, now: float) -> bool:
        """A PiPER in leader mode takes no commands."""
        return False

    def close(self) -> None:
        """Leave the bus."""
        if self._reader is not None:
            self._reader.stop()
            self._reader.join()
            self._reader = None
        if self._can is not None:
            self._can.shutdown()
            self._can = None
        self._lock.release()

    def _take(self, message: can.Message, when: float) -> str:
        """Keep what a frame says; its kind of trouble where it says nothing."""
        if message.arbitration_id == PROBE_ID and self._probe is not None:
            self._probe.take()
            return ""
        if len(message.data) != 8:
            return "short"
        frame_id, data = message.arbitration_id, bytes(message.data)
        if frame_id in protocol.JOINT_CONTROL:
            self._values[frame_id] = protocol.decode_joint_pair(data)
        elif frame_id == protocol.GRIPPER_CONTROL:
            self._values[frame_id] = (protocol.decode_gripper(data).opening,)
        return ""
