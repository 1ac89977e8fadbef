"""What a `robot.yaml` says: the only place that knows which joints, arms, parts, cameras and rates a robot has.

schema.py          the file's form, version 2, validated by pydantic
version1.py        the form before it, converted
robot_contract.py  what the rest of the code holds: frozen dataclasses and arrays
build.py           from one to the other, with everything checked that concerns several fields or the URDF
"""

from __future__ import annotations

from mivla_drivers.contract.compare import require_same_contract
from mivla_drivers.contract.load import load_contract, parse_contract
from mivla_drivers.contract.options import Options, backend_options
from mivla_drivers.contract.robot_contract import (
    ACTION_DIMENSIONS,
    EMULATED,
    JOINT_UNITS,
    POSE_SIZE,
    SIDES,
    ArmConfig,
    CameraConfig,
    CameraMount,
    JointLimits,
    ModeConfig,
    PartConfig,
    RobotContract,
    Side,
    Workspace,
)

__all__ = [
    "ACTION_DIMENSIONS",
    "EMULATED",
    "JOINT_UNITS",
    "POSE_SIZE",
    "SIDES",
    "ArmConfig",
    "CameraConfig",
    "CameraMount",
    "JointLimits",
    "ModeConfig",
    "Options",
    "PartConfig",
    "RobotContract",
    "Side",
    "Workspace",
    "backend_options",
    "load_contract",
    "parse_contract",
    "require_same_contract",
]
