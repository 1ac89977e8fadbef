"""Two contracts that must agree: what a policy's numbers mean."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from mivla_drivers.contract.robot_contract import RobotContract
from mivla_drivers.errors import ContractError

FIELDS = ("robot", "joints", "units", "policy_rate_hz", "action_slots")
ARM_FIELDS = ("base_link", "end_effector_link", "joints", "gripper", "pose_slots")


def require_same_contract(
    expected: RobotContract, found: RobotContract, where: str, views: Collection[str] | None = None
) -> None:
    """Refuse `found` where it differs from `expected` in what a policy's numbers mean.

    Buses, options, the rates of the hardware, topics and mounts may differ; the meaning of numbers may not.

    Args:
        where: what `found` is of, for the message.
        views: the cameras that matter; others may differ or be there on one side only. None: all matter.

    Raises:
        ContractError: names `where`, the first differing field, what was expected and what was found.
    """
    for name in FIELDS:
        _same(getattr(expected, name), getattr(found, name), f"{where}: {name}")
    _same([a.side for a in expected.arms], [a.side for a in found.arms], f"{where}: arms: side")
    for want, have in zip(expected.arms, found.arms, strict=True):
        for name in ARM_FIELDS:
            _same(getattr(want, name), getattr(have, name), f"{where}: arms.{want.side}.{name}")
    for side in ("lower", "upper"):
        lower, upper = getattr(expected.limits, side), getattr(found.limits, side)
        if not np.allclose(lower, upper):
            raise ContractError(f"{where}: {side} limits: expected {_plain(lower)}, found {_plain(upper)}")
    if views is None:
        _same(_sizes(expected), _sizes(found), f"{where}: cameras (view, width, height)")
        return
    for view in views:
        want_size, have_size = ([row for row in _sizes(one) if row[0] == view] for one in (expected, found))
        if not want_size or want_size != have_size:
            raise ContractError(
                f"{where}: cameras (view, width, height): expected {want_size or _sizes(expected)} for view {view}, "
                f"found {have_size or _sizes(found)}"
            )


def _sizes(contract: RobotContract) -> list[tuple[str, int, int]]:
    return [(c.view, c.width, c.height) for c in contract.cameras]


def _same(want: Any, have: Any, what: str) -> None:
    if not np.array_equal(want, have):
        raise ContractError(f"{what}: expected {_plain(want)}, found {_plain(have)}")


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
