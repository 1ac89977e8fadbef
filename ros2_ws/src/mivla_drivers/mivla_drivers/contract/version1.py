"""Contracts of version 1, as older recordings, datasets and checkpoints carry them, converted to version 2.

Version 1 knew one arm with a URDF, or one or two whose end effectors are observed, and one bus. It did not say
which joint is the gripper: that was the one measured in metres. Nothing is lost; a camera of it has no mount.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from mivla_drivers.contract.refusal import validated
from mivla_drivers.contract.schema import (
    VERSION,
    CameraForm,
    Identifier,
    JointForm,
    Rate,
    Slot,
    Strict,
    Text,
    TrackingError,
)
from mivla_drivers.contract.urdf import Urdf
from mivla_drivers.errors import ContractError

LEFT_ARM, RIGHT_ARM = range(48, 55), range(55, 62)  # slots of the unified action space
RIGHT_POSE = range(69, 76)
FULL_POSE = 7
Slots = Annotated[list[Slot], Field(max_length=7, description="a list of slots")]


class CameraForm1(CameraForm):
    """A camera; version 1 had no mounts."""

    mount: None = None


class EndEffectorForm1(Strict):
    """The one end effector of a robot with a URDF."""

    link: Text
    action_slots: Slots = Field(default_factory=list)


class ObservedForm1(Strict):
    """An observed end effector."""

    action_slots: Annotated[list[Slot], Field(min_length=7, max_length=7, description="a list of 7 slots")]


class EndEffectorsForm1(Strict):
    """Observed end effectors by side."""

    left: ObservedForm1 | None = None
    right: ObservedForm1 | None = None


class HardwareForm1(Strict):
    """Backend and bus; all other keys are the backend's options."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    backend: Identifier
    bus: Text
    tracking_error_rad: TrackingError | None = None


class RobotForm1(Strict):
    """A whole `robot.yaml` of version 1."""

    version: Annotated[int, Field(ge=1, le=1)] = 1
    robot: Identifier
    urdf: Text | None = None
    base_link: Text | None = None
    end_effector: EndEffectorForm1 | None = None
    end_effectors: EndEffectorsForm1 | None = None
    joints: Annotated[list[JointForm], Field(min_length=1, max_length=100, description="a list of joints")]
    cameras: Annotated[list[CameraForm1], Field(min_length=1, max_length=20, description="a list of cameras")]
    control_rate_hz: Rate
    policy_rate_hz: Rate
    hardware: HardwareForm1


def converted(document: dict[str, Any], urdf: Urdf | None, where: str) -> dict[str, Any]:
    """The document of version 2 that says what `document` of version 1 said.

    Raises:
        ContractError: it is not of version 1, or it leaves open what version 2 must know; says what to change.
    """
    form = validated(RobotForm1, document, where)
    observed = form.end_effectors is not None
    arms = _observed_arms(form, where) if observed else [_arm_of_urdf(form, urdf, where)]
    hardware = dict(document["hardware"])
    new = {
        "version": VERSION,
        "robot": form.robot,
        "urdf": form.urdf,
        "joints": document["joints"],
        "arms": arms,
        "parts": [
            {
                "name": form.robot,
                "backend": hardware.pop("backend"),
                "bus": hardware.pop("bus"),
                "options": {k: v for k, v in hardware.items() if k != "tracking_error_rad"},
            }
        ],
        "cameras": document["cameras"],
        "control_rate_hz": form.control_rate_hz,
        "policy_rate_hz": form.policy_rate_hz,
        "tracking_error_rad": form.hardware.tracking_error_rad,
    }
    return {key: value for key, value in new.items() if value is not None}


def _observed_arms(form: RobotForm1, where: str) -> list[dict[str, Any]]:
    computed = [key for key in ("end_effector", "base_link", "urdf") if getattr(form, key) is not None]
    if computed:
        raise ContractError(
            f"{where}: end_effectors: expected observed ones, which need no URDF, found {computed} beside them"
        )
    assert form.end_effectors is not None
    sides = {side: found for side in ("left", "right") if (found := getattr(form.end_effectors, side))}
    if not sides:
        raise ContractError(
            f"{where}: end_effectors: expected one or both of ('left', 'right'), found neither"
        )
    joints = {
        side: [joint for joint in form.joints if joint.action_slot in slots]
        for side, slots in (("left", LEFT_ARM), ("right", RIGHT_ARM))
    }
    if len(sides) == 1 and not joints[next(iter(sides))]:
        joints = {next(iter(sides)): form.joints}  # an only arm may fill any slots
    return [
        _arm(side, own, sides[side].action_slots if side in sides else [], where)
        for side, own in joints.items()
        if own or side in sides
    ]


def _arm_of_urdf(form: RobotForm1, urdf: Urdf | None, where: str) -> dict[str, Any]:
    if form.end_effector is None or form.base_link is None or urdf is None:
        missing = [key for key in ("end_effector", "base_link", "urdf") if getattr(form, key) is None]
        raise ContractError(f"{where}: {missing[0]}: expected one, found nothing")
    slots = form.end_effector.action_slots
    if len(slots) not in (0, FULL_POSE):
        raise ContractError(
            f"{where}: end_effector.action_slots: expected {FULL_POSE} slots or none, found {slots}"
        )
    filled = [joint.action_slot for joint in form.joints]
    right = set(slots) == set(RIGHT_POSE) if slots else all(slot in RIGHT_ARM for slot in filled)
    chain = urdf.chain(form.base_link, form.end_effector.link)
    joints = [joint for joint in form.joints if joint.name in chain or joint.unit == "m"]
    arm = _arm("right" if right else "left", joints, slots, where)
    arm["joints"] = arm["joints"] or [joint.name for joint in form.joints if joint.unit == "rad"]
    return {**arm, "base_link": form.base_link, "end_effector_link": form.end_effector.link}


def _arm(side: str, joints: list[JointForm], slots: list[int], where: str) -> dict[str, Any]:
    grippers = [joint.name for joint in joints if joint.unit == "m"]
    if len(grippers) > 1:
        raise ContractError(
            f"{where}: joints: version 1 does not say which of {grippers} is the {side} arm's gripper: write the "
            "file as version 2, with arms"
        )
    arm: dict[str, Any] = {"side": side, "joints": [j.name for j in joints if j.name not in grippers]}
    if grippers:
        arm["gripper"] = grippers[0]
    if slots:
        arm["pose_slots"] = slots
    return arm
