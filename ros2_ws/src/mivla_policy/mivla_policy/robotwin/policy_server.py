"""Serves a policy to RoboTwin's branch `main` as XPolicyLab's policy server does, over websocket or TCP.

One environment at a time, since a policy remembers its trial: a second client is told so, and may come when the first
has gone.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from mivla_drivers.errors import DataError, MivlaError
from mivla_policy.robotwin.wire import LARGEST_MESSAGE, from_json, pack, to_json, unpack

logger = logging.getLogger(__name__)

BUSY = "expected one environment a policy server at a time, found another one connected; start one server per worker"
UNREADABLE, REASON = 1007, 100  # websocket's code for data that make no sense; characters of the reason
REMEMBERED = 16  # replies, for a client that asks again after its connection broke
ANSWERS = {
    "hello": "hello_ack",
    "prepare_case": "prepare_case_ack",
    "reset": "reset_result",
    "infer": "infer_result",
    "trial_end": "trial_end_ack",
    "heartbeat": "heartbeat_ack",
}
FAILURES = {"reset": "reset_failed", "infer": "infer_failed"}
ECHOED = ("evaluation_id", "action_case_id", "trial_id", "repeat_index", "step")
CALLS = ("update_obs", "update_obs_batch", "get_action", "get_action_batch", "reset")


class Served(Protocol):
    """What is served: `xpolicylab.Model`."""

    def update_obs(self, obs: Mapping[str, Any]) -> None: ...

    def get_action(self) -> Any: ...

    def reset(self, obs: Mapping[str, Any] | None = None) -> None: ...


class WebsocketServer:
    """XPolicyLab's protocol `ws`: one msgpack frame a request, answered by one under the same message_id."""

    def __init__(self, model: Served, host: str, port: int) -> None:
        """Listen on `host`:`port`; port 0 takes a free one.

        Raises:
            OSError: the port cannot be had.
        """
        self._model, self._taken = model, threading.Lock()
        self._replies: OrderedDict[str, bytes] = OrderedDict()
        self._server: Server = serve(self._converse, host, port, max_size=LARGEST_MESSAGE, compression=None)
        self.port: int = self._server.socket.getsockname()[1]

    def serve_forever(self) -> None:
        """Answer until `close` is called from another thread."""
        self._server.serve_forever()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()

    def _converse(self, connection: ServerConnection) -> None:
        mine = self._taken.acquire(blocking=False)
        try:
            for data in connection:
                if not isinstance(data, bytes):
                    continue
                try:
                    reply = self._answer(unpack(data), mine)
                except DataError as error:  # no frame, so there is no message_id to answer under
                    logger.warning("%s", error)
                    connection.close(code=UNREADABLE, reason=str(error)[:REASON])
                    return
                if reply is None:
                    return
                connection.send(reply)
        except ConnectionClosed:
            pass
        finally:
            if mine:
                self._taken.release()

    def _answer(self, frame: dict[str, Any], mine: bool) -> bytes | None:
        kind, identity = frame.get("message_type"), frame.get("message_id")
        if not isinstance(identity, str) or not isinstance(kind, str):
            raise DataError(f"frame: expected message_type and message_id, found {sorted(map(str, frame))}")
        if kind == "close":
            return None
        if identity in self._replies:
            return self._replies[identity]
        head = {name: frame.get(name) for name in ECHOED} | {
            "message_id": identity,
            "step": frame.get("step") or 0,
        }
        try:
            if not mine:
                raise DataError(BUSY)
            payload = self._payload(kind, frame.get("payload") or {})
            reply = pack({**head, "message_type": ANSWERS[kind], "payload": payload})
        except MivlaError as error:
            logger.warning("%s: %s", kind, error)
            code = "unknown_message_type" if kind not in ANSWERS else FAILURES.get(kind, "internal")
            failed = {"code": code, "message": str(error), "details": {}}
            reply = pack({**head, "message_type": "error", "payload": failed})
        self._replies[identity] = reply
        while len(self._replies) > REMEMBERED:
            self._replies.popitem(last=False)
        return reply

    def _payload(self, kind: str, payload: Any) -> dict[str, Any]:
        if kind not in ANSWERS:
            raise DataError(f"message_type: expected one of {sorted(ANSWERS)}, got {kind!r}")
        if not isinstance(payload, Mapping):
            raise DataError(f"payload: expected a map, got {type(payload).__name__}")
        if kind == "hello":
            return {"ok": True, "server": "mivla"}
        if kind == "reset":
            self._model.reset(payload)
        if kind == "infer":
            began = time.perf_counter()
            self._model.update_obs(payload.get("observation"))  # type: ignore[arg-type]  # it refuses what is none
            return {"actions": self._model.get_action(), "latency_ms": 1e3 * (time.perf_counter() - began)}
        return {"ok": True}


class TcpServer:
    """XPolicyLab's protocol `legacy_tcp`: JSON behind its length (4 bytes, big endian), {cmd, obs} to {res}."""

    def __init__(self, model: Served, host: str, port: int) -> None:
        """Listen on `host`:`port`; port 0 takes a free one.

        Raises:
            OSError: the port cannot be had.
        """
        self._model = model
        self._socket = socket.create_server((host, port))
        self.port: int = self._socket.getsockname()[1]
        self._closed = threading.Event()

    def serve_forever(self) -> None:
        """Answer one client after another until `close` is called from another thread."""
        self._socket.settimeout(0.2)
        while not self._closed.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(0.2)
                try:
                    self._converse(connection)
                except (ConnectionError, DataError) as error:
                    logger.warning("%s", error)
        self._socket.close()

    def close(self) -> None:
        """Stop listening, and end the conversation that there is."""
        self._closed.set()

    def _converse(self, connection: socket.socket) -> None:
        while (head := self._receive(connection, 4)) is not None:
            size = int.from_bytes(head, "big")
            if size > LARGEST_MESSAGE:
                raise DataError(f"message: expected at most {LARGEST_MESSAGE} bytes, got {size}")
            data = self._receive(connection, size)
            if data is None:
                return
            reply = to_json(self._reply(data))
            connection.sendall(len(reply).to_bytes(4, "big") + reply)

    def _reply(self, data: bytes) -> dict[str, Any]:
        try:
            message = from_json(data)
            name, obs = message.get("cmd"), message.get("obs")
            if name not in CALLS:
                raise DataError(f"cmd: expected one of {CALLS}, got {name!r}")
            method: Callable[..., Any] = getattr(self._model, name)
            return {"res": method() if obs is None else method(obs)}
        except MivlaError as error:
            logger.warning("%s", error)
            return {"error": f"Error handling request: {error}"}

    def _receive(self, connection: socket.socket, size: int) -> bytes | None:
        """`size` bytes; None where the client has gone, or the server was closed."""
        data = bytearray()
        while len(data) < size:
            if self._closed.is_set():
                return None
            try:
                part = connection.recv(min(size - len(data), 1 << 20))
            except TimeoutError:
                continue
            if not part:
                return None
            data += part
        return bytes(data)


SERVERS: dict[str, type[WebsocketServer] | type[TcpServer]] = {"ws": WebsocketServer, "legacy_tcp": TcpServer}
