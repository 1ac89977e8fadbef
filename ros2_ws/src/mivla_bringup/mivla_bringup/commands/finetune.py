"""`mivla finetune`: fine-tune a base policy on recorded demonstrations."""

from __future__ import annotations

import argparse
from pathlib import Path

from mivla_bringup.commands.values import folder, positive
from mivla_policy.device import require_device
from mivla_policy.shipped_models import DEFAULT_BASE, find_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mivla finetune`."""
    add = parser.add_argument
    add("--data", type=Path, default=Path("data/demos"), help="folder of recordings (%(default)s)")
    add("--base", type=Path, default=DEFAULT_BASE, help="policy to start from (%(default)s)")
    add("--steps", type=positive(int), default=600, help="optimiser steps (%(default)s)")
    add("--learning-rate", type=positive(float), default=1e-4, help="(%(default)s)")
    add("--out", type=folder, required=True, metavar="DIR", help="the new policy's folder")
    add("--views", nargs="+", metavar="VIEW", help="cameras that the policy looks through (the base's)")
    add("--transfer", action="store_true", help="the base may be of another robot")
    add("--device", default="cpu", help="cpu or cuda (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Read, encode, train, write; resumes where it was stopped.

    Raises:
        DataError: `--out` holds a finished policy; or as the training says.
    """
    from mivla_policy.policy_folder import refuse_finished_policy
    from mivla_policy.training.runs import finetune
    from mivla_policy.training.train import TrainConfig

    refuse_finished_policy(args.out)
    config = TrainConfig(steps=args.steps, learning_rate=args.learning_rate, warmup_steps=50)
    base = find_model(args.base)
    require_device(args.device)
    summary = finetune(args.data, base, args.out, config, args.device, args.views, args.transfer)
    print(
        f"{args.out}: {summary.frames} frames of {summary.episodes} episodes, "
        f"{summary.seconds:.0f} s, loss {summary.loss:.4f}"
    )
    unused = f"; the data's {', '.join(summary.unused_views)} not used" if summary.unused_views else ""
    print(f"views: {', '.join(summary.views)}{unused}")
    return 0
