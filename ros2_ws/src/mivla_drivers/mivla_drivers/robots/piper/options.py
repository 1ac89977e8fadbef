"""Options of a PiPER in a contract."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mivla_drivers.contract.options import Options


class BackendOptions(Options):
    """What a contract may say about a PiPER beside its joints.

    Attributes:
        gripper_effort: with which the gripper closes [N.m]; the arm takes up to 5.
        speed_percent: of the arm's own top speed; the contract's velocity limits bind below it.
    """

    gripper_effort: Annotated[float, Field(gt=0, le=5, description="an effort [N.m] above 0")] = 1.0
    speed_percent: Annotated[int, Field(ge=1, le=100, description="a whole number of percent")] = 100
