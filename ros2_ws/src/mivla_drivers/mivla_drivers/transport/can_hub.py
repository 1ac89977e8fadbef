"""CAN bus emulator: relays frames between processes over a local Unix socket.

A frame is 16 bytes, laid out as Linux's `struct can_frame`. Clients exchange packets of whole frames
(SOCK_SEQPACKET keeps their borders), so the hub passes bytes on without looking at a frame.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from mivla_drivers.errors import HardwareError
from mivla_drivers.runtime_folder import runtime_folder

FRAME = struct.Struct("<IB3x8s")  # can_id with Linux's flag bits, length, data
PACKET_BYTES = 65536
PACKETS_AT_ONCE = 64  # read from one client before the others get their turn

HELLO = struct.Struct("<I")  # first packet of a client: its station, 0 for one that stands alone, and ECHO
ECHO = 0x80000000  # the client hears what it sent itself, once another client got it: it was acknowledged
BUS_ON, BUS_OFF = b"on", b"off"  # the hub's answer

_LONGEST_PATH = 107  # bytes of sun_path in Linux's sockaddr_un, less the closing zero


def socket_path(name: str) -> Path:
    """Where the hub of the emulated bus `name` listens.

    Raises:
        HardwareError: the name cannot name a file, the path is too long for a socket, or there is no
            folder of this user alone.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise HardwareError(
            f"emulated bus {name!r}: expected a name of letters, digits, '_', '-' and '.', got {name!r}. "
            "Write the bus as emulated:NAME."
        )
    folder = runtime_folder()
    path = folder / f"{name}.can"
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise HardwareError(
            f"emulated bus {name}: expected a socket path of at most {_LONGEST_PATH} bytes, got {path}. "
            "Choose a shorter name or a shorter XDG_RUNTIME_DIR."
        )
    return path


@dataclass
class _Client:
    """One connection; `station` stays None until its hello has come."""

    socket: socket.socket
    station: int | None = None
    echo: bool = False
    dropped: int = 0


class CanHub:
    """Owns an emulated CAN bus and the thread that carries its frames.

    Every packet goes to every client except its sender and clients of the same station (a computer does not
    hear its own frames where local loopback is off). A client that does not read misses packets, as on a real
    bus; it never holds up the others.
    """

    def __init__(self, name: str) -> None:
        """Name the bus; `start` opens it."""
        self.name = name
        self.path = socket_path(name)
        self._lock_path = self.path.with_suffix(".lock")
        self._clients: dict[int, _Client] = {}
        self._off = False
        self._lock_file: TextIO | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> CanHub:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> CanHub:
        """Listen and relay until `close`; a socket file left by a dead hub is replaced.

        Raises:
            HardwareError: another hub of this name runs.
        """
        self._lock_file = self._lock()
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.epoll()
        for descriptor in (self._listener.fileno(), self._wake):
            self._poll.register(descriptor, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name=f"can-hub-{self.name}", daemon=True)
        self._thread.start()
        return self

    def start_with(self, *steps: Callable[[], object]) -> None:
        """Start, then do what brings a device on the bus; where a step fails, the bus is closed again.

        Raises:
            HardwareError: another hub of this name runs, or as a step raises it.
        """
        self.start()
        try:
            for step in steps:
                step()
        except HardwareError:
            self.close()
            raise

    def close(self) -> None:
        """Disconnect every client, end the thread and remove the socket file."""
        if self._thread is None:
            return
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._thread = None
        self.path.unlink(missing_ok=True)
        if self._lock_file is not None:
            self._lock_path.unlink(missing_ok=True)
            self._lock_file.close()

    @property
    def dropped_packets(self) -> int:
        """Packets that connected clients missed because they did not read in time."""
        return sum(client.dropped for client in tuple(self._clients.values()))

    def bus_off(self) -> None:
        """Switch the bus off, as a controller does after too many errors: sends fail, nothing is heard."""
        self._off = True
        for client in tuple(self._clients.values()):
            _shut(client.socket)

    def bus_on(self) -> None:
        """Let clients open the bus again; those that `bus_off` cut off must do so."""
        self._off = False

    def _lock(self) -> TextIO:
        lock = self._lock_path.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise HardwareError(
                f"emulated bus {self.name}: expected no other hub on {self.path}, "
                f"got one in process {owner}. "
                f"Stop that simulator, or give this one another bus: emulated:{self.name}2"
            ) from None
        if not self._lock_path.exists() or not os.path.samestat(
            self._lock_path.stat(), os.fstat(lock.fileno())
        ):
            lock.close()  # the hub that ended just now took its file away: a lock on that file locks nothing
            return self._lock()
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        return lock

    def _run(self) -> None:
        try:
            while True:
                for descriptor, _ in self._poll.poll():
                    if descriptor == self._wake:
                        return
                    if descriptor == self._listener.fileno():
                        self._accept()
                    elif descriptor in self._clients:
                        self._serve(self._clients[descriptor])
        finally:
            for client in tuple(self._clients.values()):
                self._drop(client)
            self._poll.close()
            self._listener.close()
            os.close(self._wake)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return  # the client gave up before its turn came
        connection.setblocking(False)
        self._clients[connection.fileno()] = _Client(connection)
        self._poll.register(connection.fileno(), select.EPOLLIN)

    def _serve(self, client: _Client) -> None:
        packets, gone = self._read(client)
        if packets and client.station is None:
            self._greet(client, packets.pop(0))
        if packets:
            self._relay(client, b"".join(packets))
        if gone:
            self._drop(client)

    def _read(self, client: _Client) -> tuple[list[bytes], bool]:
        """Packets waiting from a client, and whether it has gone."""
        packets: list[bytes] = []
        while len(packets) < PACKETS_AT_ONCE:
            try:
                packet = client.socket.recv(PACKET_BYTES)
            except BlockingIOError:
                return packets, False
            except OSError:
                return packets, True
            if not packet:
                return packets, True
            packets.append(packet)
        return packets, False

    def _greet(self, client: _Client, hello: bytes) -> None:
        if len(hello) != HELLO.size:
            self._drop(client)
            return
        try:
            client.socket.send(BUS_OFF if self._off else BUS_ON)
        except OSError:
            self._drop(client)
            return
        (word,) = HELLO.unpack(hello)
        client.station, client.echo = word & ~ECHO, bool(word & ECHO)
        if self._off:
            _shut(client.socket)

    def _relay(self, sender: _Client, frames: bytes) -> None:
        acknowledged = False
        for client in tuple(self._clients.values()):
            if (
                client is sender
                or client.station is None
                or (client.station and client.station == sender.station)
            ):
                continue
            acknowledged |= self._deliver(client, frames)
        if acknowledged and sender.echo:
            self._deliver(sender, frames)

    def _deliver(self, client: _Client, frames: bytes) -> bool:
        """Whether the client is there; one that does not read misses them, and acknowledges as a controller does."""
        try:
            client.socket.send(frames)
        except BlockingIOError:
            client.dropped += 1  # never wait for a reader: the SDK opens a second socket that it never reads
        except OSError:
            self._drop(client)
            return False
        return True

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.socket.fileno(), None) is not None:
            self._poll.unregister(client.socket.fileno())
        client.socket.close()


def _shut(connection: socket.socket) -> None:
    """End a connection both ways; the peer's next send fails and its next read finds the end."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the peer had gone already
