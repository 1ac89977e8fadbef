"""Who hears the ROS graph: every frame arrives here, and nothing goes or listens beyond this machine."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from traffic import CAMERAS, FRAMES

from mivla_bringup.launcher.packages import find_share
from mivla_bringup.launcher.plan import plan_launch
from mivla_bringup.launcher.runner import Launch
from mivla_drivers.ros import network
from mivla_drivers.ros.network import NetworkError, claimed_domain, ros_environment

pytestmark = pytest.mark.paced

TRAFFIC = str(Path(__file__).with_name("traffic.py"))
FIRST_EPHEMERAL_PORT = 32768  # DDS ports of domains up to 100 lie below; Linux hands out those above
OTHER_NETWORK = """
set -e
ip link set lo up
ip link add robot0 type veth peer name robot1
ip addr add 10.77.0.1/24 dev robot0
echo 1 > /proc/sys/net/ipv6/conf/robot0/disable_ipv6
echo 1 > /proc/sys/net/ipv6/conf/robot1/disable_ipv6
ip link set robot0 up
ip link set robot1 up
"""


@pytest.fixture
def domain():
    with claimed_domain() as domain_id:
        yield domain_id


def traffic(environment: dict[str, str], *before: str) -> dict:
    """What two processes that exchange images tell; `before` are words in front of the command."""
    command = [*before, sys.executable, TRAFFIC]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def with_other_network() -> list[str]:
    """Words that run a command where a second network interface, robot0, exists and all is silent."""
    words = ["unshare", "--map-root-user", "--net", "bash", "-c", OTHER_NETWORK + 'exec "$@"', "bash"]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("this machine allows no network namespaces")
    return words


def beyond_loopback(report: dict) -> set[str]:
    """Addresses beyond this machine on which a DDS port is bound."""
    return {
        address
        for address, port in report["sockets"]
        if not ipaddress.ip_address(address).is_loopback and port < FIRST_EPHEMERAL_PORT
    }


def test_every_frame_of_three_raw_cameras_arrives_and_no_port_is_bound_beyond_loopback(domain):
    report = traffic(ros_environment(domain))
    assert report["received"] == dict.fromkeys(CAMERAS, FRAMES)
    assert report["sockets"]
    assert beyond_loopback(report) == set()


def test_not_a_byte_is_sent_on_another_interface(domain, with_other_network):
    report = traffic(ros_environment(domain), *with_other_network)
    assert report["received"] == dict.fromkeys(CAMERAS, FRAMES)
    assert report["sent_bytes"]["robot0"] == 0
    assert report["sent_bytes"]["lo"] > 0


def test_an_opened_graph_is_heard_on_the_named_interface(domain, with_other_network, monkeypatch):
    monkeypatch.setattr(network, "require_interface", lambda name: name)  # it exists only in the namespace
    report = traffic(ros_environment(domain, network=True, interface="robot0"), *with_other_network)
    assert report["received"] == dict.fromkeys(CAMERAS, FRAMES)
    assert "10.77.0.1" in beyond_loopback(report)
    assert report["sent_bytes"]["robot0"] > 0


def test_a_running_bringup_binds_no_dds_port_beyond_loopback(domain):
    arguments = {"sim": "true", "policy": "false", "sim_bus": f"emulated:test-{os.getpid()}"}
    plan = plan_launch(Path(find_share("mivla_bringup")) / "launch" / "piper.launch.yaml", arguments)
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    said: list[str] = []
    with Launch(plan.processes, environment, say=said.append) as launch:
        deadline = time.monotonic() + 60
        while len(sockets := node_sockets()) < 2 or not all(any_dds_port(s, domain) for s in sockets):
            assert time.monotonic() < deadline, said
            assert launch.wait(0.2) is None, said
        time.sleep(1.0)  # whatever else they open
        sockets = node_sockets()
    assert len(sockets) == 2
    for bound in sockets:
        assert beyond_loopback({"sockets": bound}) == set()


def node_sockets() -> list[list[tuple[str, int]]]:
    """Addresses and ports bound by each driver or simulator that this process started."""
    nodes = [p for p in psutil.Process().children() if "mivla_drivers.ros.nodes" in " ".join(p.cmdline())]
    return [[(c.laddr.ip, c.laddr.port) for c in node.net_connections("inet")] for node in nodes]


def any_dds_port(sockets: list[tuple[str, int]], domain_id: int) -> bool:
    """Whether a port of the domain is bound on loopback."""
    ports = range(7400 + 250 * domain_id, 7400 + 250 * (domain_id + 1))
    return any(address == "127.0.0.1" and port in ports for address, port in sockets)


def test_a_closed_graph_says_so_in_the_environment():
    variables = ros_environment(domain_id=42)
    assert variables["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert variables["ROS_DOMAIN_ID"] == "42"
    assert "127.0.0.1" in Path(variables["FASTDDS_DEFAULT_PROFILES_FILE"]).read_text()


def test_an_older_fast_dds_reads_its_own_variable(monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    variables = ros_environment()
    assert variables["FASTRTPS_DEFAULT_PROFILES_FILE"] == variables["FASTDDS_DEFAULT_PROFILES_FILE"]
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" not in ros_environment()


@pytest.mark.parametrize("interface", [None, "", "eth77"])
def test_the_graph_opens_only_to_an_interface_that_exists(interface):
    with pytest.raises(NetworkError, match=r"interface: expected one of \['lo'.*\], got"):
        ros_environment(network=True, interface=interface)


def test_two_runs_get_domains_of_their_own():
    with claimed_domain() as first, claimed_domain() as second:
        assert first != second


def test_a_domain_in_use_by_others_is_left_alone(monkeypatch):
    with claimed_domain() as only:  # let go of again: tests that run beside this one have theirs
        monkeypatch.setattr(network, "OWN_DOMAINS", range(only, only + 1))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 7400 + 250 * only + 10))
        with pytest.raises(NetworkError, match="all are taken"), claimed_domain():
            pass
    with claimed_domain() as free:
        assert free == only
