"""Options of a backend: each declares its own, and an unknown one is refused."""

from __future__ import annotations

from typing import Any, TypeVar

from mivla_drivers.contract.refusal import validated
from mivla_drivers.contract.robot_contract import PartConfig, RobotContract
from mivla_drivers.contract.schema import Strict


class Options(Strict):
    """Base of a backend's options: known keys only, each with its bounds."""


Found = TypeVar("Found", bound=Options)


def backend_options(options: type[Found], contract: RobotContract, part: PartConfig) -> Found:
    """The options of one part in the shape that its backend declares.

    Raises:
        ContractError: one is unknown, of another type or out of range; names robot, part and option.
    """
    return checked_options(options, part.options, contract.robot, part.name)


def checked_options(options: type[Found], found: dict[str, Any], where: str, part: str) -> Found:
    """`found` in the shape of `options`; raises as `backend_options`, naming `where` and the part."""
    return validated(options, found, where, f"parts.{part}.options")
