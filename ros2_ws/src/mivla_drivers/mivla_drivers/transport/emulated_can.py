"""python-can's door to the emulated bus: interface `mivla_emulated`, channel = the hub's name."""

from __future__ import annotations

import math
import os
import select
import socket
import struct
import threading
import time
from collections import deque

import can

from mivla_drivers.errors import HardwareError
from mivla_drivers.transport.can_hub import BUS_ON, ECHO, FRAME, HELLO, PACKET_BYTES, socket_path

EXTENDED_FLAG, REMOTE_FLAG, ERROR_FLAG = 0x80000000, 0x40000000, 0x20000000  # flag bits of Linux's can_id
SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python's socket module does not name it
_STAMP = struct.Struct("qq")  # struct timespec: seconds, nanoseconds of system time
_STAMP_SPACE = socket.CMSG_SPACE(_STAMP.size)
_SEND_PATIENCE_S = 0.1  # for a hub that is briefly busy, where the caller names no time-out
_GREETING_PATIENCE_S = 2.0
_CLOSED_PAUSE_S = 1.0


def pack_frame(message: can.Message) -> bytes:
    """The 16 bytes of a classic CAN message.

    Raises:
        ValueError: a CAN FD message.
    """
    if message.is_fd:
        raise ValueError(
            "emulated bus: expected a classic CAN frame, got CAN FD. Send frames of at most 8 bytes."
        )
    flags = (
        EXTENDED_FLAG * message.is_extended_id
        | REMOTE_FLAG * message.is_remote_frame
        | ERROR_FLAG * message.is_error_frame
    )
    return FRAME.pack(message.arbitration_id | flags, message.dlc, bytes(message.data))


def unpack_frame(can_id: int, length: int, data: bytes, timestamp: float, channel: str) -> can.Message:
    """The message of a frame's three fields, received at `timestamp` [s, system time]."""
    extended = bool(can_id & EXTENDED_FLAG)
    return can.Message(
        timestamp=timestamp,
        arbitration_id=can_id & (0x1FFFFFFF if extended else 0x7FF),
        is_extended_id=extended,
        is_remote_frame=bool(can_id & REMOTE_FLAG),
        is_error_frame=bool(can_id & ERROR_FLAG),
        channel=channel,
        dlc=length,
        data=data[:length],
    )


class EmulatedCanBus(can.BusABC):
    """One controller on an emulated bus; one thread may read while others send."""

    def __init__(
        self,
        channel: str,
        can_filters: can.typechecking.CanFilters | None = None,
        local_loopback: bool = True,
        receive_own_messages: bool = False,
        **_settings_of_real_buses: object,
    ) -> None:
        """Join the bus named `channel`; bitrate and the like mean nothing here and are accepted.

        With `local_loopback` off, buses of this process do not hear each other, as on SocketCAN. With
        `receive_own_messages`, what was sent comes back once somebody else on the bus got it.

        Raises:
            HardwareError: no hub of that name runs, or it has switched the bus off. It is no can.CanError,
                since an SDK may swallow those while opening, and then read from a bus that is not there.
        """
        self.channel = channel
        self.channel_info = f"emulated bus {channel}"
        self._frames: deque[tuple[int, int, bytes]] = deque()
        self._stamp = 0.0
        self._closed = threading.Event()
        self._socket = self._connect(0 if local_loopback else os.getpid(), receive_own_messages)
        self._reader, self._writer = select.poll(), select.poll()
        self._reader.register(self._socket, select.POLLIN)
        self._writer.register(self._socket, select.POLLOUT)
        super().__init__(channel=channel, can_filters=can_filters)

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        """Send one classic frame, waiting at most `timeout` [s] for a busy hub.

        Raises:
            can.CanOperationError: the bus is off, its hub has gone, or it did not take the frame in time.
        """
        self.send_frames(pack_frame(msg), timeout)

    def send_frames(self, frames: bytes, timeout: float | None = None) -> None:
        """Send several packed frames in one packet (see `FRAME`); they arrive together.

        Raises:
            can.CanOperationError: as `send`.
        """
        try:
            self._socket.send(frames, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._send_patiently(frames, _SEND_PATIENCE_S if timeout is None else timeout)
        except OSError as error:
            raise self._off(error) from error

    def receive_frames(self) -> list[tuple[int, int, bytes]]:
        """All frames that have arrived, as (can_id, length, data); never waits.

        Raises:
            can.CanOperationError: the bus is off or its hub has gone.
        """
        frames = list(self._frames)
        self._frames.clear()
        while packet := self._packet():
            frames.extend(FRAME.iter_unpack(packet))
        return frames

    def shutdown(self) -> None:
        """Leave the bus; a reader that waits in `recv` in another thread is woken with an error."""
        super().shutdown()
        self._closed.set()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            self._frames.clear()  # the hub went first
        self._socket.close()

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        if not self._frames:
            self._fill(timeout)
        if not self._frames:
            return None, False
        return unpack_frame(*self._frames.popleft(), timestamp=self._stamp, channel=self.channel), False

    def _fill(self, timeout: float | None) -> None:
        """Wait for a packet and queue its frames."""
        try:
            if not self._closed.is_set():
                self._reader.poll(None if timeout is None else max(0, math.ceil(timeout * 1000)))
            packet = self._packet()
        except can.CanOperationError:
            # An SDK's read thread may try again at once, forever; without this pause it would eat a core.
            self._closed.wait(_CLOSED_PAUSE_S if timeout is None else min(timeout, _CLOSED_PAUSE_S))
            raise
        self._frames.extend(FRAME.iter_unpack(packet))

    def _packet(self) -> bytes:
        """The next packet, or b"" where none waits; it is dated by the kernel, as frames of SocketCAN are."""
        try:
            packet, ancillary, _, _ = self._socket.recvmsg(PACKET_BYTES, _STAMP_SPACE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._off(error) from error
        if not packet or len(packet) % FRAME.size:
            raise self._off(ConnectionResetError(f"a packet of {len(packet)} bytes"))
        stamps = [_STAMP.unpack(data) for _, kind, data in ancillary if kind == SO_TIMESTAMPNS]
        self._stamp = stamps[0][0] + 1e-9 * stamps[0][1] if stamps else time.time()
        return packet

    def _send_patiently(self, frames: bytes, timeout: float) -> None:
        self._writer.poll(max(0, math.ceil(timeout * 1000)))
        try:
            self._socket.send(frames, socket.MSG_DONTWAIT)
        except BlockingIOError as error:
            raise can.CanOperationError(
                f"{self.channel_info}: expected the hub to take a frame within {timeout:.3f} s, it did not. "
                "The simulator is overloaded or stopped."
            ) from error
        except OSError as error:
            raise self._off(error) from error

    def _off(self, error: OSError) -> can.CanOperationError:
        return can.CanOperationError(
            f"{self.channel_info}: expected a bus that is on, got {error}. "
            "Its hub ended or switched the bus off: start the simulator again, then open the bus again."
        )

    def _connect(self, station: int, echo: bool) -> socket.socket:
        path = socket_path(self.channel)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(_GREETING_PATIENCE_S)
        try:
            connection.connect(str(path))
            connection.send(HELLO.pack(station | ECHO * echo))
            answer = connection.recv(PACKET_BYTES)
        except OSError as error:
            connection.close()
            raise HardwareError(
                f"{self.channel_info}: expected a hub that listens on {path}, got {error}. "
                "Start the simulator first, with the same bus name, user and XDG_RUNTIME_DIR: "
                "mivla launch ROBOT.launch.yaml sim:=true"
            ) from error
        if answer != BUS_ON:
            connection.close()
            raise HardwareError(
                f"{self.channel_info}: expected a bus that is on, got bus-off from the hub on {path}. "
                "Switch it on again (CanHub.bus_on), then open the bus again."
            )
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        return connection
