"""The socket by which operators of this machine reach a node: real sockets, no ROS."""

from __future__ import annotations

import resource
import socket
import threading
import time

import pytest

from mivla_drivers.ros.operator_endpoint import (
    PING,
    Answer,
    EndpointAbsent,
    EndpointConnection,
    EndpointError,
    EndpointTaken,
    OperatorEndpoint,
    call,
    endpoint_path,
    namespaces_here,
)

pytestmark = pytest.mark.paced

ACTIONS = ("stop", "enable")


@pytest.fixture(autouse=True)
def folder(socket_folder, monkeypatch):
    """A runtime folder of the test's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(socket_folder))


@pytest.fixture
def path():
    return endpoint_path("driver", "/piper", 7)


def echo(action: str, value: str) -> Answer:
    return Answer(True, f"{action} {value}")


def test_a_call_is_answered_by_the_node_with_its_own_words(path):
    endpoint = OperatorEndpoint(path, ACTIONS, echo)
    assert call(path, "stop", "now \N{DEGREE SIGN}\n", 1.0) == Answer(True, "stop now \N{DEGREE SIGN}\n")
    endpoint.close()


def test_a_caller_that_stays_is_answered_again_and_again_until_the_node_ends(path):
    endpoint = OperatorEndpoint(path, ACTIONS, echo)
    with EndpointConnection(path) as connection:

        def ask(value: str) -> Answer:
            connection.send("stop", value, 1.0)
            return connection.receive("stop", 1.0)

        assert ask("once") == Answer(True, "stop once")
        assert ask("twice") == Answer(True, "stop twice")
        assert connection.is_open
        endpoint.close()
        with pytest.raises(EndpointError, match="the node may have ended"):
            ask("too late")
        deadline = time.monotonic() + 1.0
        while connection.is_open:  # the thread that answered hangs up a moment later
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_every_endpoint_answers_whether_it_is_there(path):
    endpoint = OperatorEndpoint(path, ACTIONS, lambda action, value: 1 / 0)
    assert call(path, PING, "", 1.0).success
    endpoint.close()


def test_an_action_that_the_node_does_not_have_is_refused_with_those_that_it_has(path):
    endpoint = OperatorEndpoint(path, ACTIONS, echo)
    answer = call(path, "explode", "", 1.0)
    assert not answer.success
    assert "expected one of ['stop', 'enable']" in answer.message
    endpoint.close()


def test_a_request_that_is_too_long_is_refused_before_it_is_sent(path):
    endpoint = OperatorEndpoint(path, ACTIONS, echo)
    with pytest.raises(EndpointError, match=r"stop: expected at most 65536 bytes, got 100\d+"):
        call(path, "stop", "x" * 100_000, 1.0)
    endpoint.close()


def test_what_fails_inside_the_node_is_told_to_the_caller(path):
    endpoint = OperatorEndpoint(path, ACTIONS, lambda action, value: 1 / 0)
    answer = call(path, "stop", "", 1.0)
    assert not answer.success
    assert "ZeroDivisionError" in answer.message
    endpoint.close()


@pytest.mark.parametrize("line", [b"stop\n", b"[]\n", b'{"action": "stop"}\n', b"\xff\n"])
def test_a_line_that_is_no_request_is_refused_and_the_next_caller_is_served(path, line):
    endpoint = OperatorEndpoint(path, ACTIONS, echo)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(line)
        assert b"expected a line of JSON" in connection.recv(4096)
    assert call(path, "stop", "", 1.0).success
    endpoint.close()


def test_a_stop_is_answered_while_an_enable_waits_and_while_a_caller_says_nothing(path):
    powered = threading.Event()

    def handle(action: str, value: str) -> Answer:
        return Answer(action == "stop" or powered.wait(10.0), action)

    endpoint = OperatorEndpoint(path, ACTIONS, handle)
    enabling = threading.Thread(target=call, args=(path, "enable", "", 10.0))
    enabling.start()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(path))
        began = time.monotonic()
        assert call(path, "stop", "", 2.0).success
        assert time.monotonic() - began < 1.0
    powered.set()
    enabling.join()
    endpoint.close()


def test_a_node_that_hangs_is_told_from_one_that_is_not_there(path):
    with pytest.raises(EndpointAbsent):
        call(path, "stop", "", 0.2)
    release = threading.Event()
    endpoint = OperatorEndpoint(path, ACTIONS, lambda action, value: Answer(release.wait(10.0), ""))
    with pytest.raises(EndpointError, match=r"within 0\.2 s, got none: the node hangs"):
        call(path, "stop", "", 0.2)
    release.set()
    endpoint.close()


def test_what_a_killed_node_left_behind_is_replaced_but_a_living_one_is_not(path):
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    with pytest.raises(EndpointAbsent):
        call(path, "stop", "", 0.2)
    endpoint = OperatorEndpoint(path, ACTIONS, echo)
    with pytest.raises(EndpointTaken):
        OperatorEndpoint(path, ACTIONS, echo)
    assert call(path, "stop", "", 1.0).success
    endpoint.close()
    assert not path.exists()


def test_robots_of_this_machine_are_listed_by_namespace_within_their_domain():
    left, nested = (
        OperatorEndpoint(endpoint_path("driver", namespace, 7), ACTIONS, echo)
        for namespace in ("/left", "/lab/right")
    )
    elsewhere = OperatorEndpoint(endpoint_path("driver", "/other", 8), ACTIONS, echo)
    recorder = OperatorEndpoint(endpoint_path("recorder", "/third", 7), ACTIONS, echo)
    assert namespaces_here("driver", 7) == ["/lab/right", "/left"]
    left.close()
    assert namespaces_here("driver", 7) == ["/lab/right"]
    for endpoint in (nested, elsewhere, recorder):
        endpoint.close()


def test_the_socket_is_this_users_alone(path):
    endpoint = OperatorEndpoint(path, ACTIONS, echo)
    assert path.parent.stat().st_mode & 0o077 == 0
    endpoint.close()


def test_a_stop_gets_through_again_once_a_process_without_file_descriptors_has_some(path):
    endpoint = OperatorEndpoint(path, ("stop",), lambda action, value: Answer(True, "stopped"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (caller.fileno() + 1, hard))
        caller.connect(str(path))
        time.sleep(0.2)  # meanwhile the call cannot be taken
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        caller.close()
    assert call(path, "stop", "", 2.0).message == "stopped"
    endpoint.close()
