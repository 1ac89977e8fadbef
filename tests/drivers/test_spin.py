"""How nodes end: a real process, a real signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from mivla_drivers.network import claimed_domain, ros_environment

QUIET_NODE = """
from rclpy.node import Node
from mivla_drivers.nodes.spin import spin

def make():
    node = Node("quiet")
    print("here", flush=True)
    return node

raise SystemExit(spin(make, lambda node: print("closed", flush=True)))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_to_which_nothing_happens_ends_at_once_on_a_signal(number):
    with claimed_domain() as domain:
        environment = {**os.environ, **ros_environment(domain)}
        process = subprocess.Popen(
            [sys.executable, "-c", QUIET_NODE], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        time.sleep(1.0)  # until it waits for something to happen
        process.send_signal(number)
        try:
            output, _ = process.communicate(timeout=5)
        finally:
            process.kill()
    assert output == "closed\n"
    assert process.returncode == 0


def test_a_parameter_of_another_type_is_refused_in_one_line():
    script = QUIET_NODE.replace('print("here"', 'node.declare_parameter("rate_hz", 50.0), print("here"')
    with claimed_domain() as domain:
        done = subprocess.run(
            [sys.executable, "-c", script, "--ros-args", "-p", "rate_hz:=50"],
            env={**os.environ, **ros_environment(domain)},
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "rate_hz" in line
    assert "DOUBLE" in line
