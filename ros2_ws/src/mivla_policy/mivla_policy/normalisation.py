"""Statistics that bring states and actions to zero mean and unit spread, slot by slot."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from mivla_drivers.contract import ACTION_DIMENSIONS
from mivla_drivers.contract.refusal import shown
from mivla_drivers.errors import DataError
from mivla_drivers.text import shortened
from mivla_policy.action_space import (
    LEFT_ARM,
    LEFT_END_EFFECTOR,
    LEFT_HAND,
    RIGHT_ARM,
    RIGHT_END_EFFECTOR,
    RIGHT_HAND,
    slot_name,
)

COVERED = 6.0
"""Spreads from the mean up to which a base's statistics are taken to cover what a slot does."""


class Spreads(NamedTuple):
    """Spreads of the slots of states and of actions, each of shape (76,)."""

    state: np.ndarray
    action: np.ndarray


def smallest_spreads() -> Spreads:
    """The least spread that a slot is given, however still it stood in the data.

    An arm that is to hold still is never where it stood in the demonstrations: between two mornings, 0.03 rad of a
    joint and 1.5 cm of its end effector are usual. A state's slot is therefore divided by no less than what makes
    0.3 of that. Targets are reproduced, so an action's least spread is what may be missed by a tenth of it.
    """
    state, action = np.empty((2, ACTION_DIMENSIONS))
    for hand in (LEFT_HAND, RIGHT_HAND):
        state[hand], action[hand] = 0.05, 0.01  # [m]: wrist and finger tips
        wrist = slice(hand.start + 3, hand.start + 9)
        state[wrist], action[wrist] = 0.1, 0.02  # [1]: columns of a rotation matrix
    for arm in (LEFT_ARM, RIGHT_ARM):
        state[arm], action[arm] = 0.1, 0.02  # [rad]
        gripper = arm.stop - 1
        state[gripper], action[gripper] = 0.01, 0.005  # [m]
    for pose in (LEFT_END_EFFECTOR, RIGHT_END_EFFECTOR):
        state[pose], action[pose] = 0.05, 0.01  # [m], and of a quaternion [1]: half the angle
    return Spreads(state, action)


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of every slot, each of shape (76,).

    Slots without data have mean 0 and spread 1.
    """

    state_mean: np.ndarray
    state_std: np.ndarray
    action_mean: np.ndarray
    action_std: np.ndarray

    def __post_init__(self) -> None:
        for name, array in vars(self).items():
            if array.shape != (ACTION_DIMENSIONS,) or not np.isfinite(array).all():
                raise DataError(
                    f"statistics: {name}: expected {ACTION_DIMENSIONS} finite numbers, got {shown(array)}"
                )
            if name.endswith("std") and not (array > 0).all():
                raise DataError(f"statistics: {name}: expected numbers above 0, got {array.min()}")
            array.setflags(write=False)

    @classmethod
    def of(
        cls, states: np.ndarray, state_mask: np.ndarray, actions: np.ndarray, action_mask: np.ndarray
    ) -> Statistics:
        """Statistics of unified states (..., 76) and actions (..., 76), each with a mask that broadcasts to it.

        Raises:
            DataError: there is no sample.
        """
        smallest = smallest_spreads()
        state_mean, state_std = _moments(states, state_mask, smallest.state)
        action_mean, action_std = _moments(actions, action_mask, smallest.action)
        return cls(state_mean, state_std, action_mean, action_std)

    @classmethod
    def from_dict(cls, document: dict[str, Any], where: str) -> Statistics:
        """Statistics written by `to_dict`.

        Raises:
            DataError: a list is missing or not of 76 finite numbers; names `where`.
        """
        names = list(cls.__dataclass_fields__)
        if sorted(document) != sorted(names):
            raise DataError(f"{where}: expected {names}, found {shown(sorted(document))}")
        try:
            return cls(**{name: np.asarray(document[name], dtype=float) for name in names})
        except (DataError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise DataError(f"{where}: {shortened(error)}") from None

    def to_dict(self) -> dict[str, list[float]]:
        """Plain lists, for a JSON file."""
        return {name: array.tolist() for name, array in asdict(self).items()}

    def with_joints_of(self, robot: Statistics) -> Statistics:
        """These, with the joints' and the grippers' of `robot`: angles mean something only together with their arm."""
        joints = np.r_[LEFT_ARM, RIGHT_ARM]
        changed = {name: array.copy() for name, array in vars(self).items()}
        for name, array in changed.items():
            array[joints] = getattr(robot, name)[joints]
        return Statistics(**changed)

    def normalise_state(self, values: np.ndarray) -> np.ndarray:
        """Unified state (..., 76) to zero mean and unit spread."""
        return (values - self.state_mean) / self.state_std

    def normalise_action(self, values: np.ndarray) -> np.ndarray:
        """Unified action (..., 76) to zero mean and unit spread."""
        return (values - self.action_mean) / self.action_std

    def denormalise_action(self, values: np.ndarray) -> np.ndarray:
        """Back from the model's numbers (..., 76) to radians and metres."""
        return values * self.action_std + self.action_mean


@dataclass(frozen=True)
class Uncovered:
    """A slot that data take beyond what statistics know.

    Attributes:
        kind: "state" or "action".
        slot: of the unified space.
        reach: how far from the mean the data go, in spreads.
        lower, upper: what the data hold [the slot's unit].
        mean, spread: of the statistics [the slot's unit].
    """

    kind: str
    slot: int
    reach: float
    lower: float
    upper: float
    mean: float
    spread: float

    def __str__(self) -> str:
        return (
            f"{self.kind}: {slot_name(self.slot)}: expected about {self.mean:.3f} +- {self.spread:.3f}, as the base "
            f"was trained with, found {self.lower:.3f} to {self.upper:.3f}: {self.reach:.0f} spreads away"
        )


def covering(
    base: Statistics,
    states: np.ndarray,
    state_mask: np.ndarray,
    actions: np.ndarray,
    action_mask: np.ndarray,
) -> tuple[Statistics, tuple[Uncovered, ...]]:
    """`base` with the data's mean and spread in those slots that it does not cover, and which these are.

    A network sees nothing but noise in a slot that is a dozen spreads off, and its targets there outweigh all others.
    Where its numbers never were, it has nothing to forget; the other slots keep the meaning that its weights know.

    Args:
        states, actions: unified, (..., 76), with their masks, which broadcast to them.

    Raises:
        DataError: there is no sample.
    """
    own = Statistics.of(states, state_mask, actions, action_mask)
    return covering_ranges(base, own, _range(states, state_mask), _range(actions, action_mask))


Range = tuple[np.ndarray, np.ndarray]
"""Least and largest value of every slot, each (76,); infinity and minus infinity where there is none."""


def covering_ranges(
    base: Statistics, own: Statistics, states: Range, actions: Range
) -> tuple[Statistics, tuple[Uncovered, ...]]:
    """`covering` for data of which the statistics and the ranges are known already."""
    found: list[Uncovered] = []
    changed = {name: array.copy() for name, array in vars(base).items()}
    for kind, (lower, upper) in (("state", states), ("action", actions)):
        mean, std = changed[f"{kind}_mean"], changed[f"{kind}_std"]
        reach = np.maximum(upper - mean, mean - lower) / std
        for slot in np.flatnonzero(np.isfinite(reach) & (reach > COVERED)):
            where = float(lower[slot]), float(upper[slot]), float(mean[slot]), float(std[slot])
            found.append(Uncovered(kind, int(slot), float(reach[slot]), *where))
            mean[slot] = getattr(own, f"{kind}_mean")[slot]
            std[slot] = getattr(own, f"{kind}_std")[slot]
    return Statistics(**changed), tuple(found)


def _range(values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest valid value of every slot, (76,); infinity and minus infinity where there is none."""
    rows = np.asarray(values, dtype=float).reshape(-1, ACTION_DIMENSIONS)
    valid = np.broadcast_to(mask, np.shape(values)).reshape(rows.shape)
    return np.where(valid, rows, np.inf).min(axis=0), np.where(valid, rows, -np.inf).max(axis=0)


def _moments(values: np.ndarray, mask: np.ndarray, smallest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread (76,) over the rows in which a slot is valid; 0 and 1 where it is in none."""
    rows = np.asarray(values, dtype=float).reshape(-1, ACTION_DIMENSIONS)
    if not len(rows):
        raise DataError("statistics: expected at least one sample, got none")
    valid = np.broadcast_to(mask, np.shape(values)).reshape(rows.shape)
    known, count = valid.any(axis=0), np.maximum(valid.sum(axis=0), 1)
    mean = np.where(valid, rows, 0.0).sum(axis=0) / count
    std = np.sqrt((np.where(valid, rows - mean, 0.0) ** 2).sum(axis=0) / count)
    return np.where(known, mean, 0.0), np.where(known, np.maximum(std, smallest), 1.0)
