"""What the console's keys call, each in a thread of its own, and by which way the driver is reached."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from mivla_bringup.console.keys import Action, KeyContext, refusal
from mivla_bringup.console.state import ConsoleState, Reach
from mivla_bringup.stop_key.sender import StopSender
from mivla_bringup.stop_key.ways import RosWay, SocketWay
from mivla_drivers.errors import MivlaError
from mivla_drivers.ros import operator_endpoint

ANSWER_S = 10.0  # enabling waits for the motors
PROBE_S = 0.5
NO_ANSWER_S = 0.5  # a driver that takes longer to say that it is there hangs
ThroughRos = Callable[[Action], str]


class Operator:
    """Stops by `sender`, calls actions, and looks twice a second whether the driver can be reached.

    Attributes:
        sender: stops; its threads wait for no other call.
        through_ros: makes a call where the driver is not on this machine; raises `MivlaError` where it cannot.
    """

    def __init__(self, state: ConsoleState, here: SocketWay, ros: RosWay, through_ros: ThroughRos) -> None:
        self.sender = StopSender([here, ros])
        self._state, self._here, self._ros, self._through_ros = state, here, ros, through_ros
        self._opened = time.monotonic()
        self._closed = threading.Event()
        self._probing = threading.Thread(target=self._probe, name="is the driver there?", daemon=True)
        self._probing.start()

    def close(self) -> None:
        """Leave; the robot is not touched."""
        self._closed.set()
        self.sender.close()

    def stop(self) -> None:
        """Stop the robot; returns at once."""
        self.sender.press()

    def call(self, action: Action) -> None:
        """Make a call unless it is under way or comes at a wrong moment; returns at once."""
        now, stop = time.monotonic(), self.sender.status
        if self._state.snapshot().running(action.label):
            return
        self._state.begin(action.label, now)
        if why := refusal(action, KeyContext(self._opened, stop.pressed, stop.pending), now):
            self._state.end(action.label, False, why, now)
            return
        threading.Thread(target=self._call, args=(action,), name=action.label, daemon=True).start()

    def _call(self, action: Action) -> None:
        try:
            answer = self._here.call(action.action, ANSWER_S, action.value)
            success, message = answer.success, answer.message
        except operator_endpoint.EndpointAbsent:
            success, message = self._call_through_ros(action)
        except Exception as error:  # whatever fails, the operator must see it
            success, message = False, str(error)
        self._state.end(action.label, success, message, time.monotonic())

    def _call_through_ros(self, action: Action) -> tuple[bool, str]:
        try:
            return True, self._through_ros(action)
        except MivlaError as error:
            return False, str(error)
        except Exception as error:
            return False, f"{type(error).__name__}: {error}"

    def _probe(self) -> None:
        while True:
            try:
                self._look()
                self._state.set_trouble("operator", "")
            except Exception as error:  # a thread that ends would leave its last word on the screen
                self._state.set_trouble("operator", f"cannot look for the driver: {error!r}")
            if self._closed.wait(PROBE_S):
                return

    def _look(self) -> None:
        began = time.monotonic()
        try:
            self._here.call(operator_endpoint.PING, NO_ANSWER_S)
            now = time.monotonic()
            self._state.set_reach(Reach.SOCKET, now, answered_s=now - began)
        except operator_endpoint.EndpointAbsent:
            self._ros.connect()
            self._note_absence(time.monotonic())
        except operator_endpoint.EndpointError:
            self._state.set_reach(Reach.HANGS, time.monotonic())

    def _note_absence(self, now: float) -> None:
        """No driver is on this machine; discovery takes seconds, until then it is not known whether there is one."""
        if self._ros.ready:
            self._state.set_reach(Reach.ROS, now)
        elif now - self._opened < self._ros.DISCOVERY_S:
            self._state.set_reach(Reach.UNKNOWN, now)
        else:
            here = operator_endpoint.namespaces_here("driver", operator_endpoint.current_domain())
            self._state.set_reach(Reach.NONE, now, elsewhere=tuple(here))
