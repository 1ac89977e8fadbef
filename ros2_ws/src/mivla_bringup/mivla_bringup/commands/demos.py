"""`mivla demos`: record demonstrations of the scripted expert, one MCAP folder an episode."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mivla_bringup.commands.launch import find_launch_file
from mivla_bringup.commands.trials import FEEDBACK_RATE_HZ, require_all_alive
from mivla_bringup.launcher.plan import plan_launch
from mivla_bringup.launcher.runner import Launch
from mivla_bringup.trials.session import TrialError, TrialPlan
from mivla_drivers import network
from mivla_drivers.contract import load_contract
from mivla_drivers.errors import MivlaError
from mivla_drivers.simulation.task import Task
from mivla_drivers.simulation.tasks import DEFAULT_TASK, load_task, task_reference


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mivla demos`."""
    add = parser.add_argument
    add("--robot", default="piper", help="robot's name (%(default)s)")
    add("--task", default=DEFAULT_TASK, metavar="NAME", help="task's name or .py file (%(default)s)")
    add("--episodes", type=int, default=30, metavar="N", help="successful ones to record (%(default)s)")
    add(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="seed of the first scene; the next one has S + 1 (%(default)s)",
    )
    add(
        "--hard-every",
        type=int,
        default=2,
        metavar="K",
        help="every Kth scene is a hard one, 0: none (%(default)s)",
    )
    add("--out", type=Path, default=Path("data/demos"), metavar="DIR", help="(%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Record until N demonstrations have succeeded.

    Raises:
        TrialError: simulator, driver or recorder refuses, falls silent or ends; or too many demonstrations fail.
        DataError: there is no such task.
    """
    from mivla_bringup.demos.session import DemonstrationSession

    task = load_task(args.task)
    args.out.mkdir(parents=True, exist_ok=True)
    contract = load_contract(args.robot)
    with ExitStack() as stack:
        network.apply(stack.enter_context(network.claimed_domain()))
        log = stack.enter_context((args.out / "launch.log").open("w", buffering=1))
        arguments = {
            "sim": "true",
            "sim_bus": f"emulated:demos-{os.getpid()}",
            "task": task_reference(args.task),
            "policy": "false",
            "record": "true",
            "feedback_rate_hz": FEEDBACK_RATE_HZ,
            "record_folder": str(args.out.resolve()),
        }
        plan = plan_launch(find_launch_file(f"{args.robot}.launch.yaml"), arguments)
        launch = stack.enter_context(Launch(plan.processes, say=lambda line: print(line, file=log)))
        session = DemonstrationSession(
            contract, task, contract.robot, lambda: require_all_alive(launch, Path(log.name))
        )
        stack.enter_context(session)
        print("starting simulator, driver and recorder ...", flush=True)
        session.wait_until_ready()
        _record(session, task, args)
    return 0


def _record(session, task: Task[Any], args: argparse.Namespace) -> None:
    kept = attempts = 0
    while kept < args.episodes:
        if attempts >= 2 * args.episodes + 5:
            raise TrialError(f"demos: expected {args.episodes} successes, got {kept} of {attempts} attempts")
        seed = args.seed + attempts
        hard = args.hard_every and attempts % args.hard_every == args.hard_every - 1
        mode = "hard" if hard and "hard" in task.conditions else task.conditions[0]
        attempts += 1
        instruction = task.instruction(task.sample_scene(seed, mode))
        plan = TrialPlan(attempts, seed, mode, instruction, time_limit_s=30.0)
        try:
            success, word = session.record(plan)
        except TrialError:
            raise
        except MivlaError as error:  # a scene out of reach is no demonstration; the next seed is tried
            success, word = False, str(error)
        kept += success
        print(f"{kept:3d}/{args.episodes}  seed {seed} {mode}: {_short(word)}", flush=True)


def _short(word: str) -> str:
    """The recorder's folder, and what its audit found wrong."""
    first, *audit = word.splitlines()
    return "\n".join([first, *(line for line in audit if line.startswith("problem"))])
