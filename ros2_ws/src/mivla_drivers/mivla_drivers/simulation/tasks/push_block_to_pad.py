"""Push a block to the pad."""

from mivla_drivers.simulation.tabletop.objects import BLOCK
from mivla_drivers.simulation.tabletop.verbs import Push

TASK = Push("push_block_to_pad", BLOCK)
