"""What a fault is to the campaign."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mivla_drivers.robots.fault import CONTINUE, EITHER, HOLD, REFUSE

if TYPE_CHECKING:
    from mivla_bringup.faults.rig import Rig

__all__ = ["CONTINUE", "EITHER", "HOLD", "NAMED_S", "REFUSE", "Fault"]

NAMED_S = 0.5  # within which diagnostics must say it
Act = Callable[["Rig"], None]


@dataclass(frozen=True)
class Fault:
    """One way to break something beside a moving arm.

    Attributes:
        name: in small letters and dashes.
        kind: the file it stands in, for the table.
        about: what happens, in one line.
        inject, clear: break and mend it. What `inject` does before it calls `rig.now_broken()` does not count yet.
        response: HOLD, CONTINUE, EITHER or REFUSE (an enable or a start is refused).
        expected: pattern of what diagnostics must say, any case; empty where there is nothing to say.
        bound_s: from the fault until the arm is at rest [s].
        lasts_s: how long it stays before it is mended [s].
        falls: the true arm moves by itself, as motors lost power; its speed is not judged.
        moving: injected into a moving arm, or into one that stands enabled.
        named_after_s: the earliest moment at which it can be named, such as the end of a pause [s].
        abrupt: the robot itself, or what holds it, ends the motion at once: its braking is not judged.
        interrupts: the driver itself is stopped or ended; how an SDK that goes on by itself brakes is not judged.
        gripper_springs: the true gripper comes loose by itself: neither its speed nor its rest is judged.
        most_rad: how far any joint may go from where it was; None where braking is all that is asked for.
        most_gap_s: how long the driver may command nothing; None where its thread waits for the machine, too.
        restarts: the driver's own process ends, so that it must be started again.
        note: what the row cannot show.
    """

    name: str
    kind: str
    about: str
    inject: Act
    clear: Act
    response: str = HOLD
    expected: str = ""
    bound_s: float = 1.0
    lasts_s: float = 1.5
    falls: bool = False
    moving: bool = True
    named_after_s: float = 0.0
    most_rad: float | None = None
    abrupt: bool = False
    gripper_springs: bool = False
    interrupts: bool = False
    most_gap_s: float | None = None
    restarts: bool = False
    note: str = ""


def nothing(_: Rig) -> None:
    """There is nothing to mend."""
