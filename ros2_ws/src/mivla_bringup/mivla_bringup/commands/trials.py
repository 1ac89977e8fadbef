"""`mivla trials`: start a simulated bringup, run trials in it, and measure the policy."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from mivla_bringup.commands.launch import find_launch_file
from mivla_bringup.commands.values import not_negative, positive
from mivla_bringup.launcher.plan import Plan, plan_launch
from mivla_bringup.launcher.runner import Launch
from mivla_bringup.run_folder import RunFolderError, claimed_folder, dated_folder, read_json
from mivla_bringup.trials.launch_log import LaunchLog
from mivla_bringup.trials.metrics import summarise
from mivla_bringup.trials.provenance import command_line, digest_of_contract, digest_of_file
from mivla_bringup.trials.report import so_far, table, trial_line, troubles
from mivla_bringup.trials.results import LOG, SUMMARY, TrialResults, refuse_trials
from mivla_bringup.trials.session import TrialError, TrialPlan, TrialSession
from mivla_drivers import network
from mivla_drivers.contract import RobotContract, load_contract
from mivla_drivers.robots import DEFAULT_ROBOT
from mivla_drivers.simulation.task import Task
from mivla_drivers.simulation.tasks import DEFAULT_TASK, load_task, task_reference
from mivla_policy.policies import DEFAULT_BACKEND, require_spec, split_spec
from mivla_policy.policy_folder import WEIGHTS, check_policy_folder
from mivla_policy.shipped_models import DEFAULT_POLICY, find_model

LOG_LINES_SHOWN = 12
# A real arm sends its joints 200 times a second; half of that leaves two cores enough for everything else.
FEEDBACK_RATE_HZ = "100.0"
RUNS = Path("build/trials")
DEFAULTS: dict[str, Any] = {
    "robot": DEFAULT_ROBOT,
    "task": DEFAULT_TASK,
    "trials": 10,
    "seed": 1000,
    "mode": "easy",
    "policy": DEFAULT_POLICY,
    "time_limit": 30.0,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mivla trials`; what is not given is None, for --resume takes it from the folder."""

    def add(name: str, help_text: str, **how: Any) -> None:
        default = DEFAULTS[name.lstrip("-").replace("-", "_")]
        parser.add_argument(name, help=f"{help_text} ({default})".strip(), **how)

    add("--robot", "robot's name, or the path of a robot.yaml")
    add("--task", "task's name, or the path of its .py file", metavar="NAME")
    add("--trials", "how many", type=positive(int), metavar="N")
    add("--seed", "seed of the first scene; the next one has S + 1", type=not_negative(int), metavar="S")
    add("--mode", "easy, hard or another condition of the task")
    add("--policy", "a policy's folder, a shipped one's name, or BACKEND:WHERE", metavar="DIR")
    add("--time-limit", "of a trial", type=positive(float), metavar="SECONDS")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=f"results; one that has some is refused ({RUNS}/DATE)"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in --out, where it was stopped, or with more --trials",
    )


def run(args: argparse.Namespace) -> int:
    """Run the trials and print their table; 0 however well the policy did.

    Raises:
        MivlaError: nothing was touched: an argument is wrong, the policy cannot be read or is of another robot, or
            `--out` holds results.
        TrialError: simulator, driver or policy refuses, falls silent or ends; what was done until then is kept.
        Interrupted: by a signal; the same.
    """
    out = _out(args)
    _fill_in(args, out)
    task = load_task(args.task)
    task.check_condition(args.mode)
    contract = load_contract(args.robot)
    args.policy, digest = _check_policy(args.policy, contract)
    plan = _bringup(args, contract)
    if not args.resume:
        refuse_trials(out)
    with claimed_folder(out):
        results = TrialResults(out, settings(args, contract, digest))
        if args.resume:
            results.resume()
        if results.complete:
            print(_report(results, args))
            return 0
        results.write()
        try:
            _run_trials(results, plan, contract, task, args)
        finally:
            results.write()
            with suppress(OSError):  # the terminal is gone, the results are written
                if sys.stdout.isatty() and not results.complete:
                    print()  # below the line of the trial under way
                print(_report(results, args), flush=True)
    return 0


def _out(args: argparse.Namespace) -> Path:
    if args.resume and args.out is None:
        raise RunFolderError("--resume: expected the folder of the run to go on with, as --out DIR, got none")
    return args.out or dated_folder(RUNS)


def _fill_in(args: argparse.Namespace, out: Path) -> None:
    """What was not given comes from the run that is resumed, else from the defaults."""
    found = read_json(out / SUMMARY) if args.resume else {}
    for name, default in DEFAULTS.items():
        if getattr(args, name) is None:
            value = found.get("time_limit_s" if name == "time_limit" else name, default)
            setattr(args, name, value)


def _check_policy(spec: str, contract: RobotContract) -> tuple[str, str | None]:
    """Where a policy is, and the SHA-256 of its weights; None for another backend than MiVLA's.

    Such a backend refuses what it cannot load when it starts.

    Raises:
        MivlaError: there is no such policy or backend, or it is of another robot.
    """
    require_spec(spec)
    backend, where = split_spec(spec)
    if backend != DEFAULT_BACKEND:
        return spec, None
    folder = find_model(where)
    check_policy_folder(folder, contract)
    return str(folder), digest_of_file(folder / WEIGHTS)


def settings(args: argparse.Namespace, contract: RobotContract, policy_sha256: str | None) -> dict[str, Any]:
    """What decides a result, as its summary tells it."""
    return {
        "task": args.task,
        "robot": args.robot,
        "robot_sha256": digest_of_contract(contract),
        "policy": args.policy,
        "policy_sha256": policy_sha256,
        "mode": args.mode,
        "seed": args.seed,
        "trials": args.trials,
        "time_limit_s": args.time_limit,
    }


def _run_trials(
    results: TrialResults, plan: Plan, contract: RobotContract, task: Task[Any], args: argparse.Namespace
) -> None:
    """Start the bringup and run one trial after the other; each is on disk before the next begins."""
    with ExitStack() as stack:
        domain_id = stack.enter_context(network.claimed_domain())
        network.apply(domain_id)
        log = stack.enter_context(LaunchLog(results.out / LOG, command_line()))
        launch = stack.enter_context(Launch(plan.processes, say=log.write))
        session = TrialSession(contract, contract.robot, lambda: require_all_alive(launch, log.path))
        stack.enter_context(session)
        print("starting simulator, driver and policy ...", flush=True)
        try:
            session.wait_until_ready()
        except TrialError as error:
            require_all_alive(launch, log.path)
            raise TrialError(f"{error}. {_last_lines(log.path)}") from None
        began, before = time.monotonic(), len(results.trials)
        for number in range(before, args.trials):
            with results.attempt(number, args.seed + number):
                _run_trial(_plan(number, task, args), session, results, log, contract)
            each = (time.monotonic() - began) / (len(results.trials) - before)
            left_s = each * (args.trials - len(results.trials))
            print(f"  {so_far(results.trials, args.trials, left_s)}", flush=True)


def _run_trial(
    plan: TrialPlan, session: TrialSession, results: TrialResults, log: LaunchLog, contract: RobotContract
) -> None:
    warned = log.warnings

    def show(time_s: float, subtasks: Mapping[str, bool], end: str = "") -> None:
        line = trial_line(plan.number, results.wanted, plan.seed, time_s, subtasks, end)
        _show(line, last=bool(end))

    trial, moments = session.run(plan, show)
    trial = replace(trial, warnings=log.warnings - warned)
    show(trial.time_s, trial.subtasks, trial.outcome)
    if said := troubles([trial]):
        print(f"  {said}; see {log.path}", flush=True)
    results.add(trial)  # before the video, which takes a while and may be interrupted
    if moments:
        results.film(trial, moments, contract.cameras[0].rate_hz)


def _plan(number: int, task: Task[Any], args: argparse.Namespace) -> TrialPlan:
    seed = args.seed + number
    instruction = task.instruction(task.sample_scene(seed, args.mode))
    return TrialPlan(number, seed, args.mode, instruction, args.time_limit)


def _report(results: TrialResults, args: argparse.Namespace) -> str:
    """The table of what was done, where it lies, and what is missing."""
    lines = []
    if results.trials:
        title = f"{args.task}, {args.mode}, seeds {args.seed} to {results.trials[-1].seed}"
        lines += [table(summarise(results.trials), title)]
        if said := troubles(results.trials):
            lines += [f"  {said}: see {LOG}, trials.csv"]
        lines += [f"videos, trials.csv and summary.json: {results.out}"]
    if not results.complete:
        lines += [
            f"INCOMPLETE: {len(results.trials)} of {args.trials} trials. "
            f"To go on: mivla trials --resume --out {results.out}"
        ]
    return "\n".join(lines)


def _bringup(args: argparse.Namespace, contract: RobotContract) -> Plan:
    """The robot's bringup in simulation, on a bus of its own."""
    robot = Path(args.robot)  # a file or a name, as load_contract takes it
    arguments = {
        "sim": "true",
        "sim_bus": f"emulated:trials-{os.getpid()}",
        "robot": str(robot.resolve()) if robot.suffix == ".yaml" else args.robot,
        "namespace": contract.robot,
        "task": task_reference(args.task),
        "mode": args.mode,
        "seed": str(args.seed),
        "feedback_rate_hz": FEEDBACK_RATE_HZ,
        "model": args.policy,  # nodes start in this folder
    }
    return plan_launch(find_launch_file("robot.launch.yaml"), arguments)


def require_all_alive(launch: Launch, log: Path) -> None:
    """Refuse to go on where a process of the bringup has ended.

    Raises:
        TrialError: names the processes, their exit codes, and the last lines of `log`.
    """
    if launch.exits:
        ended = ", ".join(f"{label} (exit code {code})" for label, code in launch.exits.items())
        raise TrialError(f"ended in the middle of the trials: {ended}. {_last_lines(log)}")


def _last_lines(log: Path) -> str:
    last = "\n".join(f"    {line}" for line in log.read_text().splitlines()[-LOG_LINES_SHOWN:])
    return f"The last lines of {log}:\n{last}"


def _show(line: str, last: bool) -> None:
    """A line that is written over until its last version; without a terminal only that one is printed."""
    if sys.stdout.isatty():
        print(f"\r\033[K{line}", end="\n" if last else "", flush=True)
    elif last:
        print(line, flush=True)
