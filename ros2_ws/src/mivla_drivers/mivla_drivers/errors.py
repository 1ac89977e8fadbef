"""Errors that an operator reads: what, where, expected, got, and what to do."""


class MivlaError(Exception):
    """Base of every error this project raises on purpose."""


class ContractError(MivlaError):
    """A robot contract is wrong, or two contracts that must agree do not."""


class CommandRefused(MivlaError):
    """A command was refused at the gate; the robot did not move because of it."""


class HardwareError(MivlaError):
    """The robot or its bus cannot do what was asked; the arm holds."""


class EmulatorMissing(HardwareError):
    """Nothing emulates the robot on an `emulated:` bus, or not yet: simulator and driver start together."""


class DataError(MivlaError):
    """A recording, a message or a file does not hold what it must."""
