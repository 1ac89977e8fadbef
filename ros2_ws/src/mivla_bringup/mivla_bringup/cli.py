"""The `mivla` command: one sub-command an operation."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence

from mivla_bringup.interruption import Interrupted, interruptible
from mivla_drivers.errors import MivlaError

COMMANDS = {
    "launch": "run a launch file: simulator or cameras, driver, policy",
    "robot": "enable, stop, home, give the robot to a source, record, say what to do",
    "trials": "run evaluation trials and measure success",
    "demos": "record demonstrations of the scripted expert",
    "expert": "watch the scripted expert in the simulated world",
    "pretrain": "train a policy on data that this repository generates",
    "finetune": "fine-tune a policy on recorded demonstrations",
    "synthesize": "make synthetic demonstrations of simulated people and arms, to pre-train on",
    "study": "run one of the paper's ablations at this machine's scale",
    "annotate": "give whole data sets the actions of the other embodiment",
    "import-hrdt": "start a policy of the paper's size from a published H-RDT checkpoint",
    "bench": "measure latency, jitter, CPU and memory",
}
REFUSED = 2  # exit code of a request that cannot be met, as argparse's own
NOBODY_READS = 141  # 128 + SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command; its exit code, or 2 with a line on stderr where it refuses."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    args = _parse(words)
    try:
        with interruptible():
            return args.run(args)
    except MivlaError as error:
        print(f"mivla: {error}", file=sys.stderr)
        return REFUSED
    except Interrupted as interruption:
        return interruption.code
    except KeyboardInterrupt:  # outside the main thread's reach
        return 128 + signal.SIGINT
    except BrokenPipeError:
        return NOBODY_READS
    finally:
        _flush()


def _flush() -> None:
    """Flush what was printed; where nobody reads it any more (`mivla ... | head`), Python must not complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parse(words: list[str]) -> argparse.Namespace:
    """Parse `words`; only the module of the sub-command they name is imported, the others cost nothing."""
    parser = argparse.ArgumentParser(
        prog="mivla", description="Run MiVLA policies on real and simulated robots."
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, help_line in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=help_line, description=help_line)
        if name == chosen:
            command = importlib.import_module(f"mivla_bringup.commands.{name.replace('-', '_')}")
            command.add_arguments(subparser)
            subparser.set_defaults(run=command.run)
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
