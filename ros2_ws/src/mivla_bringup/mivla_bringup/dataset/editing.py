"""`mivla dataset trim|merge|delete`: changes folders of episodes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mivla_drivers.dataset.compress import compress
from mivla_drivers.dataset.edit import copy_episode, delete, idle_cut, merge, trim, trim_in_place
from mivla_drivers.dataset.episodes import Skipped, episode_folders, read_each
from mivla_drivers.dataset.summary import span
from mivla_drivers.errors import DataError, MivlaError
from mivla_drivers.recording.episode import Episode

FAILED = 1
WORTH_S = 0.2  # less than this is not cut off
SHORTEST_S = 1.0


def trim_episodes(args: argparse.Namespace) -> int:
    """Cut idle ends off; 1 where an episode cannot be trimmed. Those stay as they are, and are named."""
    folders = episode_folders(args.folder, args.episodes)
    if args.out is not None and args.out.exists() and any(args.out.iterdir()):
        raise DataError(f"{args.out}: expected a new or empty folder, found one that holds something")
    if args.out is None and not confirmed(
        f"Trim {len(folders)} episodes of {args.folder} where they lie?", args
    ):
        return FAILED
    failed = 0
    for found in read_each(folders):
        try:
            if isinstance(found, Skipped):
                raise DataError(found.reason)
            print(_trim(found, args), flush=True)
        except MivlaError as error:
            failed += 1
            print(f"problem: {error}", flush=True)
    return FAILED if failed else 0


def _trim(episode: Episode, args: argparse.Namespace) -> str:
    first, last = span(episode)
    begin, end = idle_cut(episode, args.margin)
    folder, before, after = episode.folder, begin - first, last - end
    if end - begin < SHORTEST_S:
        raise DataError(f"{folder}: expected at least {SHORTEST_S} s of motion, found {end - begin:.1f} s")
    if before < WORTH_S and after < WORTH_S:
        if args.out is not None:
            copy_episode(folder, args.out)
        return f"{folder.name}: nothing to cut off"
    if args.out is None:
        trim_in_place(folder, begin, end)
    else:
        trim(folder, args.out / folder.name, begin, end)
    return f"{folder.name}: {before:.1f} s at its begin and {after:.1f} s at its end cut off, {end - begin:.1f} s left"


def compress_episodes(args: argparse.Namespace) -> int:
    """Store images as a video, after a question; 1 where an episode cannot be, which is named and stays."""
    folders = episode_folders(args.folder, args.episodes)
    question = (
        f"Replace the images of {len(folders)} episodes of {args.folder} by a video, which loses a little?"
    )
    if not confirmed(question, args):
        return FAILED
    failed = compress_each(folders, args.codec, args.quality)
    return FAILED if failed else 0


def compress_each(folders: Sequence[Path], codec: str, quality: int | None = None) -> int:
    """Compress each episode, and tell what came of it; how many could not be."""
    failed = 0
    for folder in folders:
        try:
            done = compress(folder, codec, quality)
        except (MivlaError, OSError) as error:
            failed += 1
            print(f"problem: {folder.name}: {error}", flush=True)
            continue
        if done is None:
            print(f"{folder.name}: is a video already", flush=True)
        else:
            print(
                f"{folder.name}: {done.before / 1e6:.1f} MB became {done.after / 1e6:.1f} MB, "
                f"{done.decibels:.1f} dB of the images as they came",
                flush=True,
            )
    return failed


def merge_episodes(args: argparse.Namespace) -> int:
    """Copy several folders' episodes into a new one; 1 where one was left out."""
    copied, skipped = merge([args.folder, *args.others], args.out, args.views)
    for one in skipped:
        print(f"skipped {one.reason}")
    print(f"{args.out}: {copied} episodes")
    return FAILED if skipped else 0


def delete_episodes(args: argparse.Namespace) -> int:
    """Remove episodes after a question; 1 where the answer was no."""
    if not args.episodes:
        raise DataError(f"{args.folder}: expected names of the episodes to delete, got none")
    folders = episode_folders(args.folder, args.episodes)
    size = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
    for folder in folders:
        print(folder)
    if not confirmed(f"Delete these {len(folders)} episodes, {size / 1e6:.1f} MB, for good?", args):
        print("nothing was deleted")
        return FAILED
    delete(folders)
    print(f"{len(folders)} episodes deleted")
    return 0


def confirmed(question: str, args: argparse.Namespace) -> bool:
    """Whether the operator says yes; without a terminal that is no, unless `--yes` was given."""
    if args.yes:
        return True
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def out_folder(args: argparse.Namespace) -> Path:
    """`--out` of an action that makes a new folder.

    Raises:
        DataError: it holds something.
    """
    out: Path = args.out
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out}: expected a new or empty folder, found one that holds something")
    return out
