"""Whether a bringup can be recorded on, and its recorder told what is recorded."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from mivla_bringup.record.plan import SessionPlan
from mivla_bringup.trials.errors import TrialError
from mivla_bringup.trials.operated_robot import OperatedRobot
from mivla_bringup.trials.scene import SimulatedScene
from mivla_drivers.ros.robot_client import CallRefused, RobotClient

ACTIVE = "active"


def mode_of(client: RobotClient) -> str:
    """The driver's mode, as it said last; empty where it has said nothing."""
    return client.driver_report().values.get("mode", "")


def wait_for_bringup(
    client: RobotClient, robot: OperatedRobot, scene: SimulatedScene | None, deadline_s: float
) -> None:
    """Wait for driver and recorder, and for a simulated robot to have power.

    Raises:
        RobotClientError: one of them is missing after `deadline_s`.
    """
    robot.wait_until_ready(deadline_s)
    client.wait_for_services(("record", "save", "discard", "recorder/set_parameters"), deadline_s)
    if scene is not None:
        scene.wait_until_ready(deadline_s)
        client.wait_until(lambda: mode_of(client) == ACTIVE, deadline_s, "a simulated robot with power")
    robot.wait_for_listener(deadline_s)


def set_up_recorder(client: RobotClient, plan: SessionPlan, out: Path) -> str:
    """Have episodes of `plan` written to `out`; which one an earlier session left under way, empty where none was.

    Raises:
        TrialError: the recorder keeps another source's commands.
    """
    found = client.get_parameters("recorder", "source")["source"]
    if found != plan.source:
        raise TrialError(
            f"recorder: expected one of {plan.source} episodes: record_source:={plan.source} "
            f"at the launch, found {found}"
        )
    client.set_parameters(
        "recorder",
        folder=str(out.resolve()),
        task=plan.task,
        instruction=plan.instruction(None) or "left by an earlier session",
    )
    with suppress(CallRefused):
        return client.save().splitlines()[0]
    return ""
