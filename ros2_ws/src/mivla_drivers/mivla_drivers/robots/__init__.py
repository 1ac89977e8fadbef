"""One folder per robot: its contract and URDF, its hardware and its emulator."""

DEFAULT_ROBOT = "piper"  # of nodes and commands that are not told which
