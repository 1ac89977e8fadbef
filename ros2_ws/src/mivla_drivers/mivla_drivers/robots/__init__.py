"""One folder per robot: its contract and URDF, its hardware and its emulator."""
