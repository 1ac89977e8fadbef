"""Lift a can and hold it up."""

from mivla_drivers.simulation.tabletop.objects import CAN
from mivla_drivers.simulation.tabletop.verbs import Lift

TASK = Lift("lift_can", CAN)
