"""Lift a block and hold it up."""

from mivla_drivers.simulation.tabletop.objects import BLOCK
from mivla_drivers.simulation.tabletop.verbs import Lift

TASK = Lift("lift_block", BLOCK)
