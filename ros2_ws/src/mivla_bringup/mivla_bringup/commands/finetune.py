"""`mivla finetune`: fine-tune a base policy on recorded demonstrations; stop it and start it again.

mivla finetune --data data/recordings --base models/mivla_small --out models/my_task
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from mivla_bringup.commands.flags import add_flags, from_flags
from mivla_bringup.commands.training_run import end_of_run, run_in_processes
from mivla_bringup.commands.values import folder
from mivla_policy.device import require_device
from mivla_policy.shipped_models import DEFAULT_BASE, find_model

OWN_DEFAULTS = {"steps": 600, "batch_size": 32, "warmup_steps": 50, "objective": "robot_only"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mivla finetune`."""
    from mivla_policy.training.config import Machine, Recipe

    add = parser.add_argument
    add(
        "--data",
        type=Path,
        nargs="+",
        default=[Path("data/demos")],
        metavar="DIR",
        help="folders of recordings, or of data sets that mivla annotate made (data/demos)",
    )
    add("--base", type=Path, default=DEFAULT_BASE, help="policy to start from (%(default)s)")
    add("--out", type=folder, required=True, metavar="DIR", help="the new policy's folder")
    add("--views", nargs="+", metavar="VIEW", help="cameras that the policy looks through (the base's)")
    add("--transfer", action="store_true", help="the base may know nothing of this robot")
    add_flags(parser, Recipe, **OWN_DEFAULTS)
    add_flags(parser, Machine)


def run(args: argparse.Namespace) -> int:
    """Read, train, write; goes on where it was stopped. Exit code 1 where demonstrations or samples were skipped.

    Raises:
        DataError: `--out` holds a finished policy; or as the training says.
    """
    from mivla_policy.policy_folder import refuse_finished_policy
    from mivla_policy.training.config import Machine, Recipe, Run
    from mivla_policy.training.finetune import finetune

    refuse_finished_policy(args.out)
    base = find_model(args.base)
    require_device(args.device)
    recipe, machine = from_flags(Recipe, args), from_flags(Machine, args)
    run = Run("finetune", args.out, recipe, machine, f"mivla {shlex.join(sys.argv[1:])}")
    return run_in_processes(
        machine,
        lambda processes: end_of_run(
            args.out, finetune(run, args.data, base, processes, args.views, args.transfer), processes
        ),
    )
