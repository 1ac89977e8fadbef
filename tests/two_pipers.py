"""A two-armed robot of two PiPERs, each a part on a bus of its own: its folder, and its emulator."""

from __future__ import annotations

import re
import uuid
from importlib.resources import files
from pathlib import Path

import numpy as np
import yaml

from mivla_drivers.contract import RobotContract, load_contract
from mivla_drivers.robots.piper.emulator import PiperArm
from mivla_drivers.robots.plant import KinematicPlant
from mivla_drivers.transport.can_hub import CanHub

PIPER = Path(str(files("mivla_drivers") / "robots" / "piper"))
SIDES = ("left", "right")
BETWEEN_M = 0.6  # the two bases
START = {
    "left": np.array([0.1, 0.8, -0.9, 0.1, 0.6, -0.2, 0.05]),
    "right": np.array([-0.2, 1.0, -1.1, 0.0, 0.5, 0.3, 0.03]),
}


def write_folder(folder: Path) -> Path:
    """The robot's folder; its contract has the right arm's joints first, and its parts the left arm first."""
    one = yaml.safe_load((PIPER / "robot.yaml").read_text())
    joints = []
    for side, slot in (("right", 55), ("left", 48)):
        for i, joint in enumerate(one["joints"]):
            moves = {f"{side}_{name}": factor for name, factor in joint.get("moves", {}).items()}
            own = {**joint, "name": f"{side}_{joint['name']}", "action_slot": slot + i}
            joints.append({**own, "moves": moves} if moves else own)
    document = {
        "version": 2,
        "robot": "two_pipers",
        "urdf": "robot.urdf",
        "joints": joints,
        "arms": [_arm(side, one["arms"][0]) for side in SIDES],
        "parts": [
            {
                "name": side,
                "backend": "piper",
                "bus": f"can{i}",
                "joints": [f"{side}_{joint['name']}" for joint in one["joints"]],
            }
            for i, side in enumerate(SIDES)
        ],
        "cameras": one["cameras"][:1],
        "control_rate_hz": 100,
        "policy_rate_hz": 10,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "robot.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    (folder / "robot.urdf").write_text(_urdf((PIPER / "piper.urdf").read_text()))
    return folder


def _arm(side: str, arm: dict) -> dict:
    first = 62 if side == "left" else 69
    return {
        "side": side,
        "base_link": f"{side}_{arm['base_link']}",
        "end_effector_link": f"{side}_{arm['end_effector_link']}",
        "joints": [f"{side}_{joint}" for joint in arm["joints"]],
        "gripper": f"{side}_{arm['gripper']}",
        "pose_slots": list(range(first, first + 7)),
    }


def _urdf(one: str) -> str:
    """Two of a URDF side by side on a post."""
    inside = re.sub(r"<\?xml.*?\?>|<!--.*?-->|<robot[^>]*>|</robot>", "", one, flags=re.DOTALL)
    materials = "".join(re.findall(r"<material name=\"\w+\"><color.*?</material>", inside))
    inside = inside.replace(materials, "")
    text = f'<robot name="two_pipers">{materials}<link name="post"/>'
    for side, y in (("left", BETWEEN_M / 2), ("right", -BETWEEN_M / 2)):
        arm = re.sub(
            r"(<(?:link|joint) name=\"|(?:parent|child) link=\"|mimic joint=\")", rf"\g<1>{side}_", inside
        )
        text += (
            f'{arm}<joint name="{side}_mount" type="fixed"><parent link="post"/><child link="{side}_base_link"/>'
            f'<origin xyz="0 {y} 0"/></joint>'
        )
    return f"{text}</robot>"


class TwoPipers:
    """Two emulated PiPERs on two emulated buses, and the contract of the robot that they are."""

    def __init__(self, folder: Path) -> None:
        name = f"two-{uuid.uuid4().hex[:6]}"
        self.contract: RobotContract = load_contract(write_folder(folder), bus=f"emulated:{name}")
        self.hubs = {side: CanHub(f"{name}-{side}").start() for side in SIDES}
        self.plants = {side: KinematicPlant(START[side], velocity_limit=2.0) for side in SIDES}
        self.arms = {
            side: PiperArm(f"{name}-{side}", self.plants[side], feedback_rate_hz=50) for side in SIDES
        }
        for arm in self.arms.values():
            arm.start()

    def close(self) -> None:
        """End arms and buses."""
        for side in SIDES:
            self.arms[side].close()
            self.hubs[side].close()

    def joints(self, side: str) -> np.ndarray:
        """Where an arm really is, six joints [rad] and the gripper [m], (7,)."""
        return self.plants[side].state().position
