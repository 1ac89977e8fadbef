"""`mivla dataset replay`: an episode played again, on a running robot or in a simulation of its own."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from mivla_bringup.commands.launch import find_launch_file
from mivla_bringup.commands.trials import require_all_alive
from mivla_bringup.dataset.editing import confirmed
from mivla_bringup.dataset.replay_session import ReplaySession
from mivla_bringup.launcher.plan import plan_launch
from mivla_bringup.launcher.runner import Launch
from mivla_bringup.stop_key.attendant import attended
from mivla_bringup.trials.launch_log import LaunchLog
from mivla_bringup.trials.operated_robot import OperatedRobot
from mivla_bringup.trials.provenance import command_line
from mivla_bringup.trials.scene import SimulatedScene, TrialPlan
from mivla_drivers.contract import RobotContract, load_contract
from mivla_drivers.recording.episode import Episode
from mivla_drivers.recording.reader import read_episode
from mivla_drivers.ros import network
from mivla_drivers.ros.robot_client import RobotClient

FAILED = 1
READY_S = 60.0
WARNING = (
    "The robot goes to the episode's start, at ramp speed, and then moves as it was commanded then, whatever is in its "
    "way now. Keep clear of it, with the hardware emergency stop in reach; Ctrl-C lets it hold."
)


def replay_episode(args: argparse.Namespace) -> int:
    """Play it, and tell how well the robot did it again; 1 where a simulated task that was done then is not done now.

    Raises:
        MivlaError: the episode is not whole or another robot's, or the robot does not follow; it holds.
    """
    episode = read_episode(args.folder)
    if args.sim:
        return _in_simulation(episode, args)
    network.apply(network=args.interface is not None, interface=args.interface)
    with ExitStack() as stack:
        namespace = args.namespace or episode.contract.robot
        attendant = stack.enter_context(attended(namespace))
        client = stack.enter_context(RobotClient(namespace, check=attendant.check))
        client.wait_for_driver()
        contract = load_contract(client.get_parameters("driver", "robot")["robot"])
        session = ReplaySession(episode, contract, client)
        session.wait_until_ready()
        print(f"{WARNING} {attendant.hint}".rstrip())
        if not confirmed(f"Play {_words(episode)}?", args):
            return FAILED
        attendant.resume(client)  # from now on a stop ends the replay
        _play(session, lambda: None)
    return 0


def _in_simulation(episode: Episode, args: argparse.Namespace) -> int:
    """The same scene again, where the episode was recorded in one; the robot's driver is the real one."""
    robot = args.robot or episode.contract.robot
    contract = load_contract(robot)
    with _bringup(robot, contract, episode) as client:
        robot_of_trials, scene = OperatedRobot(contract, client), SimulatedScene(client)
        robot_of_trials.wait_until_ready(READY_S)
        scene.wait_until_ready(READY_S)
        session = ReplaySession(episode, contract, client)
        session.wait_until_ready(READY_S)
        robot_of_trials.go_home()  # waits until the motors are up
        if episode.seed is None:
            _play(session, lambda: None)
            return 0
        plan = TrialPlan(0, episode.seed, episode.mode or "easy", episode.instruction, time_limit_s=0.0)
        _play(session, lambda: scene.begin(plan))
        client.spin_for(0.5)  # the task looks once more at what stands still
        done = scene.look()
        print(f"task: {'done' if done.success else 'not done'} {dict(done.subtasks)}")
        return 0 if done.success or not episode.success else FAILED


@contextmanager
def _bringup(robot: str, contract: RobotContract, episode: Episode) -> Iterator[RobotClient]:
    """A simulator and a driver on loopback, in a domain of their own."""
    arguments = {
        "sim": "true",
        "sim_bus": f"emulated:replay-{os.getpid()}",
        "robot": str(Path(robot).resolve()) if robot.endswith(".yaml") else robot,
        "namespace": contract.robot,
        "policy": "false",
    }
    if episode.seed is not None:
        arguments["task"] = episode.task
    plan = plan_launch(find_launch_file("robot.launch.yaml"), arguments)
    with ExitStack() as stack:
        network.apply(stack.enter_context(network.claimed_domain()))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="mivla-replay-")))
        log = stack.enter_context(LaunchLog(folder / "bringup.log", command_line()))
        launch = stack.enter_context(Launch(plan.processes, say=log.write))
        print("starting simulator and driver ...", flush=True)
        yield stack.enter_context(
            RobotClient(contract.robot, check=lambda: require_all_alive(launch, log.path))
        )


def _play(session: ReplaySession, before: Callable[[], object]) -> None:
    result = session.play(before)
    print(
        f"played {result.seconds:.1f} s; the joints were {result.mean_rad:.4f} rad from where they were then on "
        f"average, {result.joint} {result.farthest:.3f} {result.unit} at most"
    )


def _words(episode: Episode) -> str:
    begin, end = episode.command_span
    return f"{episode.folder.name}, {end - begin:.1f} s: {episode.instruction}"
