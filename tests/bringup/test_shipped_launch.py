"""What the shipped launch files start, and with what."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mivla_bringup.commands.launch import parse_arguments
from mivla_bringup.launcher.arguments import declared_arguments
from mivla_bringup.launcher.packages import find_share
from mivla_bringup.launcher.plan import plan_launch

FOLDER = Path(find_share("mivla_bringup")) / "launch"
PIPER, ROBOT = FOLDER / "piper.launch.yaml", FOLDER / "robot.launch.yaml"


def test_the_simulated_bringup_starts_simulator_driver_and_policy_on_an_emulated_bus():
    simulator, driver, policy = plan_launch(PIPER, {"sim": "true"}).processes
    assert [simulator.name, driver.name, policy.name] == ["simulator", "driver", "policy"]
    for node in (simulator, driver):
        assert 'argument.bus:="emulated:robot"' in node.command
        assert node.required
    for node in (simulator, driver, policy):
        assert "__ns:=/piper" in node.command


def test_the_real_bringup_starts_a_camera_that_comes_again_and_keeps_the_contracts_bus():
    camera, driver, _ = plan_launch(PIPER, {}).processes
    assert camera.name == "camera"
    assert camera.respawn
    assert 'argument.bus:=""' in driver.command


@pytest.mark.parametrize("sim", ["true", "false"])
def test_an_argument_that_is_not_given_overrules_no_parameter_file(sim):
    """But for the bus of a simulated bringup, and whether it is one."""
    plan = plan_launch(PIPER, {"sim": sim, "record": "true"})
    given = {"argument.simulated"} | ({"argument.bus"} if sim == "true" else set())
    for process in plan.processes:
        words = process.command
        parameters = [words[i + 1].partition(":=") for i, word in enumerate(words) if word == "-p"]
        assert parameters
        for name, _, value in parameters:
            assert name.startswith("argument.") or (name, value) == ("default.robot", '"piper"')
            assert value == '""' or name in given or name == "default.robot"


def test_a_given_argument_goes_to_every_node_that_knows_it():
    plan = plan_launch(PIPER, {"sim": "true", "record": "true", "task": "x", "robot": "y"})
    takers = {p.name: {w for w in p.command if w.startswith("argument.")} for p in plan.processes}
    assert all('argument.robot:="y"' in words for words in takers.values())
    assert {name for name, words in takers.items() if 'argument.task:="x"' in words} == {
        "simulator",
        "recorder",
    }


def test_a_parameter_file_comes_on_top_of_the_shipped_one(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("{}")
    shipped = str(PIPER.parents[1] / "params" / "robot.yaml")
    for process in plan_launch(PIPER, {"params_file": str(mine)}).processes:
        words = process.command
        files = [words[i + 1] for i, word in enumerate(words) if word == "--params-file"]
        assert files == [shipped, str(mine)]
        assert process.environment["MIVLA_PARAMS_FILE"] == str(mine)
        assert process.environment["MIVLA_END_WITH_PARENT"] == "1"


def test_a_robots_own_file_has_the_arguments_of_every_robot_and_starts_the_same():
    assert {a.name for a in declared_arguments(PIPER)} == {a.name for a in declared_arguments(ROBOT)}
    given = {"namespace": "arm", "default_robot": "x", "sim": "true", "record": "true"}
    assert plan_launch(PIPER, given).processes == plan_launch(ROBOT, given).processes


def test_any_robot_is_launched_by_its_path():
    for process in plan_launch(ROBOT, {"robot": "mine/robot.yaml", "record": "true"}).processes:
        assert "__ns:=/robot" in process.command
        assert 'argument.robot:="mine/robot.yaml"' in process.command


@pytest.mark.parametrize("sim", ["true", "false"])
def test_where_all_views_come_from_elsewhere_no_camera_is_started(sim):
    plan = plan_launch(PIPER, {"cameras": "false", "sim": sim})
    assert "camera" not in [process.name for process in plan.processes]
    assert "driver" in [process.name for process in plan.processes]


def test_the_container_of_a_real_robot_reads_a_parameter_file_of_the_host():
    compose = yaml.safe_load((Path(__file__).parents[2] / "docker" / "compose.yaml").read_text())
    robot = compose["services"]["robot"]
    command, file, *words = robot["command"]
    assert (command, file) == ("launch", PIPER.name)
    mounted = {mount["target"] for mount in robot["volumes"] if isinstance(mount, dict)}
    assert parse_arguments(words)["params_file"] in mounted


def test_a_bringup_stays_on_this_machine_unless_it_is_opened():
    for process in plan_launch(PIPER, {}, {}).processes:
        assert process.environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
        assert process.environment["FASTDDS_DEFAULT_PROFILES_FILE"].endswith("loopback.xml")
    said, *others = plan_launch(PIPER, {"network": "true", "interface": "eth7"}, {}).processes
    assert "eth7." in said.command
    for process in others:
        assert process.environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"
        assert process.environment["MIVLA_INTERFACE"] == "eth7"


def test_every_argument_of_a_bringup_is_described():
    for argument in declared_arguments(PIPER):
        assert argument.description, argument.name
