"""What a published result was made with: commands, versions, digests."""

from __future__ import annotations

import hashlib
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mivla_drivers.contract import RobotContract
from mivla_drivers.robots import registry

PACKAGES = ("mivla_bringup", "torch", "numpy", "pybullet", "ros-rclpy")


def command_line() -> str:
    """The command as it was typed, to be typed again."""
    return shlex.join(["mivla", *sys.argv[1:]])


def versions() -> dict[str, str]:
    """Versions of what a trial runs through, and the commit where this is a clone; those not found are left out."""
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, *registry.sdk_packages()):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a ROS installation's rclpy is no Python package
            continue
    commit = _commit()
    return found | ({"commit": commit} if commit else {})


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file, as `sha256sum` prints it."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def digest_of_contract(contract: RobotContract) -> str:
    """SHA-256 of a robot's contract and URDF."""
    return hashlib.sha256(f"{contract.text}\0{contract.urdf}".encode()).hexdigest()


def _commit() -> str:
    """The clone's commit, "-dirty" where files were changed since; empty outside a clone."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(git, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
