"""Whether anybody is on a CAN bus that says nothing: a frame that no node acknowledges is never sent whole."""

from __future__ import annotations

from contextlib import suppress

import can

PROBE_ID = 0x7FF  # the lowest priority, which no device here uses; without data
QUIET_S = 0.5  # a bus that was heard within it needs no probe
PERIOD_S = 0.25
ALONE_S = 0.5  # for which probes must be unanswered


class AckProbe:
    """Sends an empty frame on a bus that is silent, and notes whether it came back as sent.

    Every powered CAN node acknowledges every frame, whatever it says. The bus is opened with receive_own_messages, so
    that a frame which was acknowledged comes back. An adapter that reports frames as sent once they are queued does so
    for as many as it queues, so that an empty bus is noticed later there.
    """

    def __init__(self, bus: can.BusABC) -> None:
        self._bus = bus
        self._next = 0.0
        self._unanswered: float | None = None  # since when [s, steady clock]

    def take(self) -> None:
        """A probe came back: it was acknowledged."""
        self._unanswered = None

    def is_alone(self, now: float, heard: float) -> bool:
        """Whether nobody else is on the bus at `now`; it was heard last at `heard`, both [s, steady clock]."""
        if now - heard < QUIET_S:
            self._unanswered = None
            return False
        if now >= self._next:
            self._next = now + PERIOD_S
            if self._unanswered is None:
                self._unanswered = now
            probe = can.Message(arbitration_id=PROBE_ID, is_extended_id=False, dlc=0)
            with suppress(can.CanError):  # a full queue of frames that nobody acknowledged
                self._bus.send(probe, timeout=0.0)
        since = self._unanswered
        return since is not None and now - since > ALONE_S
