"""`mivla record`: demonstrations one after the other, on a running bringup or a simulated one that it starts."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mivla_bringup.commands.launch import find_launch_file
from mivla_bringup.commands.trials import FEEDBACK_RATE_HZ, NOT_COMPLETE, require_all_alive
from mivla_bringup.commands.values import folder, not_negative, positive
from mivla_bringup.launcher.plan import plan_launch
from mivla_bringup.launcher.runner import Launch
from mivla_bringup.record.progress import PROGRESS, RecordProgress
from mivla_bringup.run_folder import claimed_folder, read_json
from mivla_bringup.stop_key.terminal import Terminal, is_attended
from mivla_bringup.trials.launch_log import LaunchLog
from mivla_bringup.trials.provenance import command_line, digest_of_contract
from mivla_bringup.trials.results import LOG
from mivla_drivers.contract import RobotContract, load_contract
from mivla_drivers.errors import MivlaError
from mivla_drivers.recording.layout import EPISODE_FILE, require_task_name
from mivla_drivers.recording.recovery import is_unfinished, recover_episode
from mivla_drivers.recording.video_codecs import CODECS
from mivla_drivers.robots import DEFAULT_ROBOT
from mivla_drivers.ros import network
from mivla_drivers.ros.sentence import checked_sentence
from mivla_drivers.simulation.task import Task
from mivla_drivers.simulation.tasks import load_task, task_label, task_reference

if TYPE_CHECKING:
    from mivla_bringup.record.inputs import RequestSource
    from mivla_drivers.ros.robot_client import RobotClient

AS_THEY_CAME = "jpeg"
DEFAULTS: dict[str, Any] = {
    "robot": DEFAULT_ROBOT,
    "task": None,
    "instruction": None,
    "episodes": 30,
    "source": "teleop",
    "sim": False,
    "seed": 0,
    "mode": None,
    "images": AS_THEY_CAME,
}
READY_S = 60.0


class RecordError(MivlaError):
    """Nothing can be recorded as asked."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mivla record`; what is not given is None, for --resume takes it from the folder."""
    add = parser.add_argument
    add("--robot", help=f"robot's name, or the path of a robot.yaml ({DEFAULT_ROBOT})")
    add(
        "--task", metavar="NAME", help="what is shown: a task's name or its .py file, or any name of your own"
    )
    add("--instruction", metavar="TEXT", help="the sentence that goes with it (that of the task)")
    add("--episodes", type=positive(int), metavar="N", help="judged successes that can be learned from (30)")
    add("--source", choices=("teleop", "policy"), help="who moves the robot (teleop)")
    add(
        "--out",
        type=folder,
        default=Path("data/recordings"),
        metavar="DIR",
        help="episodes go here (%(default)s)",
    )
    add(
        "--resume",
        action="store_true",
        help="go on with the session in --out; unfinished episodes are recovered",
    )
    add(
        "--sim",
        action="store_true",
        default=None,
        help="start a simulated bringup, with a fresh scene per episode",
    )
    add("--seed", type=not_negative(int), metavar="S", help="first simulated scene (0)")
    add("--mode", metavar="MODE", help="of simulated scenes (the task's first)")
    add(
        "--images",
        choices=(AS_THEY_CAME, *CODECS),
        help="how images are stored: as they came, or as a video from the end of the session on (jpeg)",
    )
    add("--namespace", metavar="NAME", help="of a running bringup (the robot's name)")
    add("--domain", type=int, metavar="N", help="ROS_DOMAIN_ID of the simulated bringup (one of its own)")
    add("--pedal", default="", metavar="KEY", help="the key that a foot pedal sends: start, end, success")
    add("--speak", action="store_true", help="speak the cues, or ring a bell")
    add("arguments", nargs="*", metavar="NAME:=VALUE", help="further arguments of the launch, with --sim")


def run(args: argparse.Namespace) -> int:
    """Record until there are enough; `NOT_COMPLETE` where the operator ended it before.

    Raises:
        MivlaError: an argument is wrong, `--out` holds another session, or a part of the bringup fails.
    """
    found = read_json(args.out / PROGRESS) if args.resume else {}
    for name, default in DEFAULTS.items():
        if getattr(args, name) is None:
            setattr(args, name, found.get(name, default))
    contract = load_contract(args.robot)
    task = _choose_task(args)
    settings = {name: getattr(args, name) for name in DEFAULTS} | {
        "robot_sha256": digest_of_contract(contract)
    }
    with claimed_folder(args.out):
        progress = RecordProgress(args.out, settings)
        progress.begin(args.resume)
        _recover(args.out)
        complete = progress.good >= args.episodes
        try:
            if not complete:
                bringup = _simulated if args.sim else _attached
                complete = _record(bringup, progress, contract, task, args)
        finally:
            with suppress(OSError):  # the terminal is gone, the episodes are written
                _report(progress, args)
        if args.images != AS_THEY_CAME:
            _compress(args)
    return 0 if complete else NOT_COMPLETE


def _choose_task(args: argparse.Namespace) -> Task[Any] | None:
    """The task of the catalogue, where it is one; the name is asked for where none is given.

    Raises:
        RecordError: there is no name, or no sentence.
    """
    if args.task is None and is_attended():
        args.task = input("task (what is shown, a name such as fold_towel): ").strip() or None
    if args.task is None:
        raise RecordError("--task: expected the name of what is shown, got none")
    try:
        task: Task[Any] | None = load_task(args.task)
        args.task = task_reference(args.task)
    except MivlaError:
        if args.sim or args.task.endswith(".py"):
            raise
        task = None
    require_task_name(task_label(args.task))
    if args.instruction is None and task is None and is_attended():
        args.instruction = input("instruction (a sentence): ").strip() or None
    if args.instruction is None and task is None:
        raise RecordError(f"--instruction: expected a sentence, since {args.task} is no task that has one")
    if args.instruction is not None:
        args.instruction = checked_sentence(args.instruction)
    if task is not None and args.mode is None:
        args.mode = task.conditions[0]
    if task is not None and args.mode not in task.conditions:
        raise RecordError(f"--mode: expected one of {', '.join(task.conditions)}, got {args.mode}")
    if args.arguments and not args.sim:
        raise RecordError(f"expected launch arguments with --sim only, got {' '.join(args.arguments)}")
    return task


def _sentences(task: Task[Any] | None, args: argparse.Namespace) -> Callable[[int | None], str]:
    """The sentence of each scene."""

    def sentence(seed: int | None) -> str:
        if args.instruction is not None or task is None:
            return args.instruction or ""
        return task.instructions[0] if seed is None else task.instruction(task.sample_scene(seed, args.mode))

    return sentence


def _recover(out: Path) -> None:
    """Finish what an earlier session left unfinished; nothing of it counts before somebody judges it."""
    for file in sorted(out.glob(f"*/{EPISODE_FILE}")):
        if is_unfinished(file.parent):
            try:
                audit = recover_episode(file.parent)
            except MivlaError as error:
                print(f"  {error}")
            else:
                print(f"  recovered, unjudged: {file.parent}: {audit.verdict}")


def _compress(args: argparse.Namespace) -> None:
    """Store the images of what is finished as a video, now that nothing moves; what cannot be stays as it is."""
    from mivla_bringup.dataset.editing import compress_each
    from mivla_drivers.dataset.compress import is_compressible

    folders = sorted(file.parent for file in args.out.glob(f"*/{EPISODE_FILE}"))
    if wanted := [folder for folder in folders if is_compressible(folder)]:
        print(f"storing the images of {len(wanted)} episodes as {args.images} ...", flush=True)
        compress_each(wanted, args.images)


@contextmanager
def _simulated(
    args: argparse.Namespace, contract: RobotContract, check: Callable[[], None]
) -> Iterator[tuple[RobotClient, Callable[[], None]]]:
    """A simulated bringup of this session's own, in a ROS graph that nobody else hears."""
    from mivla_drivers.ros.robot_client import RobotClient

    robot = Path(args.robot)
    arguments = {
        "sim": "true",
        "sim_bus": f"emulated:record-{os.getpid()}",
        "robot": str(robot.resolve()) if robot.suffix == ".yaml" else args.robot,
        "namespace": contract.robot,
        "task": args.task,
        "policy": "true" if args.source == "policy" else "false",
        "record": "true",
        "feedback_rate_hz": FEEDBACK_RATE_HZ,
        "record_source": args.source,
        "record_folder": str(args.out.resolve()),
    }
    for word in args.arguments:
        name, found, value = word.partition(":=")
        if not found:
            raise RecordError(f"expected NAME:=VALUE, got {word}")
        arguments[name] = value
    plan = plan_launch(find_launch_file("robot.launch.yaml"), arguments)
    with ExitStack() as stack:
        domain_id = args.domain if args.domain is not None else stack.enter_context(network.claimed_domain())
        network.apply(domain_id)
        log = stack.enter_context(LaunchLog(args.out / LOG, command_line()))
        launch = stack.enter_context(Launch(plan.processes, say=log.write))

        def alive() -> None:
            require_all_alive(launch, log.path)

        print("starting simulator, driver and recorder ...", flush=True)
        yield stack.enter_context(RobotClient(contract.robot, "mivla_record", check=alive)), alive


@contextmanager
def _attached(
    args: argparse.Namespace, contract: RobotContract, check: Callable[[], None]
) -> Iterator[tuple[RobotClient, Callable[[], None]]]:
    """The bringup that runs, with record:=true."""
    from mivla_drivers.ros.robot_client import RobotClient

    network.apply()
    with RobotClient(args.namespace or contract.robot, "mivla_record") as client:
        client.wait_for_driver()
        client.wait_for_recorder()
        yield client, check


def _record(
    bringup: Any,
    progress: RecordProgress,
    contract: RobotContract,
    task: Task[Any] | None,
    args: argparse.Namespace,
) -> bool:
    """Whether all are recorded."""
    from mivla_bringup.record.cues import Cues
    from mivla_bringup.record.inputs import TOPIC, KeySource, TopicSource
    from mivla_bringup.record.plan import SessionPlan
    from mivla_bringup.record.session import RecordSession
    from mivla_bringup.trials.scene import SimulatedScene

    with ExitStack() as stack:
        client, check = stack.enter_context(bringup(args, contract, lambda: None))
        sources: list[RequestSource] = []
        say: Callable[[str], None] = lambda text: print(text, flush=True)  # noqa: E731
        if is_attended():
            terminal = stack.enter_context(Terminal(client.namespace.strip("/"), here=args.sim))
            sources.append(KeySource(terminal, args.pedal))
            say = terminal.say
        else:
            print(f"no terminal: requests come on {client.namespace}/{TOPIC} (std_msgs/String)", flush=True)
        sources.append(TopicSource(client, say))
        cues = Cues(say, args.speak)
        stack.callback(cues.close)
        plan = SessionPlan(
            task_label(args.task), _sentences(task, args), args.source, args.episodes, args.mode or ""
        )
        scene = SimulatedScene(client) if args.sim else None
        session = RecordSession(contract, client, scene, sources, cues, progress, plan, check)
        session.wait_until_ready(READY_S)
        say(f"{client.namespace}: episodes go to {args.out}; cues are {cues.way}")
        return session.run()


def _report(progress: RecordProgress, args: argparse.Namespace) -> None:
    print(f"{args.out}: {progress.good} episodes to learn from")
    if progress.good < args.episodes:
        print(
            f"INCOMPLETE: {progress.good} of {args.episodes}. To go on: mivla record --resume --out {args.out}",
            file=sys.stdout,
            flush=True,
        )
