"""Hardware backends, named by the parts of a contract."""

from __future__ import annotations

from mivla_drivers.contract import PartConfig, RobotContract
from mivla_drivers.errors import ContractError
from mivla_drivers.robots.hardware import Hardware, Measurement, PartState
from mivla_drivers.robots.parts import PartsHardware

__all__ = ["Hardware", "Measurement", "PartState", "make_hardware"]


def make_hardware(contract: RobotContract) -> Hardware:
    """The hardware of all parts of a robot, not connected yet.

    Raises:
        ContractError: a part names no backend that there is, or one that its joints or options do not fit.
    """
    parts = [_make_part(contract, part) for part in contract.parts]
    if len(parts) == 1 and contract.parts[0].joints == contract.joints:
        return parts[0]
    return PartsHardware(contract, parts)


def _make_part(contract: RobotContract, part: PartConfig) -> Hardware:
    if part.backend == "piper":
        from mivla_drivers.robots.piper.hardware import (
            PiperHardware,  # the SDK is imported only for its own robot
        )

        return PiperHardware(contract, part)
    raise ContractError(
        f"{contract.robot}: parts.{part.name}.backend: expected 'piper', found {part.backend!r}"
    )
