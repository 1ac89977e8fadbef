"""One driver a bus: a lock that no crash leaves behind."""

from __future__ import annotations

import socket
import struct

from mivla_drivers.errors import HardwareError

CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred, unix(7)


class BusTaken(HardwareError):
    """Another driver holds the bus; waiting does not help."""


class BusLock:
    """Holds a bus for this process, against every other process that could reach the same bus.

    An abstract socket name is the lock: the kernel frees it when its process ends in any way, all users share
    it, and its reach is the network namespace, which is a CAN interface's reach too.
    """

    def __init__(self, bus: str) -> None:
        self._bus = bus
        self._address = f"\0mivla-driver/{bus}"
        self._socket: socket.socket | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            BusTaken: another driver holds it; the message names its process.
        """
        if self._socket is not None:
            return
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            holder.bind(self._address)
            holder.listen(1)
        except OSError:
            holder.close()
            raise BusTaken(
                f"bus {self._bus}: expected no other driver on it, found one in process {self._holder()}; "
                "two drivers would fight over the arm. Stop that one first"
            ) from None
        self._socket = holder

    def release(self) -> None:
        """Give the lock back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _holder(self) -> str:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
            asker.settimeout(0.5)
            try:
                asker.connect(self._address)
                peer = asker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
            except OSError:
                return "(unknown)"
        return str(CREDENTIALS.unpack(peer)[0])
