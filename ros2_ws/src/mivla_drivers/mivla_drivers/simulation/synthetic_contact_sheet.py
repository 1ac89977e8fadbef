"""A picture of synthetic demonstrations, one row per task, the hand on the left and the arm on the right.

python -m mivla_drivers.simulation.synthetic_contact_sheet docs/synthetic_demonstrations.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from mivla_drivers.contract import RobotContract, load_contract
from mivla_drivers.errors import DataError
from mivla_drivers.robots import DEFAULT_ROBOT
from mivla_drivers.simulation.demonstration import Demonstrator
from mivla_drivers.simulation.human.performance import perform
from mivla_drivers.simulation.human.scene import sample_hand_scene, tabletop_task
from mivla_drivers.simulation.human.view import frames
from mivla_drivers.simulation.tabletop.task import TabletopTask
from mivla_drivers.simulation.tasks import ARM_PRETRAINING, DEFAULT_TASK, HUMAN_PRETRAINING, load_task

TILE_PX = 160
MOMENTS = (0.08, 0.45, 0.85)  # of an episode
CAPTION_PX, GAP_PX = 22, 8
PAPER, INK = 255, (40, 40, 40)


def contact_sheet(contract: RobotContract, first_seed: int) -> np.ndarray:
    """The picture, (H, W, 3) uint8 rgb; row i shows the scenes of seed `first_seed` + i."""
    rows = []
    for seed, name in enumerate(HUMAN_PRETRAINING, start=first_seed):
        hand, hand_says = _hand_strip(tabletop_task(name), seed)
        arm, arm_says = _arm_strip(contract, name if name in ARM_PRETRAINING else DEFAULT_TASK, seed)
        gap = np.full((TILE_PX, GAP_PX, 3), PAPER, dtype=np.uint8)
        images = np.concatenate([hand, gap, arm], axis=1)
        rows += [_caption(images.shape[1], hand_says, arm_says, hand.shape[1] + GAP_PX), images]
    return np.concatenate(rows)


def main(arguments: list[str] | None = None) -> None:
    """Draw the picture into a file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("picture", type=Path, help="PNG file to write")
    parser.add_argument("--robot", default=DEFAULT_ROBOT, help="name or robot.yaml (%(default)s)")
    parser.add_argument("--seed", type=int, default=3, help="of the first row's scenes (%(default)s)")
    chosen = parser.parse_args(arguments)
    sheet = contact_sheet(load_contract(chosen.robot), chosen.seed)
    if not cv2.imwrite(str(chosen.picture), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise DataError(
            f"{chosen.picture}: expected to write a picture, could not; give a .png in a folder that exists"
        )


def _hand_strip(task: TabletopTask, seed: int) -> tuple[np.ndarray, str]:
    scene = sample_hand_scene(task, seed)
    performance = perform(scene, np.random.default_rng([seed, 1]))
    moments = [round(share * (len(performance) - 1)) for share in MOMENTS]
    seen = [frame for i, frame in enumerate(frames(scene, performance, TILE_PX, TILE_PX)) if i in moments]
    return np.concatenate(seen, axis=1), scene.table.instruction


def _arm_strip(contract: RobotContract, task: str, seed: int) -> tuple[np.ndarray, str]:
    with Demonstrator(contract, load_task(task)) as demonstrator:
        episode = demonstrator.run(seed, "easy" if seed % 2 else "hard", horizon=1, perturbed=False)
    images = episode.images[contract.cameras[0].view]
    chosen = [images[round(share * (len(images) - 1))] for share in MOMENTS]
    return np.concatenate([_tile(jpeg) for jpeg in chosen], axis=1), episode.instruction


def _tile(jpeg: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None  # it was encoded a moment ago
    return cv2.resize(image, (TILE_PX, TILE_PX))[..., ::-1]


def _caption(width: int, left: str, right: str, right_at: int) -> np.ndarray:
    strip = np.full((CAPTION_PX, width, 3), PAPER, dtype=np.uint8)
    for text, x in ((left, 4), (right, right_at + 4)):
        place = (x, CAPTION_PX - 7)
        cv2.putText(strip, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
    return strip


if __name__ == "__main__":
    main()
