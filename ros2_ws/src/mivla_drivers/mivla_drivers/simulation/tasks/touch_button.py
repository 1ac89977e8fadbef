"""Touch a button."""

from mivla_drivers.simulation.tabletop.objects import BUTTON
from mivla_drivers.simulation.tabletop.verbs import Touch

TASK = Touch("touch_button", BUTTON)
