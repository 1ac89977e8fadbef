"""Which key does what, and when it is not taken; knows no terminal and no clock."""

from __future__ import annotations

from dataclasses import dataclass

STOP_KEYS = frozenset({"space", "alt+space", "shift+space", "ctrl+@", "ctrl+space"})
QUIT_KEYS = frozenset({"q", "ctrl+c", "ctrl+q"})
SETTLE_S = 1.0  # what arrives while a terminal opens was not typed: some answer a query with letters
HASTE_S = 1.0  # a hand that falls on the space bar hits other keys with it
NONE = "source none"


@dataclass(frozen=True)
class Action:
    """A call to the driver: its name at the operator endpoint, its value, and what an operator calls it."""

    action: str
    value: str
    label: str


ACTIONS = {
    "e": Action("enable", "", "enable"),
    "h": Action("home", "", "home"),
    "p": Action("source", "policy", "source policy"),
    "t": Action("source", "teleop", "source teleop"),
    "n": Action("source", "none", NONE),
}


@dataclass(frozen=True)
class KeyContext:
    """What decides whether a key is taken: since when the console is open, the last stop, and whether it is pending.

    Times are [s, steady clock].
    """

    opened: float
    stop_pressed: float | None
    stop_pending: bool


def refusal(action: Action, context: KeyContext, now: float) -> str:
    """Why a key that may move the robot is not taken at `now`; empty where it is. Taking it away always is."""
    if action.label == NONE:
        return ""
    if context.stop_pending:
        return "the stop was not acknowledged yet"
    if context.stop_pressed is not None and now - context.stop_pressed < HASTE_S:
        return f"it came within {HASTE_S:g} s of the stop; press it again"
    if now - context.opened < SETTLE_S:
        return f"it came within {SETTLE_S:g} s of opening; press it again"
    return ""
