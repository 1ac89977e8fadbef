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


def refusal(script, *words):
    """What a node that does not start says on its standard error."""
    with claimed_domain() as domain:
        done = subprocess.run(
            [sys.executable, "-c", script, "--ros-args", *words],
            env={**os.environ, **ros_environment(domain)},
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_a_parameter_of_another_type_is_refused_in_one_line():
    script = QUIET_NODE.replace('print("here"', 'node.declare_parameter("rate_hz", 50.0), print("here"')
    line = refusal(script, "-p", "rate_hz:=50")
    assert line.startswith("mivla: ")
    assert "rate_hz" in line
    assert "DOUBLE" in line


def test_a_parameter_file_that_is_no_yaml_is_refused_by_name_and_line(tmp_path):
    file = tmp_path / "my_piper.yaml"
    file.write_text("/**/driver:\n  ros__parameters:\n    [\n")
    line = refusal(QUIET_NODE, "--params-file", str(file))
    assert line.startswith("mivla: ")
    assert str(file) in line
