"""`mivla demos`: record demonstrations of the scripted expert, one MCAP folder per episode."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mivla_bringup.commands.launch import find_launch_file
from mivla_bringup.commands.trials import FEEDBACK_RATE_HZ, NOT_COMPLETE, require_all_alive
from mivla_bringup.commands.values import folder, not_negative, positive
from mivla_bringup.demos.leader import LeaderArm
from mivla_bringup.demos.progress import PROGRESS, DemonstrationProgress, refuse_demonstrations
from mivla_bringup.launcher.plan import Plan, plan_launch
from mivla_bringup.launcher.runner import Launch
from mivla_bringup.run_folder import claimed_folder, read_json
from mivla_bringup.stop_key.attendant import attended
from mivla_bringup.trials.errors import RunQuit, TrialError, TryLeftOut
from mivla_bringup.trials.launch_log import LaunchLog
from mivla_bringup.trials.provenance import command_line, digest_of_contract
from mivla_bringup.trials.results import LOG
from mivla_bringup.trials.scene import TrialPlan
from mivla_drivers.contract import RobotContract, load_contract
from mivla_drivers.errors import MivlaError
from mivla_drivers.robots import DEFAULT_ROBOT
from mivla_drivers.ros import network
from mivla_drivers.ros.robot_client import RobotClient, RobotClientError
from mivla_drivers.simulation.task import Task
from mivla_drivers.simulation.tasks import DEFAULT_TASK, load_task, task_reference

if TYPE_CHECKING:
    from mivla_bringup.demos.session import DemonstrationSession

DEFAULTS: dict[str, Any] = {
    "robot": DEFAULT_ROBOT,
    "task": DEFAULT_TASK,
    "episodes": 30,
    "seed": 0,
    "hard_every": 2,
    "leader": False,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mivla demos`; what is not given is None, for --resume takes it from the folder."""

    def add(name: str, help_text: str, **how: Any) -> None:
        default = DEFAULTS[name.lstrip("-").replace("-", "_")]
        parser.add_argument(name, help=f"{help_text} ({default})", **how)

    add("--robot", "robot's name, or the path of a robot.yaml")
    add("--task", "task's name, or the path of its .py file", metavar="NAME")
    add("--episodes", "successful ones to record", type=positive(int), metavar="N")
    add("--seed", "seed of the first scene; the next one has S + 1", type=not_negative(int), metavar="S")
    add("--hard-every", "every Kth scene is a hard one, 0: none", type=not_negative(int), metavar="K")
    parser.add_argument(
        "--out",
        type=folder,
        default=Path("data/demos"),
        metavar="DIR",
        help="one that has episodes is refused (%(default)s)",
    )
    parser.add_argument(
        "--leader",
        action="store_true",
        default=None,
        help="by an emulated leader arm, which a scripted operator moves with reaction time, tremor and corrections",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --out, where it was stopped"
    )


def run(args: argparse.Namespace) -> int:
    """Record until N demonstrations have succeeded; `NOT_COMPLETE` where an operator ended it before.

    Raises:
        MivlaError: nothing was touched: an argument is wrong, or `--out` holds episodes.
        TrialError: simulator, driver or recorder refuses, falls silent or ends; or too many demonstrations fail.
        RobotClientError: one of them refuses or does not answer.
        Interrupted: by a signal. In both cases whole episodes are kept, and the one under way is discarded.
    """
    found = read_json(args.out / PROGRESS) if args.resume else {}
    for name, default in DEFAULTS.items():
        if getattr(args, name) is None:
            setattr(args, name, found.get(name, default))
    contract, task = load_contract(args.robot), load_task(args.task)
    args.task = task_reference(args.task)  # a resumed run finds it from another folder too
    plan = _bringup(args, contract)
    if not args.resume:
        refuse_demonstrations(args.out)
    settings = {name: getattr(args, name) for name in DEFAULTS if name != "leader" or args.leader}
    with claimed_folder(args.out):
        progress = DemonstrationProgress(args.out, {**settings, "robot_sha256": digest_of_contract(contract)})
        if args.resume:
            progress.resume()
        try:
            if progress.kept < args.episodes:
                progress.write()
                return _run_bringup(progress, plan, contract, task, args)
        finally:
            with suppress(OSError):  # the terminal is gone, the episodes are written
                _print_report(progress, args)
    return 0


def _run_bringup(
    progress: DemonstrationProgress,
    plan: Plan,
    contract: RobotContract,
    task: Task[Any],
    args: argparse.Namespace,
) -> int:
    """Record what is missing; the exit code."""
    from mivla_bringup.demos.session import DemonstrationSession

    with ExitStack() as stack:
        network.apply(stack.enter_context(network.claimed_domain()))
        log = stack.enter_context(LaunchLog(args.out / LOG, command_line()))
        arm = None
        if args.leader:
            arm = stack.enter_context(LeaderArm(contract, args.out, args.seed))
            plan = _bringup(args, contract, arm.file)
        launch = stack.enter_context(Launch(plan.processes, say=log.write))
        attendant = stack.enter_context(attended(contract.robot))

        def check() -> None:
            require_all_alive(launch, log.path)
            attendant.check()

        client = stack.enter_context(RobotClient(contract.robot, check=check))
        session = DemonstrationSession(contract, task, client, arm)
        print(f"starting simulator, driver and recorder ...  {attendant.hint}".rstrip(), flush=True)
        session.wait_until_ready()
        try:
            _record(session, progress, task, args, lambda: attendant.resume(client))
        except RunQuit:
            return NOT_COMPLETE
    return 0


def _bringup(args: argparse.Namespace, contract: RobotContract, leader: Path | None = None) -> Plan:
    robot = Path(args.robot)  # a file or a name, as load_contract takes it
    arguments = {
        "sim": "true",
        "sim_bus": f"emulated:demos-{os.getpid()}",
        "robot": str(robot.resolve()) if robot.suffix == ".yaml" else args.robot,
        "namespace": contract.robot,
        "task": args.task,
        "policy": "false",
        "record": "true",
        "feedback_rate_hz": FEEDBACK_RATE_HZ,
        "record_folder": str(args.out.resolve()),
    }
    if leader is not None:
        arguments |= {"teleop": "true", "leader": str(leader.resolve())}
    return plan_launch(find_launch_file("robot.launch.yaml"), arguments)


def _record(
    session: DemonstrationSession,
    progress: DemonstrationProgress,
    task: Task[Any],
    args: argparse.Namespace,
    resume: Callable[[], None],
) -> None:
    """`resume` waits for an operator who stopped the arm; such a demonstration is tried again."""
    while progress.kept < args.episodes:
        resume()
        attempts = len(progress.attempts)
        if attempts >= 2 * args.episodes + 5:
            raise TrialError(
                f"demos: expected {args.episodes} successes, got {progress.kept} of {attempts} attempts"
            )
        seed = args.seed + attempts
        hard = args.hard_every and attempts % args.hard_every == args.hard_every - 1
        mode = "hard" if hard and "hard" in task.conditions else task.conditions[0]
        instruction = task.instruction(task.scene(seed, mode))
        plan = TrialPlan(attempts + 1, seed, mode, instruction, time_limit_s=30.0)
        try:
            success, word = session.record(plan)
        except (TrialError, RobotClientError):
            raise
        except TryLeftOut as left:
            print(f"  no demonstration: {left}", flush=True)
            continue
        except MivlaError as error:  # a scene out of reach is no demonstration; the next seed is tried
            success, word = False, str(error)
        busy = session.overload
        progress.add(seed, mode, success, word.splitlines()[0] if success else "", busy)
        print(f"{progress.kept:3d}/{args.episodes}  seed {seed} {mode}: {_short(word)}", flush=True)
        if busy:
            print(f"  this machine did not keep up: {'; '.join(busy)}", flush=True)


def _print_report(progress: DemonstrationProgress, args: argparse.Namespace) -> None:
    print(f"{args.out}: {progress.kept} demonstrations of {len(progress.attempts)} attempts")
    if progress.kept < args.episodes:
        print(
            f"INCOMPLETE: {progress.kept} of {args.episodes}. To go on: mivla demos --resume --out {args.out}",
            flush=True,
        )


def _short(word: str) -> str:
    """The recorder's folder, and what its audit found wrong."""
    first, *audit = word.splitlines()
    return "\n".join([first, *(line for line in audit if line.startswith("problem"))])
