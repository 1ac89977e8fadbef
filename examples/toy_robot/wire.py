"""The toy's CAN frames, as its manual would have them.

| identifier | from | data |
|---|---|---|
| 0x010 | driver | 1 enables the motors, 0 disables them |
| 0x100 + i | driver | target of motor i: int32 [urad or um] |
| 0x200 + i | motor | position int32 [urad or um], velocity int16 [mrad/s or mm/s], effort int8 [0.1 N.m or N], status |

Little endian. Motors count from 1. Status bits: 0x01 the motor has power, 0x02 it is too hot.
"""

import struct

POWER, TARGET, FEEDBACK = 0x010, 0x100, 0x200
POWERED, HOT = 0x01, 0x02
TARGET_DATA = struct.Struct("<i")
FEEDBACK_DATA = struct.Struct("<ihbB")
POSITION_UNIT, VELOCITY_UNIT, EFFORT_UNIT = 1e-6, 1e-3, 0.1


def whole(value: float, unit: float, bits: int) -> int:
    """`value` in whole units, held within a signed integer of `bits`."""
    largest = 2 ** (bits - 1) - 1
    return max(-largest, min(largest, round(value / unit)))
