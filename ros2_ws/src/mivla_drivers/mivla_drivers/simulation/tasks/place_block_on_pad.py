"""Place a block on the pad."""

from mivla_drivers.simulation.tabletop.objects import BLOCK
from mivla_drivers.simulation.tabletop.verbs import Place

TASK = Place("place_block_on_pad", BLOCK)
