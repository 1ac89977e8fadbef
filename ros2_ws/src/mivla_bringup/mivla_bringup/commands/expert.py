"""`mivla expert`: watch the scripted expert, which records the demonstrations, do its task."""

from __future__ import annotations

import argparse
from pathlib import Path

from mivla_bringup.trials.contact_sheet import write_contact_sheet
from mivla_bringup.trials.expert_trial import ExpertTrials
from mivla_bringup.trials.metrics import summarise
from mivla_bringup.trials.report import table, trial_line
from mivla_bringup.trials.video import write_video
from mivla_drivers.contract import load_contract
from mivla_drivers.simulation.tasks import DEFAULT_TASK, load_task


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mivla expert`."""
    add = parser.add_argument
    add("--robot", default="piper", help="robot's name (%(default)s)")
    add("--task", default=DEFAULT_TASK, metavar="NAME", help="task's name or .py file (%(default)s)")
    add(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="seed of the first scene; the next one has S + 1 (%(default)s)",
    )
    add("--mode", default="easy", help="easy, hard or another condition of the task (%(default)s)")
    add("--trials", type=_positive, default=1, metavar="N", help="how many (%(default)s)")
    add(
        "--out", type=Path, default=Path("build/expert"), metavar="DIR", help="videos, pictures (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the trials in lockstep and print their table; 0 however well the expert did.

    Raises:
        MivlaError: the arm does not reach a pose that the expert wants, or there is no such task or mode.
    """
    contract, task = load_contract(args.robot), load_task(args.task)
    task.check_condition(args.mode)
    args.out.mkdir(parents=True, exist_ok=True)
    trials = []
    with ExpertTrials(contract, task) as expert:
        for number in range(args.trials):
            seed = args.seed + number
            trial, moments = expert.run(number, seed, args.mode)
            end = "success" if trial.success else "failure"
            print(trial_line(number, args.trials, seed, trial.time_s, trial.subtasks, end), flush=True)
            name = f"expert_{args.mode}_{seed}"
            write_video(args.out / f"{name}.webm", moments, contract.cameras[0].rate_hz)
            write_contact_sheet(args.out / f"{name}.png", moments)
            trials.append(trial)
    seeds = f"seeds {args.seed} to {trials[-1].seed}"
    print(table(summarise(trials), f"scripted expert, {task.name}, {args.mode}, {seeds}"))
    print(f"videos and pictures: {args.out}")
    return 0


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return int(text)
