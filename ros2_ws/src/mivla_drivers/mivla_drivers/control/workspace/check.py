"""Whether a contract's workspace can work: refused at load, not in the middle of a motion."""

from __future__ import annotations

import numpy as np

from mivla_drivers.contract.robot_contract import RobotContract
from mivla_drivers.control.workspace.bound import Bound
from mivla_drivers.control.workspace.clearance import Clearance
from mivla_drivers.control.workspace.tree import LinkTree
from mivla_drivers.errors import ContractError

LONGEST_BRAKING = 2.0  # [rad or m]; the driver looks along no longer way in every step


def require_workable(contract: RobotContract, where: str) -> None:
    """Refuse a workspace that the robot cannot keep, or that its home pose is not in.

    Raises:
        ContractError: names `where`, field, expected and found.
    """
    workspace = contract.workspace
    if workspace is None:
        return
    limits = contract.limits
    for joint, distance in zip(limits.names, limits.velocity**2 / (2 * limits.acceleration), strict=True):
        if distance > LONGEST_BRAKING:
            raise ContractError(
                f"{where}: workspace: joints.{joint}: expected a velocity and an acceleration that stop it within "
                f"{LONGEST_BRAKING:.0f} rad or m, found {distance:.1f}"
            )
    tree = LinkTree(contract, f"{where}: urdf")
    clearance = Clearance(contract, workspace, tree, f"{where}: workspace")
    found = clearance.distances(tree.frames(contract.home[None]), np.arange(len(clearance.bounds)))
    short = [(distance, bound) for distance, bound in zip(found.values[:, 0], clearance.bounds, strict=True)]
    for distance, bound in sorted(short, key=lambda one: one[0] - one[1].margin):
        if distance < bound.margin:
            raise ContractError(f"{where}: workspace.{bound.field}: {_refusal(bound, distance)}")


def _refusal(bound: Bound, distance: float) -> str:
    if bound.field.startswith("box"):
        return f"expected the home pose inside, found {bound.text} by {-distance:.3f} m there"
    return f"expected at least {bound.margin:.3f} m at the home pose, found {distance:.3f} m: {bound.text}"
