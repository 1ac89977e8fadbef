"""Annotated data sets to encoded frames, once before pre-training.

    mivla annotate egodex /data/egodex --out data/annotated/egodex
    mivla annotate robotwin /data/robotwin --out data/annotated/robotwin
    python -m mivla_policy.data.encode_mutual --out data/mutual \\
        --data egodex /data/egodex data/annotated/egodex --data robotwin /data/robotwin data/annotated/robotwin

The same command goes on after the last demonstration that it finished. Put a data set that still grows last: what comes
after a change is encoded again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from mivla_drivers.errors import MivlaError
from mivla_drivers.robots import DEFAULT_ROBOT
from mivla_policy.data.annotation import KINDS, Demonstrations, annotated
from mivla_policy.data.mutual_frames import encode_tracks
from mivla_policy.data.sample import Track
from mivla_policy.model.config import CONFIGS, VISION_JOINS, named_config
from mivla_policy.model.tokenisers import image_tokeniser, language_tokeniser

STRIDES = {
    "egodex": 3,
    "robotwin": 3,
    "recordings": 1,
    "simulated": 1,
}  # H-RDT's for the first two; the others are at 10 Hz already
OWN_ACTIONS = "-"
SOURCE_HEIGHT = 256  # videos are shrunk to it before the tokeniser resizes them


def annotated_tracks(data: Sequence[tuple[str, Path, Path]], robot: str) -> Iterator[tuple[Track, int]]:
    """Tracks of several data sets (kind, folder, shards), each with its stride; those without a shard are skipped.

    Shards named `-` are none: the tracks come with their own actions alone.
    """
    for kind, folder, shards in data:
        demonstrations = Demonstrations(kind, folder, robot, SOURCE_HEIGHT if kind == "egodex" else None)
        plain = str(shards) == OWN_ACTIONS
        for track in demonstrations.reader() if plain else annotated(demonstrations, shards):
            yield track, STRIDES[kind]


def demonstrations_in(data: Sequence[tuple[str, Path, Path]], robot: str) -> int:
    """How many demonstrations the data sets have, whole or not.

    Raises:
        DataError: one has none.
    """
    return sum(len(Demonstrations(kind, folder, robot).reader()) for kind, folder, _ in data)


def encoder_files(weights: Path | None) -> dict[str, int]:
    """{file: bytes} of the encoders in a policy's folder; other ones give other tokens."""
    folder = Path(weights or "") / "encoders"
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if weights else []
    return {str(path.relative_to(folder)): path.stat().st_size for path in files}


def arguments_parser() -> argparse.ArgumentParser:
    """The script's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--data",
        nargs=3,
        action="append",
        required=True,
        metavar=("KIND", "FOLDER", "SHARDS"),
        help=f"a data set and its annotation; {OWN_ACTIONS} for no annotation, own actions alone",
    )
    add("--out", type=Path, required=True)
    add("--model", choices=sorted(CONFIGS), default="mivla_small", help="(%(default)s)")
    add("--vision-join", choices=VISION_JOINS, help="of mivla_base's two image encoders (tokens)")
    add("--views", nargs="+", metavar="VIEW", help="cameras of the model, in order (the model's own)")
    add("--weights", type=Path, help="policy folder whose encoders/ holds mivla_base's encoders")
    add("--robot", default=DEFAULT_ROBOT, help="(%(default)s)")
    add("--every", type=int, default=1, help="keep every so many frames (%(default)s)")
    add("--threads", type=int, default=1, help="of the image tokeniser (%(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Encode; exit code 1 where demonstrations were skipped, 2 where nothing can be encoded."""
    parser = arguments_parser()
    args = parser.parse_args(arguments)
    unknown = [kind for kind, _, _ in args.data if kind not in KINDS]
    if unknown:
        parser.error(f"--data: expected a kind of {KINDS}, got {unknown}")
    data = [(kind, Path(folder), Path(shards)) for kind, folder, shards in args.data]
    try:
        config = named_config(args.model, args.views, args.vision_join)
        total = demonstrations_in(data, args.robot)
        done = encode_tracks(
            tqdm(annotated_tracks(data, args.robot), total=total, unit="demonstration", disable=None),
            config,
            image_tokeniser(config, args.weights, threads=args.threads),
            language_tokeniser(config, args.weights),
            args.out,
            args.every,
            encoder_files(args.weights),
        )
    except MivlaError as error:
        print(f"mivla: {error}", file=sys.stderr)
        return 2
    skipped = total - done.demonstrations
    print(
        f"{args.out}: {done.frames} frames for {config.name} from {done.demonstrations} demonstrations "
        f"({done.kept} were done before), {skipped} skipped"
    )
    return 1 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
