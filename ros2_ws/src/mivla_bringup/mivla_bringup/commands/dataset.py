"""`mivla dataset`: looks over, edits, replays, exports and imports folders of recorded episodes."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path

from mivla_bringup.commands.values import folder, not_negative, positive
from mivla_drivers.recording.video_codecs import CODECS

ACTIONS: dict[str, tuple[str, str, str]] = {
    "list": ("looking", "list_episodes", "a table of episodes: rates, length, jerk, still share, outliers"),
    "check": ("looking", "check_episodes", "read every byte; exit code 1 where an episode cannot be used"),
    "show": ("looking", "show_episodes", "a picture and a video per episode"),
    "replay": ("replaying", "replay_episode", "play an episode again, on a running robot or in a simulation"),
    "trim": ("editing", "trim_episodes", "cut off the ends in which nothing moves"),
    "merge": ("editing", "merge_episodes", "copy the episodes of several folders into a new one"),
    "compress": ("editing", "compress_episodes", "store the images as a video, where the episodes lie"),
    "delete": ("editing", "delete_episodes", "remove episodes for good, after a question"),
    "export": ("exchanging", "export_episodes", "write a LeRobotDataset v3.0, or HDF5 files as RoboTwin's"),
    "import": ("exchanging", "import_episodes", "take in a LeRobotDataset v2.1 or v3.0 that others recorded"),
}
DATA = Path("data/demos")
MARGIN_S = 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mivla dataset`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, (module, function, help_line) in ACTIONS.items():
        action = actions.add_parser(name, help=help_line, description=help_line)
        action.set_defaults(module=module, function=function)
        ARGUMENTS[name](action)


def run(args: argparse.Namespace) -> int:
    """Do it; 1 where an episode was left out or has a problem, which is named."""
    act: Callable[[argparse.Namespace], int] = getattr(
        importlib.import_module(f"mivla_bringup.dataset.{args.module}"), args.function
    )
    return act(args)


def _of_a_folder(action: argparse.ArgumentParser) -> None:
    action.add_argument("folder", type=folder, metavar="FOLDER", help="of episodes, or one episode's")
    action.add_argument("episodes", nargs="*", metavar="EPISODE", help="names of some of them (all)")


def _show(action: argparse.ArgumentParser) -> None:
    _of_a_folder(action)
    action.add_argument(
        "--out", type=folder, default=Path("build/dataset"), metavar="DIR", help="where to (%(default)s)"
    )


def _replay(action: argparse.ArgumentParser) -> None:
    add = action.add_argument
    add("folder", type=folder, metavar="EPISODE", help="folder of one episode")
    add("--namespace", metavar="NAME", help="of the running robot (the episode's robot)")
    add(
        "--interface",
        metavar="NAME",
        help="reach a robot on this interface's network, opened by network:=true",
    )
    add("--sim", action="store_true", help="start a simulated robot for it, in the episode's scene")
    add("--robot", help="to simulate: a name, or the path of a robot.yaml (the episode's)")
    _yes(action)


def _yes(action: argparse.ArgumentParser) -> None:
    action.add_argument("--yes", action="store_true", help="ask nothing")


def _trim(action: argparse.ArgumentParser) -> None:
    _of_a_folder(action)
    action.add_argument(
        "--out", type=folder, metavar="DIR", help="a new folder for the trimmed episodes (where they lie)"
    )
    action.add_argument(
        "--margin",
        type=not_negative(float),
        default=MARGIN_S,
        metavar="S",
        help="seconds to leave before the first and after the last movement (%(default)s)",
    )
    _yes(action)


def _merge(action: argparse.ArgumentParser) -> None:
    action.add_argument("folder", type=folder, metavar="FOLDER", help="of episodes")
    action.add_argument("others", type=folder, nargs="+", metavar="FOLDER", help="more of them")
    action.add_argument("--out", type=folder, required=True, metavar="DIR", help="the new folder")
    action.add_argument("--views", nargs="+", metavar="VIEW", help="cameras that all must have (all cameras)")


def _compress(action: argparse.ArgumentParser) -> None:
    _of_a_folder(action)
    action.add_argument("--codec", choices=tuple(CODECS), default="h264", help="(%(default)s)")
    action.add_argument(
        "--quality",
        type=positive(int),
        metavar="CRF",
        help="a smaller number is better (20 for h264, 30 for av1)",
    )
    _yes(action)


def _delete(action: argparse.ArgumentParser) -> None:
    _of_a_folder(action)
    _yes(action)


def _export(action: argparse.ArgumentParser) -> None:
    _of_a_folder(action)
    add = action.add_argument
    add("--format", choices=("lerobot", "robotwin"), default="lerobot", help="(%(default)s)")
    add("--out", type=folder, required=True, metavar="DIR", help="the new folder")
    add("--rate", type=positive(float), metavar="HZ", help="frames per second (the slowest camera's)")
    add("--views", nargs="+", metavar="VIEW", help="cameras to keep (all)")
    add("--codec", choices=("h264", "av1"), default="h264", help="of LeRobot's videos (%(default)s)")
    add("--all", action="store_true", help="whatever was judged, not successes alone")


def _import(action: argparse.ArgumentParser) -> None:
    add = action.add_argument
    add("folder", type=folder, metavar="FOLDER", help="of the LeRobotDataset, which has meta/info.json")
    add("--robot", required=True, help="whose numbers these are: a name, or the path of a robot.yaml")
    add("--task", required=True, metavar="NAME", help="begins the names of the episodes' folders")
    add("--out", type=folder, required=True, metavar="DIR", help="the new folder")
    add(
        "--camera",
        action="append",
        default=[],
        metavar="VIEW=FEATURE",
        help="keep this camera as a view, in the size that the robot's contract gives the view (all, as they are)",
    )
    add(
        "--joints",
        default="",
        metavar="A,B,...",
        help="its names of the robot's joints in contract order, or 'order'",
    )
    add("--angle-unit", choices=("rad", "deg", "mdeg"), default="rad", help="of its angles (%(default)s)")
    add(
        "--gripper-unit",
        choices=("m", "mm", "um", "share", "percent"),
        default="m",
        help="of its gripper's opening; share and percent are of wide open (%(default)s)",
    )
    add("--robot-type", default="", metavar="NAME", help="its name for this robot, where that is another one")
    add(
        "--fit",
        choices=("crop", "pad", "stretch"),
        default="crop",
        help="images of another shape (%(default)s)",
    )
    add(
        "--unjudged",
        action="store_true",
        help="its episodes may be failures; nothing is trained on unjudged ones",
    )


ARGUMENTS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "list": _of_a_folder,
    "check": _of_a_folder,
    "show": _show,
    "replay": _replay,
    "trim": _trim,
    "merge": _merge,
    "compress": _compress,
    "delete": _delete,
    "export": _export,
    "import": _import,
}
