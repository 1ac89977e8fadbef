"""Place a can on the pad."""

from mivla_drivers.simulation.tabletop.objects import CAN
from mivla_drivers.simulation.tabletop.verbs import Place

TASK = Place("place_can_on_pad", CAN)
