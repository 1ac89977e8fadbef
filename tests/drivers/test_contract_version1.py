"""Contracts of version 1 travel inside older recordings, datasets and checkpoints: they load, or say what to change."""

from __future__ import annotations

import copy
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import yaml

from mivla_drivers.contract import load_contract, parse_contract, require_same_contract
from mivla_drivers.errors import ContractError

URDF = (Path(str(files("mivla_drivers") / "robots" / "piper")) / "piper.urdf").read_text()
PIPER = """
robot: piper
urdf: piper.urdf
base_link: base_link
end_effector:
  link: gripper_center
  action_slots: [62, 63, 64, 65, 66, 67, 68]
joints:
  - {name: joint1, unit: rad, lower: -2.6179, upper: 2.6179, velocity: 1.5, acceleration: 6.0,
     home: 0.0, action_slot: 48}
  - {name: joint2, unit: rad, lower: 0.0, upper: 3.14, velocity: 1.5, acceleration: 6.0,
     home: 0.9, action_slot: 49, zero_offset: -0.034907}
  - {name: joint3, unit: rad, lower: -2.967, upper: 0.0, velocity: 1.5, acceleration: 6.0,
     home: -0.9, action_slot: 50}
  - {name: joint4, unit: rad, lower: -1.745, upper: 1.745, velocity: 2.0, acceleration: 8.0,
     home: 0.0, action_slot: 51}
  - {name: joint5, unit: rad, lower: -1.22, upper: 1.22, velocity: 2.0, acceleration: 8.0,
     home: 0.7, action_slot: 52}
  - {name: joint6, unit: rad, lower: -2.09439, upper: 2.09439, velocity: 2.0, acceleration: 8.0,
     home: 0.0, action_slot: 53}
  - name: gripper
    unit: m
    lower: 0.0
    upper: 0.07
    velocity: 0.15
    acceleration: 1.0
    home: 0.07
    action_slot: 54
    moves: {left_finger_joint: 0.5, right_finger_joint: 0.5}
cameras:
  - {name: front_camera, topic: front_camera, width: 160, height: 160, rate_hz: 10, view: front}
  - {name: wrist_camera, topic: wrist_camera, width: 160, height: 160, rate_hz: 10, view: left_wrist}
control_rate_hz: 200
policy_rate_hz: 10
hardware:
  backend: piper
  bus: can3
  gripper_effort: 2.5
  speed_percent: 50
  tracking_error_rad: 0.1
"""
DOCUMENT = yaml.safe_load(PIPER)


def of_aloha() -> dict:
    """RoboTwin's two arms as version 1 wrote them."""
    aloha = yaml.safe_load(load_contract("aloha_agilex").text)
    slots = {"left": list(range(62, 69)), "right": list(range(69, 76))}
    kept = ("robot", "joints", "cameras", "control_rate_hz", "policy_rate_hz")
    return {
        **{key: aloha[key] for key in kept},
        "end_effectors": {side: {"action_slots": found} for side, found in slots.items()},
        "hardware": {"backend": "robotwin", "bus": "none"},
    }


def load(document: dict):
    return parse_contract(yaml.safe_dump(document), URDF, "episode 3")


class TestLoads:
    def test_as_the_same_robot_as_now(self):
        require_same_contract(load_contract("piper"), parse_contract(PIPER, URDF, "old"), "old")
        require_same_contract(load_contract("aloha_agilex"), load(of_aloha()), "old")

    def test_without_loss(self):
        old = parse_contract(PIPER, URDF, "old")
        assert old.text == PIPER
        assert old.bus == "can3"
        assert old.parts[0].options == {"gripper_effort": 2.5, "speed_percent": 50}
        assert old.tracking_error_rad == 0.1
        assert old.zero_offset[1] == -0.034907
        assert old.mimics == {"gripper": {"left_finger_joint": 0.5, "right_finger_joint": 0.5}}
        assert [camera.rate_hz for camera in old.cameras] == [10, 10]
        assert (old.control_rate_hz, old.policy_rate_hz) == (200, 10)

    def test_the_gripper_is_the_joint_in_metres_as_it_was_then(self):
        assert parse_contract(PIPER, URDF, "old").arms[0].gripper == "gripper"
        assert [arm.gripper for arm in load(of_aloha()).arms] == ["left_gripper", "right_gripper"]

    def test_an_arm_on_the_right_hands_slots_is_the_right_one(self):
        document = copy.deepcopy(DOCUMENT)
        document["end_effector"]["action_slots"] = list(range(69, 76))
        assert load(document).arms[0].side == "right"

    def test_one_of_two_observed_end_effectors(self):
        document = of_aloha()
        del document["end_effectors"]["left"]
        contract = load(document)
        assert contract.end_effector_slots.tolist() == list(range(69, 76))
        assert [arm.gripper for arm in contract.arms] == ["left_gripper", "right_gripper"]

    def test_its_cameras_have_no_mount(self):
        assert all(camera.mount is None for camera in parse_contract(PIPER, URDF, "old").cameras)

    @pytest.mark.parametrize("model", ["mivla_small", "piper_move_bottle"])
    def test_the_contracts_of_shipped_policies(self, model):
        folder = Path(__file__).parents[2] / "models" / model
        own = parse_contract((folder / "robot.yaml").read_text(), (folder / "robot.urdf").read_text(), model)
        require_same_contract(load_contract("piper"), own, model)
        np.testing.assert_array_equal(own.home, load_contract("piper").home)


REFUSED = {
    "a misspelled key": (
        lambda d: d["joints"][1].update(zero_ofset=-0.03),
        "episode 3: joints.joint2.zero_ofset: unknown key, did you mean zero_offset?",
    ),
    "a misspelled option": (
        lambda d: d["hardware"].update(speed_percents=50),
        "options.speed_percents: unknown key, did you mean speed_percent?",
    ),
    "two joints in metres": (
        lambda d: d["joints"][5].update(unit="m"),
        "version 1 does not say which of ['joint6', 'gripper'] is the left arm's gripper: write the file as "
        "version 2, with arms",
    ),
    "no end effector": (lambda d: d.pop("end_effector"), "end_effector: expected one, found nothing"),
    "no base": (lambda d: d.pop("base_link"), "base_link: expected one, found nothing"),
    "half a pose": (
        lambda d: d["end_effector"].update(action_slots=[62, 63]),
        "end_effector.action_slots: expected 7 slots or none, found [62, 63]",
    ),
    "observed end effectors beside a URDF": (
        lambda d: d.update(end_effectors={"left": {"action_slots": list(range(62, 69))}}),
        "expected observed ones, which need no URDF, found ['end_effector', 'base_link', 'urdf']",
    ),
    "no hardware": (lambda d: d.pop("hardware"), "hardware: expected a mapping, found nothing"),
    "no backend": (lambda d: d["hardware"].pop("backend"), "hardware.backend: expected a name"),
    "an end effector that the URDF lacks": (
        lambda d: d["end_effector"].update(link="hand"),
        "expected a link of the URDF",
    ),
}


@pytest.mark.parametrize(("edit", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_converted_says_what_to_change(edit, message):
    document = copy.deepcopy(DOCUMENT)
    edit(document)
    with pytest.raises(ContractError) as refusal:
        load(document)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({}, "end_effectors: expected one or both of ('left', 'right'), found neither"),
        ({"head": {}}, "end_effectors.head: unknown key, expected one of ['left', 'right']"),
        ({"left": 62}, "end_effectors.left: expected a mapping, found 62"),
        (
            {"left": {"action_slots": [69]}},
            "end_effectors.left.action_slots: expected a list of 7 slots, found [69]",
        ),
    ],
)
def test_observed_end_effectors_are_checked(found, message):
    with pytest.raises(ContractError) as refusal:
        load(of_aloha() | {"end_effectors": found})
    assert message in str(refusal.value)
