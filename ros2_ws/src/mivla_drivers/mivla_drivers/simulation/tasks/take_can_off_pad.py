"""Take a can off the pad."""

from mivla_drivers.simulation.tabletop.objects import CAN
from mivla_drivers.simulation.tabletop.verbs import TakeOff

TASK = TakeOff("take_can_off_pad", CAN)
