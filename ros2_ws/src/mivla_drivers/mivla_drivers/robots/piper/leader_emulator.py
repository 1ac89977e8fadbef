"""An emulated PiPER in leader mode, with a hand on it: command frames on a bus of its own, silence at rest.

Source: piper_sdk's double_piper.MD (0x151, 0x155 to 0x157 and 0x159, no feedback) and its maintainers in issue 112 (a
leader that is not moved is silent).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import can
import numpy as np

from mivla_drivers.contract import RobotContract
from mivla_drivers.control.control_loop import ControlLoop
from mivla_drivers.robots.piper import protocol
from mivla_drivers.robots.piper.protocol import GripperCommand
from mivla_drivers.transport.bus_connection import BusConnection
from mivla_drivers.transport.can_hub import CanHub

RATE_HZ = 200.0
MOVED = 2e-4  # [rad or m]; less than this within `REST_S` is no motion
REST_S = 0.2
MODE_FRAME = protocol.frame(
    protocol.MODE_CONTROL, bytes([1, 1, 100, 0xAD])
)  # CAN control, joints, full speed, follow
ON = 1  # gripper code

Hand = Callable[[float], np.ndarray]


@dataclass(frozen=True)
class LinkFaults:
    """What is wrong between the leader and its listener.

    Attributes:
        lost: share of frames that do not arrive.
        jitter_s: each batch of frames is late by up to this [s]; none overtakes another.
        silent: the cable is out: it is not on the bus any more.
        frozen: it goes on sending what it sent before, whatever the hand does.
        feedback: a follower's frames are on the bus as well.
        no_gripper: it sends no gripper frame.
    """

    lost: float = 0.0
    jitter_s: float = 0.0
    silent: bool = False
    frozen: bool = False
    feedback: bool = False
    no_gripper: bool = False


def make_leader(contract: RobotContract, bus: str, hand: Hand) -> EmulatedPiperLeader:
    """A PiPER leader on the emulated bus of this name."""
    return EmulatedPiperLeader(bus, hand)


class EmulatedPiperLeader:
    """A leader arm together with the bus that it is alone on; a context manager.

    Attributes:
        faults: what is wrong with the link; may be replaced at any time.
    """

    def __init__(self, bus_name: str, hand: Hand, seed: int = 0) -> None:
        """`hand` says where a hand holds the arm at a moment [s, steady clock]: six joints [rad], gripper [m]."""
        self.faults = LinkFaults()
        self._hub = CanHub(bus_name)
        self._connection = BusConnection(bus_name, "emulated PiPER leader")
        self._hand = hand
        name = f"leader-{bus_name}"  # an arm keeps its own time, whatever else this machine does
        self._loop = ControlLoop(self.step, RATE_HZ, self._connection.report, name=name, realtime=True)
        self._rng = np.random.default_rng(seed)
        self._places: deque[tuple[float, np.ndarray]] = deque()
        self._late: deque[tuple[float, bytes]] = deque()
        self._frozen: bytes | None = None
        self._lock = threading.Lock()
        self._where = np.zeros(7)

    def __enter__(self) -> EmulatedPiperLeader:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Open the bus and come alive.

        Raises:
            HardwareError: another hub of this name runs.
        """
        self._hub.start_with(self._connection.open, self._loop.start)

    def close(self) -> None:
        """Switch it off."""
        self._loop.stop()
        self._connection.close()
        self._hub.close()

    def disturb(self, lost: float, jitter_s: float) -> None:
        """A link that loses a share of its frames, and delivers them late by up to `jitter_s` [s]."""
        self.faults = LinkFaults(lost=lost, jitter_s=jitter_s)

    @property
    def position(self) -> np.ndarray:
        """Where the hand holds it, (7,)."""
        with self._lock:
            return self._where.copy()

    def step(self, now: float) -> None:
        """Send what is due at `now` [s, steady clock]."""
        if self.faults.silent:
            self._connection.close()
            self._late.clear()
        elif self._connection.bus is None:
            self._connection.join_again(now)
        position = np.asarray(self._hand(now), dtype=float)
        with self._lock:
            self._where = position
        faults, bus = self.faults, self._connection.bus
        if bus is None:
            return
        frames = b"".join(self._frames(position, faults)) if self._is_moved(position, now) else b""
        if faults.frozen:
            frames = self._frozen = self._frozen or b"".join(self._frames(position, faults))
        else:
            self._frozen = None
        if faults.feedback:
            frames += protocol.frame(protocol.STATUS_FEEDBACK, bytes(8))
        if frames:
            due = now + self._rng.uniform(0.0, faults.jitter_s)
            self._late.append((max(due, self._late[-1][0] if self._late else due), frames))
        try:
            while self._late and self._late[0][0] <= now:
                bus.send_frames(self._late.popleft()[1], timeout=0.0)
        except can.CanError as error:
            self._connection.lose(error, now)

    def _is_moved(self, position: np.ndarray, now: float) -> bool:
        self._places.append((now, position))
        while self._places[0][0] < now - REST_S:
            self._places.popleft()
        return bool(np.abs(position - self._places[0][1]).max() > MOVED)

    def _frames(self, position: np.ndarray, faults: LinkFaults) -> list[bytes]:
        frames = [MODE_FRAME]
        for pair, frame_id in enumerate(protocol.JOINT_CONTROL):
            first, second = position[2 * pair : 2 * pair + 2]
            frames.append(protocol.frame(frame_id, protocol.encode_joint_pair(first, second)))
        if not faults.no_gripper:
            gripper = protocol.encode_gripper(GripperCommand(float(position[6]), 1.0, ON, False))
            frames.append(protocol.frame(protocol.GRIPPER_CONTROL, gripper))
        return [frame for frame in frames if self._rng.random() >= faults.lost]
