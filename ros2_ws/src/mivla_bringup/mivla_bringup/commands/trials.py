"""`mivla trials`: start a simulated bringup, run trials in it, and measure the policy."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from mivla_bringup.commands.launch import find_launch_file
from mivla_bringup.launcher.plan import plan_launch
from mivla_bringup.launcher.runner import Launch
from mivla_bringup.trials.metrics import Trial, summarise
from mivla_bringup.trials.report import table, trial_line, write_csv, write_summary
from mivla_bringup.trials.session import TrialError, TrialPlan, TrialSession
from mivla_bringup.trials.video import write_video
from mivla_drivers import network
from mivla_drivers.contract import RobotContract, load_contract
from mivla_drivers.simulation.task import MoveBottleOntoPad
from mivla_policy.shipped_models import DEFAULT_POLICY, find_model

INSTRUCTIONS = {MoveBottleOntoPad.name: MoveBottleOntoPad.instruction}
LOG_LINES_SHOWN = 12
# A real arm sends its joints 200 times a second; half of that leaves two cores enough for everything else.
FEEDBACK_RATE_HZ = "100.0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mivla trials`."""
    add = parser.add_argument
    add("--robot", default="piper", help="robot's name (%(default)s)")
    add("--task", default=MoveBottleOntoPad.name, choices=sorted(INSTRUCTIONS), help="(%(default)s)")
    add("--trials", type=_positive(int), default=10, metavar="N", help="how many (%(default)s)")
    add(
        "--seed",
        type=int,
        default=1000,
        metavar="S",
        help="trial i furnishes its scene with S + i (%(default)s)",
    )
    add("--mode", choices=("easy", "hard"), default="easy", help="(%(default)s)")
    add(
        "--policy",
        type=Path,
        default=DEFAULT_POLICY,
        metavar="DIR",
        help="or a shipped one's name (%(default)s)",
    )
    add("--out", type=Path, default="build/trials", metavar="DIR", help="results; replaced (%(default)s)")
    add(
        "--time-limit",
        type=_positive(float),
        default=30.0,
        metavar="SECONDS",
        help="of a trial (%(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the trials and print their table; 0 however well the policy did.

    Raises:
        DataError: the policy is missing.
        TrialError: simulator, driver or policy refuses, falls silent or ends.
    """
    find_model(args.policy)
    contract = load_contract(args.robot)
    _clear(args.out)
    with ExitStack() as stack:
        domain_id = stack.enter_context(network.claimed_domain())
        network.apply(domain_id)
        log = stack.enter_context((args.out / "launch.log").open("w", buffering=1))
        launch = stack.enter_context(_bringup(args, log))
        session = TrialSession(contract, contract.robot, lambda: require_all_alive(launch, Path(log.name)))
        stack.enter_context(session)
        print("starting simulator, driver and policy ...", flush=True)
        session.wait_until_ready()
        trials = _run_trials(session, contract, args)
    summary = summarise(trials)
    about = {name: getattr(args, name) for name in ("seed", "mode", "robot", "task")}
    write_summary(
        args.out / "summary.json",
        summary,
        {**about, "policy": str(args.policy), "time_limit_s": args.time_limit},
    )
    print(table(summary, f"{args.task}, {args.mode}, seeds {args.seed} to {args.seed + args.trials - 1}"))
    print(f"videos, trials.csv and summary.json: {args.out}")
    return 0


def _run_trials(session: TrialSession, contract: RobotContract, args: argparse.Namespace) -> list[Trial]:
    """Run one trial after the other; each is on disk before the next begins."""
    trials: list[Trial] = []
    for number in range(args.trials):
        seed = args.seed + number

        def show(time_s: float, subtasks: Mapping[str, bool], end: str = "", seed: int = seed) -> None:
            _show(trial_line(len(trials), args.trials, seed, time_s, subtasks, end), last=bool(end))

        plan = TrialPlan(number, seed, args.mode, INSTRUCTIONS[args.task], args.time_limit)
        trial, moments = session.run(plan, show)
        show(trial.time_s, trial.subtasks, "success" if trial.success else "failure")
        trials.append(trial)
        write_csv(args.out / "trials.csv", trials, args.mode)
        if moments:
            write_video(args.out / f"trial_{number:03d}.webm", moments, contract.cameras[0].rate_hz)
    return trials


def _bringup(args: argparse.Namespace, log: TextIO) -> Launch:
    """The robot's bringup in simulation, on a bus of its own; its output goes to `log`."""
    arguments = {
        "sim": "true",
        "sim_bus": f"emulated:trials-{os.getpid()}",
        "task": args.task,
        "mode": args.mode,
        "seed": str(args.seed),
        "feedback_rate_hz": FEEDBACK_RATE_HZ,
        "model": str(find_model(args.policy).resolve()),
    }
    plan = plan_launch(find_launch_file(f"{args.robot}.launch.yaml"), arguments)
    return Launch(plan.processes, say=lambda line: print(line, file=log))


def require_all_alive(launch: Launch, log: Path) -> None:
    """Refuse to go on where a process of the bringup has ended.

    Raises:
        TrialError: names the processes, their exit codes, and the last lines of `log`.
    """
    if launch.exits:
        ended = ", ".join(f"{label} (exit code {code})" for label, code in launch.exits.items())
        last = "\n".join(f"    {line}" for line in log.read_text().splitlines()[-LOG_LINES_SHOWN:])
        raise TrialError(f"ended in the middle of the trials: {ended}. The last lines of {log}:\n{last}")


def _show(line: str, last: bool) -> None:
    """A line that is written over until its last version; without a terminal only that one is printed."""
    if sys.stdout.isatty():
        print(f"\r\033[K{line}", end="\n" if last else "", flush=True)
    elif last:
        print(line, flush=True)


def _clear(out: Path) -> None:
    """Make the folder, without results of an earlier run that could pass for this one's."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("trials.csv", "summary.json", "launch.log", "trial_*.webm"):
        for file in out.glob(name):
            file.unlink()


def _positive(kind: type[int] | type[float]):
    def parse(text: str) -> int | float:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
        return value

    return parse
