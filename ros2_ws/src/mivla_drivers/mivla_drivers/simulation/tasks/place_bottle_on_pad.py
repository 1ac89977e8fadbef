"""Place a bottle on the pad: what simulated people show of a bottle before an arm learns to move one."""

from dataclasses import replace

from mivla_drivers.simulation.tabletop.objects import FLASK
from mivla_drivers.simulation.tabletop.verbs import Place

TASK = Place("place_bottle_on_pad", replace(FLASK, name="bottle"))
