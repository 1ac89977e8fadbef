"""Every parameter of every node: what it may be, and where its value comes from."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import pytest
import rclpy
import yaml
from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter

from mivla_drivers.ros.network import claimed_domain, ros_environment
from mivla_drivers.ros.nodes import camera, driver, recorder, simulator, teleop
from mivla_drivers.ros.parameters import (
    ParameterError,
    ParameterSpec,
    check,
    declare,
    unknown_parameters,
)
from mivla_policy.nodes import policy

NODES: dict[str, ModuleType] = {
    "camera": camera,
    "driver": driver,
    "policy": policy,
    "recorder": recorder,
    "simulator": simulator,
    "teleop": teleop,
}
# What is wrong with these shows when they are used: a bus or device that is not there, a condition the task lacks.
ANY_TEXT = ("bus", "camera", "device", "folder", "instruction", "leader", "mode")
REFUSED = {
    ("robot",): ["toaster", "", "/no/such/robot.yaml"],
    ("driver", "command_source"): ["foo", "", "Policy"],
    ("driver", "joint_state_rate_hz"): [0.0, -1.0, math.nan, math.inf, 1000.1],
    ("simulator", "task"): ["make_coffee", ""],
    ("simulator", "seed"): [-1, 2**63],
    ("simulator", "feedback_rate_hz"): [0.0, -200.0, math.nan, math.inf, 1e6],
    ("simulator", "camera_latency_s"): [-0.1, 0.6, math.nan],
    ("simulator", "jpeg_quality"): [0, 101],
    ("camera", "jpeg_quality"): [0, -1, 101],
    ("camera", "pixel_format"): ["H264", "mjpg", "MJPG "],
    ("camera", "size"): ["640", "640x", "0x0", "640x480x3", "large"],
    ("recorder", "source"): ["none", "foo", ""],
    ("recorder", "task"): ["a/b", "../up", ".hidden"],
    ("recorder", "judgement"): ["", "good", "Success"],
    ("recorder", "judged_by"): ["", "me"],
    ("recorder", "least_free_mb"): [-1],
    ("recorder", "seed"): [-2],
    ("teleop", "start"): ["", "Refuse", "jump"],
    ("teleop", "lead_s"): [0.0, -1.0, math.nan, math.inf, 61.0],
    ("teleop", "match_rad"): [0.0, 0.51, math.nan],
    ("teleop", "take_by_moving_rad"): [-0.1, 1.1, math.inf],
    ("teleop", "rate_hz"): [0.0, 10.0, 1000.0, math.nan],
    ("policy", "model"): ["no_such_model", "", "/no/such/folder"],
    ("policy", "seed"): [-1],
    ("policy", "replan_steps"): [0, -8],
    ("policy", "threads"): [0, -1, 1000],
    ("policy", "decoder"): ["", "tensorrt"],
    ("policy", "device"): ["gpu", "", "cuda:99"],
}
ALL = [(node, name) for node, module in NODES.items() for name in module.PARAMETERS]


def refused(node: str, name: str) -> list:
    return REFUSED.get((node, name), REFUSED.get((name,), []))


@pytest.mark.parametrize(("node", "name"), ALL)
def test_a_default_is_a_value_that_is_allowed_and_is_described(node, name):
    spec = NODES[node].PARAMETERS[name]
    spec.require(name, spec.default)
    assert spec.description


@pytest.mark.parametrize(("node", "name"), ALL)
def test_a_value_of_another_type_is_refused(node, name):
    spec = NODES[node].PARAMETERS[name]
    for value in (True, 1, 1.0, "x", [1.0], None):
        if type(value) is not type(spec.default):
            with pytest.raises(ParameterError, match=f"^{name}: expected "):
                spec.require(name, value)


@pytest.mark.parametrize(("node", "name"), ALL)
def test_a_value_that_means_nothing_is_refused(node, name):
    spec = NODES[node].PARAMETERS[name]
    assert refused(node, name) or type(spec.default) is bool or name in ANY_TEXT, "expected values in REFUSED"
    for value in refused(node, name):
        with pytest.raises(ParameterError, match=f"^{name}: .*expected "):
            spec.require(name, value)


def test_a_refusal_names_the_parameter_what_it_may_be_and_what_it_was_to_be():
    spec = ParameterSpec(50.0, "rate", above=0.0, maximum=1000.0)
    with pytest.raises(ParameterError) as refusal:
        spec.require("rate_hz", 0.0)
    assert str(refusal.value) == "rate_hz: expected a number above 0 and at most 1000, got 0.0"
    with pytest.raises(ParameterError) as refusal:
        spec.require("rate_hz", 50)
    assert str(refusal.value) == "rate_hz: expected a number with a decimal point, such as 50.0, got 50"


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        (False, "true", True),
        (True, "False", False),
        (False, "1", True),
        (0, "7", 7),
        (1.0, "100", 100.0),
        ("", "7", "7"),
    ],
)
def test_an_arguments_text_becomes_a_value_of_the_parameters_type(default, text, value):
    parsed = ParameterSpec(default, "x").parse("x", text)
    assert parsed == value
    assert type(parsed) is type(default)


@pytest.mark.parametrize(("default", "text"), [(False, "maybe"), (0, "7.5"), (0, "many"), (1.0, "fast")])
def test_an_arguments_text_that_is_no_such_value_is_refused(default, text):
    with pytest.raises(ParameterError, match=f"^x: expected .*, got '{text}'"):
        ParameterSpec(default, "x").parse("x", text)


def test_a_running_node_refuses_what_it_would_not_start_with():
    def asked(name: str, value: object) -> SetParametersResult:
        return check(driver.PARAMETERS, [Parameter(name, value=value)])

    assert asked("command_source", "policy").successful
    assert "expected one of" in asked("command_source", "foo").reason
    assert not asked("joint_state_rate_hz", math.nan).successful


# Where a value comes from; real nodes, which nobody hears

SPECS = {
    "mode": ParameterSpec("easy", "mode", choices=("easy", "hard", "file")),
    "rate_hz": ParameterSpec(50.0, ""),
}
NODE_NAMES = ["/**", "/**/arm", "/piper/arm", "/piper/*"]


@pytest.fixture(scope="module", autouse=True)
def graph():
    with claimed_domain() as domain, pytest.MonkeyPatch.context() as patch:
        for name, value in ros_environment(domain).items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def node(tmp_path):
    """Declares `SPECS` on a node started with these words."""
    contexts = []

    def start(*words: str, file: str = "") -> rclpy.node.Node:
        path = tmp_path / "params.yaml"
        path.write_text(file or "{}")
        files = ["--params-file", str(path)] if file else []
        contexts.append(rclpy.Context())
        rclpy.init(args=["--ros-args", *files, *words], context=contexts[-1])
        started = rclpy.create_node("arm", namespace="piper", context=contexts[-1])
        declare(started, SPECS)
        return started

    yield start
    for context in contexts:
        rclpy.try_shutdown(context=context)


def mode_file(name: str, others: str = "") -> str:
    return f"{others}{name}:\n  ros__parameters:\n    mode: file\n"


def test_without_anything_a_parameter_has_its_default(node):
    assert node("-p", 'argument.mode:=""').get_parameter("mode").value == "easy"


@pytest.mark.parametrize("name", NODE_NAMES)
def test_an_argument_that_is_not_given_leaves_a_parameter_file_alone(node, name):
    started = node("-p", 'argument.mode:=""', file=mode_file(name))
    assert started.get_parameter("mode").value == "file"


@pytest.mark.parametrize("name", NODE_NAMES)
def test_an_argument_that_is_given_overrules_a_parameter_file_however_that_names_its_node(node, name):
    others = "/**:\n  ros__parameters:\n    other: 1\n" if name != "/**" else ""
    started = node("-p", 'argument.mode:="hard"', file=mode_file(name, others))
    assert started.get_parameter("mode").value == "hard"
    assert not started.has_parameter("argument.mode")


def test_a_parameter_file_of_another_type_is_refused(node):
    with pytest.raises(ParameterError, match=r"rate_hz: expected a number with a decimal point.*, got 50"):
        node("-p", "rate_hz:=50")


@pytest.mark.parametrize(
    "word", ["use_sim_time:=true", "argument.use_sim_time:=true", 'argument.use_sim_time:="1"']
)
def test_simulated_time_is_refused(node, word):
    with pytest.raises(ParameterError, match="use_sim_time: expected false, got true"):
        node("-p", word)


def test_a_running_node_refuses_simulated_time(node):
    (result,) = node().set_parameters([Parameter("use_sim_time", value=True)])
    assert not result.successful


def test_a_name_that_no_parameter_has_is_found(node):
    assert unknown_parameters(node("-p", "mode:=hard", "-p", "rate:=50.0")) == ["rate"]


@pytest.mark.parametrize("name", NODE_NAMES)
def test_a_second_parameter_file_overrules_the_first(node, tmp_path, name):
    first = tmp_path / "first.yaml"
    first.write_text("/**/arm:\n  ros__parameters:\n    mode: hard\n    rate_hz: 7.0\n")
    second = tmp_path / "second.yaml"
    second.write_text(mode_file(name))
    started = node("--params-file", str(first), "--params-file", str(second))
    assert started.get_parameter("mode").value == "file"
    assert started.get_parameter("rate_hz").value == 7.0


def test_the_shipped_parameter_file_names_only_parameters_that_its_nodes_have_and_allow():
    shipped = Path(__file__).parents[2] / "ros2_ws" / "src" / "mivla_bringup" / "params" / "robot.yaml"
    for pattern, section in yaml.safe_load(shipped.read_text()).items():
        specs = NODES[pattern.removeprefix("/**/")].PARAMETERS
        for name, value in section["ros__parameters"].items():
            specs[name].require(name, value)


def test_a_launch_files_default_stands_below_a_parameter_file_and_above_the_nodes_own(node, tmp_path):
    assert node("-p", "default.mode:=hard").get_parameter("mode").value == "hard"
    assert unknown_parameters(node("-p", "default.mode:=hard")) == []
    file = tmp_path / "mine.yaml"
    file.write_text(mode_file("/**"))
    given = ("--params-file", str(file), "-p", "default.mode:=hard")
    assert node(*given).get_parameter("mode").value == "file"
    assert node(*given, "-p", "argument.mode:=easy").get_parameter("mode").value == "easy"


@pytest.mark.parametrize("text", ["9" * 4000, "9" * 5000, "x" * 100_000])
def test_a_text_that_is_no_number_is_refused_in_a_short_line(text):
    spec = ParameterSpec(1, "a number", maximum=10)
    with pytest.raises(ParameterError, match=r"^seed: expected ") as refusal:
        spec.require("seed", spec.parse("seed", text))
    assert len(str(refusal.value)) < 200


def test_a_text_that_no_path_has_is_refused():
    spec = ParameterSpec("piper", "a robot")
    with pytest.raises(ParameterError, match="expected at most 4096 characters, got 100000"):
        spec.require("robot", "x" * 100_000)
