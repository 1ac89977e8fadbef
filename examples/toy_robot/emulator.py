"""One emulated arm of the toy at the other end of its bus: `Emulator`."""

from __future__ import annotations

import logging

import numpy as np

from mivla_drivers.contract import PartConfig, RobotContract
from mivla_drivers.control.control_loop import ControlLoop
from mivla_drivers.robots.emulator import emulated_name
from mivla_drivers.robots.plant import Plant
from mivla_drivers.transport.can_hub import FRAME, CanHub
from mivla_drivers.transport.emulated_can import EmulatedCanBus

from . import wire

logger = logging.getLogger(__name__)


def make_emulator(
    contract: RobotContract, part: PartConfig, plant: Plant, feedback_rate_hz: float
) -> EmulatedArm:
    """The arm that is `part` of the robot, moving its joints of the world; the registry calls this."""
    return EmulatedArm(emulated_name(part), plant, feedback_rate_hz)


class EmulatedArm:
    """Seven motors on a bus of their own: obey commands, and tell their state `feedback_rate_hz` times a second.

    Attributes:
        hot: which motors are too hot, shape (7,) bool; one that is goes limp. A test may set it.
        silent: they send nothing, and go on obeying. A test may set it.
    """

    def __init__(self, bus_name: str, plant: Plant, feedback_rate_hz: float) -> None:
        """`start` opens the bus."""
        self._hub = CanHub(bus_name)
        self._bus_name, self._plant = bus_name, plant
        self._bus: EmulatedCanBus | None = None
        self._target = plant.state().position.copy()
        self._powered = np.zeros(len(self._target), dtype=bool)
        self.hot = np.zeros(len(self._target), dtype=bool)
        self.silent = False
        self._loop = ControlLoop(self._step, feedback_rate_hz, self._report, name=f"toy-{bus_name}")

    def start(self) -> None:
        """Open the bus and start the motors' thread.

        Raises:
            HardwareError: the bus is taken.
        """
        self._hub.start_with(self._join, self._loop.start)

    def _join(self) -> None:
        self._bus = EmulatedCanBus(self._bus_name)

    def close(self) -> None:
        """End the thread, then the bus; the plant keeps its last order."""
        self._loop.stop()
        if self._bus is not None:
            self._bus.shutdown()
            self._bus = None
        self._hub.close()

    def _step(self, now: float) -> None:
        assert self._bus is not None
        for identifier, length, data in self._bus.receive_frames():
            self._obey(identifier, data[:length])
        self._plant.drive(self._target, self._powered & ~self.hot)
        if not self.silent:
            self._bus.send_frames(self._feedback(), timeout=0.0)

    def _obey(self, identifier: int, data: bytes) -> None:
        motor = identifier - wire.TARGET - 1
        if identifier == wire.POWER and len(data) == 1:
            self._powered[:] = data[0] == 1
        elif 0 <= motor < len(self._target) and len(data) == wire.TARGET_DATA.size:
            self._target[motor] = wire.TARGET_DATA.unpack(data)[0] * wire.POSITION_UNIT

    def _feedback(self) -> bytes:
        """The frames of all motors, as one packet."""
        state = self._plant.state()
        status = self._powered * wire.POWERED | self.hot * wire.HOT
        frames = b""
        for i in range(len(self._target)):
            data = wire.FEEDBACK_DATA.pack(
                wire.whole(state.position[i], wire.POSITION_UNIT, 32),
                wire.whole(state.velocity[i], wire.VELOCITY_UNIT, 16),
                wire.whole(state.effort[i], wire.EFFORT_UNIT, 8),
                int(status[i]),
            )
            frames += FRAME.pack(wire.FEEDBACK + i + 1, len(data), data)
        return frames

    def _report(self, error: Exception) -> None:
        logger.error("emulated toy on bus %s: %s", self._bus_name, error)
