"""The launch file of a GPU host: the policy alone, in the robot's namespace."""

from mivla_bringup.commands.launch import find_launch_file
from mivla_bringup.launcher.plan import plan_launch


def test_a_gpu_host_starts_the_policy_and_nothing_that_drives_a_robot():
    arguments = {"namespace": "left", "model": "models/my_task", "network": "true", "interface": "lo"}
    plan = plan_launch(find_launch_file("policy.launch.yaml"), arguments)
    nodes = [process for process in plan.processes if "__node:=policy" in " ".join(process.command)]
    assert [process.name for process in plan.processes] == ["network", "policy"]
    (policy,) = nodes
    assert "__ns:=/left" in " ".join(policy.command)
    assert policy.environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"
    assert policy.environment["MIVLA_INTERFACE"] == "lo"
    assert policy.required
