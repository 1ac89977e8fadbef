"""Writes recorded episodes as RoboTwin does: one HDF5 file per episode, its sentence beside it.

A robot with one arm, or without one of RoboTwin's three cameras, leaves those out and says so in the file's attributes;
`data/robotwin.py` reads them. End poses are left out: they are in RoboTwin's world, where no recorded robot stands.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import h5py
import numpy as np

from mivla_drivers.contract import ArmConfig, RobotContract
from mivla_drivers.dataset.episodes import Skipped
from mivla_drivers.dataset.export import FrameSource, new_folder
from mivla_drivers.dataset.frames import FixedRate, decoded
from mivla_drivers.errors import ContractError, DataError
from mivla_policy.robotwin.conventions import ARMS, CAMERAS, CAMERAS_WRITTEN, OPENING

JPEG_QUALITY = 95
ARM_JOINTS = 6


def export_robotwin(source: FrameSource, out: Path) -> int:
    """Write the episodes below `out`/TASK/ROBOT; how many.

    Raises:
        DataError: `out` holds something, or no episode can be used.
        ContractError: the robot's arms are none of six joints and a gripper, or it has none of RoboTwin's views, or the
            episodes are of several robots. `out` is not made then.
    """
    counts: dict[str, int] = {}
    with new_folder(out) as part:
        for contract, frames, episode in source:
            folder = part / episode.task / contract.robot
            number = counts.get(episode.task, 0)
            path = folder / "data" / f"episode{number}.hdf5"
            try:
                _write(path, contract, frames)
            except DataError as error:
                path.unlink(missing_ok=True)
                source.skipped.append(Skipped(episode.folder, str(error)))
                continue
            sentences = folder / "instructions" / f"episode{number}.json"
            sentences.parent.mkdir(exist_ok=True)
            sentences.write_text(
                json.dumps({"seen": [frames.instruction], "unseen": [frames.instruction]}) + "\n"
            )
            counts[episode.task] = number + 1
        if not counts:
            raise source.none_usable(out)
    return sum(counts.values())


def _write(path: Path, contract: RobotContract, frames: FixedRate) -> None:
    views = [view for view in CAMERAS if view in frames.images]
    if not views:
        raise ContractError(
            f"{contract.robot}: cameras: expected a view of {sorted(CAMERAS)}, found {sorted(frames.images)}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        vector = []
        for arm in contract.arms:
            joints, gripper = _of_arm(arm, contract, frames.states)
            file[f"joint_action/{arm.side}_arm"], file[f"joint_action/{arm.side}_gripper"] = joints, gripper
            vector += [joints, gripper[:, None]]
        file["joint_action/vector"] = np.concatenate(vector, axis=1)
        for view in views:
            file[f"observation/{CAMERAS[view]}/rgb"] = _jpegs(frames, view)
        file.attrs[ARMS] = [arm.side for arm in contract.arms]
        file.attrs[CAMERAS_WRITTEN] = [CAMERAS[view] for view in views]
        file.attrs[OPENING] = _opening(contract)


def _of_arm(arm: ArmConfig, contract: RobotContract, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (T, 6) [rad] and gripper (T,), 0 closed to 1 wide open."""
    if len(arm.joints) != ARM_JOINTS or arm.gripper_index is None:
        raise ContractError(
            f"{contract.robot}: arms.{arm.side}: expected {ARM_JOINTS} joints and a gripper, found {list(arm.joints)}"
        )
    gripper = states[:, arm.gripper_index] / _opening(contract)
    return states[:, arm.joint_indices], np.clip(gripper, 0.0, 1.0)


def _opening(contract: RobotContract) -> float:
    """A wide open gripper [m]."""
    return max(
        float(contract.limits.upper[arm.gripper_index])
        for arm in contract.arms
        if arm.gripper_index is not None
    )


def _jpegs(frames: FixedRate, view: str) -> np.ndarray:
    """JPEGs of one length (T,), padded with zeros, red and blue exchanged as RoboTwin's are."""
    encoded = []
    for i, jpeg in enumerate(frames.images[view]):
        rgb = decoded(jpeg, f"{frames.folder}: view {view}, frame {i}")
        encoded.append(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())
    return np.array(encoded, dtype=f"S{max(map(len, encoded))}")
