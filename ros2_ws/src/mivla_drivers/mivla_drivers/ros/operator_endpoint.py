"""An operator's short way to a node of this machine: a Unix socket that is there as long as the node.

A new ROS participant must first find the others, which takes seconds on a busy machine; a stop must not wait for
that. Requests and answers are one line of JSON each. The socket lies in a folder that is this user's alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from mivla_drivers.errors import MivlaError
from mivla_drivers.text import shortened
from mivla_drivers.transport.can_hub import socket_path

LONGEST_LINE = 65536  # bytes
IDLE_S = 5.0  # how long a caller may take to send its request
RETRY_S = 0.05  # after a call could not be taken
KNOCK_S = 1.0  # how long connecting to a node that is there may take
PING = "ping"  # answered by every endpoint: the node is there


class EndpointError(MivlaError):
    """A node that is there does not answer as it should."""


class EndpointAbsent(EndpointError):
    """No such node on this machine; it may be elsewhere in the ROS graph."""


class EndpointTaken(EndpointError):
    """Another node of this name and namespace answers already."""


@dataclass(frozen=True)
class Answer:
    """What came of a call: whether it was done, and in words why or why not."""

    success: bool
    message: str


Handler = Callable[[str, str], Answer]


def endpoint_path(node: str, namespace: str, domain_id: int) -> Path:
    """Where the endpoint of `node` in `namespace` listens; names cannot contain the dots that stand for slashes."""
    return _folder() / f"operator-{domain_id}-{namespace.strip('/').replace('/', '.')}-{node}.sock"


def current_domain() -> int:
    """The ROS_DOMAIN_ID of this process.

    Raises:
        EndpointError: it is no number.
    """
    text = os.environ.get("ROS_DOMAIN_ID") or "0"
    if not text.isdecimal():
        raise EndpointError(f"ROS_DOMAIN_ID: expected a number, got {text!r}")
    return int(text)


def namespaces_here(node: str, domain_id: int) -> list[str]:
    """Namespaces of the nodes of this name that answer on this machine, sorted."""
    start, end = f"operator-{domain_id}-", f"-{node}.sock"
    found = [path for path in _folder().glob(f"{start}*{end}") if _is_answered(path)]
    return sorted("/" + path.name[len(start) : -len(end)].replace(".", "/") for path in found)


class EndpointConnection:
    """A caller's connection to the node behind `path`, for one request after the other; one thread at a time.

    A context manager.
    """

    def __init__(self, path: Path) -> None:
        """Connect.

        Raises:
            EndpointAbsent: nobody listens there.
            EndpointError: the node hangs.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(KNOCK_S)
        try:
            self._socket.connect(str(path))
        except (TimeoutError, BlockingIOError):
            self._socket.close()
            raise EndpointError(f"expected the node to listen, it hangs: {path}") from None
        except OSError:  # no such file, nobody behind it, or a name too long for one
            self._socket.close()
            raise EndpointAbsent(f"expected a node that listens on {path}, found none") from None

    def __enter__(self) -> EndpointConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    @property
    def is_open(self) -> bool:
        """Whether the node is still at the other end."""
        self._socket.settimeout(0.0)
        try:
            return self._socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def send(self, action: str, value: str, deadline_s: float) -> None:
        """Send a request; it is with the node when this returns, read or not.

        Raises:
            EndpointError: it is too long, the node takes nothing within `deadline_s`, or it has ended.
        """
        request = json.dumps({"action": action, "value": value}).encode() + b"\n"
        if len(request) > LONGEST_LINE:
            raise EndpointError(f"{action}: expected at most {LONGEST_LINE} bytes, got {len(request)}")
        try:
            self._socket.settimeout(deadline_s)
            self._socket.sendall(request)
        except TimeoutError:
            raise _hangs(action, deadline_s) from None
        except OSError as error:
            raise _ended(action, error) from None

    def receive(self, action: str, deadline_s: float) -> Answer:
        """The answer to `action`, which was sent.

        Raises:
            EndpointError: there is none within `deadline_s`, or the node has ended.
        """
        try:
            self._socket.settimeout(deadline_s)
            return Answer(**json.loads(_read_line(self._socket)))
        except TimeoutError:
            raise _hangs(action, deadline_s) from None
        except (OSError, ValueError, TypeError) as error:
            raise _ended(action, error) from None


def call(path: Path, action: str, value: str, deadline_s: float) -> Answer:
    """Ask the node behind `path`.

    Raises:
        EndpointAbsent: nobody listens there.
        EndpointError: it does not answer within `deadline_s`, or the request is too long for it.
    """
    with EndpointConnection(path) as connection:
        connection.send(action, value, deadline_s)
        return connection.receive(action, deadline_s)


def _hangs(action: str, deadline_s: float) -> EndpointError:
    return EndpointError(f"{action}: expected an answer within {deadline_s:g} s, got none: the node hangs")


def _ended(action: str, error: Exception) -> EndpointError:
    return EndpointError(f"{action}: expected an answer, got {error!r}: the node may have ended")


class OperatorEndpoint:
    """Answers operators while its node runs; one thread per caller, so that a slow call holds up no stop.

    A caller that was answered may stay: its next request finds a thread that waits for it.
    """

    def __init__(self, path: Path, actions: tuple[str, ...], handle: Handler) -> None:
        """Listen on `path`; `handle(action, value)` is called in the caller's thread, for `actions` only.

        Raises:
            EndpointTaken: another process listens there.
            OSError: the socket cannot be made.
        """
        self._path, self._actions, self._handle = path, actions, handle
        self._claim = _claimed(path)
        path.unlink(missing_ok=True)  # left behind by a killed process
        self._callers: set[socket.socket] = set()
        self._closed = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._accept, name="operator endpoint", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; calls under way are answered."""
        self._closed.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._socket.close()
        self._thread.join(KNOCK_S)
        for caller in list(self._callers):
            with suppress(OSError):
                caller.shutdown(socket.SHUT_RD)
        self._path.unlink(missing_ok=True)
        os.close(self._claim)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                if self._closed.wait(RETRY_S):
                    return
                continue  # no file descriptor is left, say: a stop must get through once there is one
            try:
                threading.Thread(
                    target=self._serve, args=(connection,), name="operator call", daemon=True
                ).start()
            except RuntimeError:  # the system gives no more threads
                connection.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # a caller that hangs up has had its call done all the same
            self._callers.add(connection)
            try:
                connection.settimeout(IDLE_S)
                while line := _read_line(connection):
                    connection.sendall(json.dumps(asdict(self._answer(line))).encode() + b"\n")
                    connection.settimeout(None)
            finally:
                self._callers.discard(connection)

    def _answer(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
            action, value = str(request["action"]), str(request["value"])
        except (ValueError, TypeError, KeyError):
            return Answer(False, f"expected a line of JSON with action and value, got {line[:80]!r}")
        if action == PING:
            return Answer(True, "")
        if action not in self._actions:
            return Answer(False, f"{shortened(action, 80)}: expected one of {list(self._actions)}")
        try:
            return self._handle(action, value)
        except Exception as error:  # whatever fails, the caller must hear it
            return Answer(False, f"{action}: {type(error).__name__}: {error}")


def _claimed(path: Path) -> int:
    """A lock that this process alone holds until it ends, however it ends; its file descriptor.

    Raises:
        EndpointTaken: another process holds it; says which.
    """
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise EndpointTaken(_taken(path)) from None
    return lock


def _taken(path: Path) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, suppress(OSError):
        connection.settimeout(KNOCK_S)
        connection.connect(str(path))
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return f"found one in process {struct.unpack('3i', credentials)[0]}"
    return "found one that is starting or ending"


def _folder() -> Path:
    return socket_path("operator").parent


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(KNOCK_S)
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True


def _read_line(connection: socket.socket) -> bytes:
    """One line without its end; empty where the other side hangs up first."""
    received = b""
    while not received.endswith(b"\n"):
        part = connection.recv(4096)
        if not part or len(received) > LONGEST_LINE:
            return b""
        received += part
    return received[:-1]
