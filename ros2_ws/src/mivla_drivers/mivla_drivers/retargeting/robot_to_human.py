"""From an end effector's motion to a hand's: Eq. 3 of the MiVLA paper."""

from __future__ import annotations

import numpy as np

from mivla_drivers.retargeting.frames import (
    HUMAN_FROM_ROBOT,
    JOINT_FROM_ANATOMY,
    GraspAxes,
    Side,
    transform,
)
from mivla_drivers.retargeting.hand import HandModel, HandMotion, opposition


def robot_to_human(
    end_effector: np.ndarray,
    opening: np.ndarray,
    opening_range: tuple[float, float],
    side: Side,
    hand: HandModel | None = None,
    axes: GraspAxes | None = None,
    human_from_robot: np.ndarray = HUMAN_FROM_ROBOT,
) -> HandMotion:
    """The hand's motion that imitates a gripper's: its thumb knuckle is where the end effector is.

    The pinch approaches as the gripper does and opens along the gripper's opening axis, with the fingers on
    the inner side of the body: a right hand's point left when the gripper looks down.

    Args:
        end_effector: T_robot_end_effector, shape (T, 4, 4); robot axes as in REP-103.
        opening: of the gripper, shape (T,), any unit.
        opening_range: its closed and its wide open value.
        side: whose hand.
        hand: its size; None is the table's.
        axes: the end effector's; None is `GraspAxes()`.
        human_from_robot: R^m, shape (3, 3).
    """
    hand = hand or HandModel()
    anatomy = (
        human_from_robot @ end_effector[:, :3, :3] @ end_effector_from_anatomy(side, axes or GraspAxes())
    )
    rotation = anatomy @ JOINT_FROM_ANATOMY[side].T
    knuckle = end_effector[:, :3, 3] @ human_from_robot.T
    wrist = knuckle - anatomy @ hand.thumb_knuckle
    tips = wrist[:, None] + hand.tips(pinch_distance(opening, opening_range, hand)) @ anatomy.swapaxes(1, 2)
    return HandMotion(side, transform(rotation, wrist), transform(rotation, knuckle), tips)


def pinch_distance(opening: np.ndarray, opening_range: tuple[float, float], hand: HandModel) -> np.ndarray:
    """Thumb to index distance (T,) [m] of a gripper's opening (T,); the inverse of `gripper_opening`."""
    (closed, wide), (lower, upper) = hand.pinch_range, opening_range
    return closed + (wide - closed) * np.clip((np.asarray(opening) - lower) / (upper - lower), 0.0, 1.0)


def end_effector_from_anatomy(side: Side, axes: GraspAxes) -> np.ndarray:
    """Columns: distal, radial, dorsal in the end effector's axes, (3, 3); left-handed at the left hand."""
    approach, opening = axes.vectors()
    inward = opening if side == "right" else -opening
    (a_distal, _, a_dorsal), (i_distal, _, i_dorsal) = opposition()
    distal = a_distal * approach + i_distal * inward
    dorsal = a_dorsal * approach + i_dorsal * inward
    radial = np.cross(dorsal, distal) if side == "right" else np.cross(distal, dorsal)
    return np.column_stack([distal, radial, dorsal])
