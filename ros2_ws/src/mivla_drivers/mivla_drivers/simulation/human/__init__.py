"""A simulated person: hands that do the tasks of `mivla_drivers.simulation.tabletop`, seen from the head.

Hands are moved kinematically: they follow a commanded path whatever they meet, and what is grasped or pushed is
attached to the grip, not held by friction. What is seen is right; forces, slips and failures are not there.
"""
