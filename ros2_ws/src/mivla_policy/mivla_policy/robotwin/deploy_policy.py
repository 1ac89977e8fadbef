"""Runs a policy in RoboTwin 2.0, branch stable_2.0: the three functions its evaluation script calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from mivla_drivers.cameras.frame import fitted
from mivla_drivers.contract import RobotContract, load_contract
from mivla_drivers.control.trajectory import ActionChunk
from mivla_drivers.errors import ContractError, DataError
from mivla_drivers.observation import Observation
from mivla_drivers.policy import Policy
from mivla_policy.action_space import END_EFFECTORS, ROBOT_JOINTS, EndEffectors, from_unified, to_unified
from mivla_policy.policies import LoadOptions, load_policy
from mivla_policy.robotwin.conventions import (
    ALOHA_FRAMES,
    CAMERAS,
    ENDPOSE_SIZE,
    QPOS_SIZE,
    Frames,
    ee_from_unified,
    joints_of,
    qpos_from_unified,
    unified_from_state,
)
from mivla_policy.rotations import CONTINUOUS

ALOHA = "aloha_agilex"
ActionType = Literal["qpos", "ee"]


class TaskEnv(Protocol):
    """The part of RoboTwin's task that a policy sees."""

    take_action_cnt: int
    step_lim: int
    eval_success: bool

    def get_obs(self) -> dict[str, Any]: ...

    def get_instruction(self) -> str: ...

    def take_action(self, action: np.ndarray, action_type: str = "qpos") -> Any: ...


@dataclass
class RobotwinModel:
    """A policy and how RoboTwin is to execute it.

    Attributes:
        policy: of both arms; its chunks hold joints and, for "ee", both end effectors.
        contract: of both arms, such as aloha_agilex; the images' sizes and the joints' order are its.
        action_type: "qpos" (14) or "ee" (16).
        steps: of each chunk that are executed.
        seed: of the first trial's noise; each trial has its own.

    Raises:
        ContractError: the contract's joints are not the 14 of two arms, not both end effectors have slots, or the
            policy has a view that is not RoboTwin's.
        DataError: the action type is unknown, or steps is below 1.
    """

    policy: Policy
    contract: RobotContract
    action_type: ActionType = "qpos"
    steps: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        _require_both("action_slots", self.contract.action_slots, ROBOT_JOINTS, self.contract)
        _require_both("end_effectors", self.contract.end_effector_slots, END_EFFECTORS, self.contract)
        unknown = [view for view in self.policy.views if view not in CAMERAS]
        if unknown:
            raise ContractError(
                f"{self.contract.robot}: policy: expected views of {list(CAMERAS)}, found {unknown}"
            )
        version = getattr(self.policy, "pose_version", CONTINUOUS)
        if version != CONTINUOUS:
            raise ContractError(
                f"{self.contract.robot}: policy: expected poses of version {CONTINUOUS}, found version {version}, with "
                "both arms in RoboTwin's world; encode the demonstrations again and train again"
            )
        if self.action_type not in ("qpos", "ee"):
            raise DataError(f"action_type: expected qpos or ee, found {self.action_type!r}")
        if self.action_type == "ee" and self.contract.robot != ALOHA:
            raise ContractError(
                f"{self.contract.robot}: action_type: expected qpos, since only {ALOHA}'s place in RoboTwin's world is "
                "known here, found ee"
            )
        if self.steps < 1:
            raise DataError(f"steps: expected at least 1, found {self.steps}")
        self.frames = Frames.of(self.contract)
        self.end_effectors = None if self.contract.observes_end_effectors else EndEffectors(self.contract)

    def actions(self, chunk: ActionChunk) -> np.ndarray:
        """RoboTwin's actions of a chunk's first `steps`, qpos (S, 14) or ee (S, 16)."""
        if self.action_type == "ee" and self.end_effectors is not None:
            chunk = replace(chunk, end_effectors=self.end_effectors.vectors(chunk.positions))
        return chunk_actions(chunk, self.contract, self.action_type, self.frames)[: self.steps]


def get_model(usr_args: Mapping[str, Any]) -> RobotwinModel:
    """The policy named by `checkpoint` in deploy_policy.yml or on the command line.

    Raises:
        DataError, ContractError: no checkpoint is given, it is not complete, or not of two arms.
        PolicyError: `checkpoint` names an unknown backend.
    """
    spec = usr_args.get("checkpoint")
    if not spec:
        raise DataError("checkpoint: expected a policy's folder, found none; set it in deploy_policy.yml")
    # Imported here, so that reading RoboTwin's data needs no torch.
    from mivla_policy.policy_folder import read_contract

    robot = usr_args.get("robot")
    if not robot and not Path(spec).is_dir() and ":" in str(spec):
        raise DataError(
            f"robot: expected a name or robot.yaml, since {spec} holds no contract, found none; "
            "set it in deploy_policy.yml"
        )
    contract = load_contract(robot) if robot else read_contract(Path(spec))
    options = LoadOptions(
        device=usr_args.get("device") or "cpu", image_encoder=usr_args.get("backend") or "torch"
    )
    policy = load_policy(spec, contract, options)
    action_type: ActionType = usr_args.get("action_type") or "qpos"
    steps, seed = int(usr_args.get("steps") or 8), int(usr_args.get("seed") or 0)
    return RobotwinModel(policy, contract, action_type, steps, seed)


def eval(TASK_ENV: TaskEnv, model: RobotwinModel, observation: dict[str, Any]) -> None:
    """Infer one chunk from `observation` and execute its first steps; called until the trial ends.

    Raises:
        DataError: the observation or the chunk is not what it must be.
    """
    instruction = TASK_ENV.get_instruction()
    stamp = TASK_ENV.take_action_cnt / model.contract.policy_rate_hz
    seen = encode_obs(observation, instruction, model.contract, model.policy.views, stamp, model.frames)
    for action in model.actions(model.policy.infer(seen)):
        TASK_ENV.take_action(action, action_type=model.action_type)
        if TASK_ENV.eval_success or TASK_ENV.take_action_cnt >= TASK_ENV.step_lim:
            return
        TASK_ENV.get_obs()  # RoboTwin's video shows what was last looked at


def reset_model(model: RobotwinModel) -> None:
    """Forget the trial before; called at the start of each."""
    model.policy.reset(model.seed)
    model.seed += 1


def encode_obs(
    observation: Mapping[str, Any],
    instruction: str,
    contract: RobotContract,
    views: Sequence[str],
    stamp: float,
    frames: Frames = ALOHA_FRAMES,
) -> Observation:
    """The policy's observation at `stamp` [s]: its views in the contract's size, joints and end effectors in its order.

    End effectors are looked for where the contract observes them.

    Raises:
        DataError: a camera, the joint vector or an end pose is missing or has another shape.
    """
    cameras = observation.get("observation", {})
    images = {}
    for camera in (camera for camera in contract.cameras if camera.view in views):
        name = CAMERAS[camera.view]
        image = np.asarray(cameras.get(name, {}).get("rgb"))
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise DataError(
                f"observation.{name}.rgb: expected (H, W, 3) uint8 rgb, got {image.shape} {image.dtype}; "
                "task_config needs rgb: true under data_type and, under camera, collect_head_camera and "
                "collect_wrist_camera: true"
            )
        images[camera.view] = fitted(
            image, camera.width, camera.height, "crop"
        )  # as a camera's own driver does
    qpos = _numbers(observation, "joint_action", "vector", QPOS_SIZE, "qpos")
    if not contract.observes_end_effectors:
        return Observation(images, joints_of(contract, qpos), instruction, stamp)
    left, right = (
        _numbers(observation, "endpose", f"{side}_endpose", ENDPOSE_SIZE, "endpose")
        for side in ("left", "right")
    )
    state = unified_from_state(qpos, left, right, frames=frames)
    return Observation(
        images, from_unified(contract, state), instruction, stamp, state[contract.end_effector_slots]
    )


def chunk_actions(
    chunk: ActionChunk, contract: RobotContract, action_type: ActionType, frames: Frames = ALOHA_FRAMES
) -> np.ndarray:
    """RoboTwin's actions of a chunk, qpos (H, 14) or ee (H, 16).

    Raises:
        DataError: the chunk has no end effectors, which "ee" needs.
        ContractError: the chunk has another number of joints or end effectors than the contract.
    """
    if action_type == "qpos":
        return qpos_from_unified(to_unified(contract, chunk.positions)[0])
    if chunk.end_effectors is None:
        raise DataError(
            "policy: expected a chunk with both end effectors for action_type ee, got joints only"
        )
    unified, _ = to_unified(contract, chunk.positions, end_effectors=chunk.end_effectors)
    return ee_from_unified(unified, frames=frames)


def _require_both(field: str, slots: np.ndarray, both: slice, contract: RobotContract) -> None:
    found, expected = sorted(slots.tolist()), list(range(both.start, both.stop))
    if found != expected:
        raise ContractError(
            f"{contract.robot}: {field}: expected both arms' slots {expected[0]}..{expected[-1]}, "
            f"found {found}; RoboTwin needs a policy of two arms"
        )


def _numbers(observation: Mapping[str, Any], group: str, name: str, size: int, switch: str) -> np.ndarray:
    """`size` finite numbers of an observation; `switch` of the task's configuration makes RoboTwin give them."""
    found = np.asarray(observation.get(group, {}).get(name), dtype=float)
    if found.shape != (size,) or not np.isfinite(found).all():
        raise DataError(
            f"observation: {group}.{name}: expected {size} finite numbers, got {found}; "
            f"task_config needs {switch}: true under data_type"
        )
    return found
