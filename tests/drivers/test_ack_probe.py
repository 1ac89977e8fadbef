"""Whether anybody is on a silent bus, on an emulated one; time is passed in."""

import uuid

import can
import pytest

from mivla_drivers.transport.ack_probe import ALONE_S, PERIOD_S, PROBE_ID, QUIET_S, AckProbe
from mivla_drivers.transport.can_hub import CanHub
from mivla_drivers.transport.emulated_can import EmulatedCanBus


@pytest.fixture
def hub():
    with CanHub(f"probe-{uuid.uuid4().hex[:8]}") as hub:
        yield hub


def alone(hub, seconds):
    """What a probe says after so many seconds of silence."""
    bus = EmulatedCanBus(hub.name, receive_own_messages=True)
    probe, now, found = AckProbe(bus), 100.0, False
    while now < 100.0 + seconds:
        found = probe.is_alone(now, heard=100.0)
        message = bus.recv(0.02)
        if message is not None:
            assert message.arbitration_id == PROBE_ID
            probe.take()
        now += PERIOD_S / 2
    bus.shutdown()
    return found


def test_a_bus_where_nobody_acknowledges_is_found_empty(hub):
    assert alone(hub, QUIET_S + ALONE_S + PERIOD_S)


def test_it_is_not_called_empty_at_once(hub):
    assert not alone(hub, QUIET_S + ALONE_S / 2)


def test_a_node_that_never_says_anything_is_on_the_bus(hub):
    silent = EmulatedCanBus(hub.name)
    assert not alone(hub, 3.0)
    silent.shutdown()


def test_a_bus_that_is_heard_is_not_probed(hub):
    with EmulatedCanBus(hub.name) as listener, EmulatedCanBus(hub.name) as bus:
        probe = AckProbe(bus)
        assert not any(probe.is_alone(when, heard=when - QUIET_S / 2) for when in (1.0, 2.0, 3.0))
        assert listener.recv(0.05) is None


def test_a_queue_that_is_full_of_probes_is_an_empty_bus():
    class Full:
        def send(self, message, timeout=None):
            raise can.CanOperationError("Transmit buffer full")

    probe = AckProbe(Full())
    assert [probe.is_alone(when, heard=0.0) for when in (1.0, 1.0 + ALONE_S + 0.1)] == [False, True]
