"""No robot and no task is named where any could stand: only in its own folder, launch files and the defaults."""

from __future__ import annotations

import re
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "ros2_ws" / "src"
NAMES = re.compile("piper|bottle", re.IGNORECASE)
OWN = (
    "mivla_drivers/mivla_drivers/robots/piper/",
    "mivla_drivers/mivla_drivers/simulation/tasks/move_bottle_onto_pad.py",
    "mivla_drivers/mivla_drivers/simulation/tasks/place_bottle_on_pad.py",
    "mivla_bringup/launch/piper.launch.yaml",
    "mivla_bringup/launch/policy.launch.yaml",  # for the shipped policy's robot
)
DEFAULTS = {
    "mivla_drivers/mivla_drivers/robots/__init__.py": "DEFAULT_ROBOT = ",
    "mivla_drivers/mivla_drivers/simulation/tasks/__init__.py": ("DEFAULT_TASK = ", "HUMAN_PRETRAINING = "),
    "mivla_policy/mivla_policy/shipped_models.py": "DEFAULT_POLICY = ",
}


SUFFIXES = {".py", ".yaml", ".yml", ".xml", ".cfg", ".urdf"}
ELSEWHERE = {"models", "build", "install", "log"}  # shipped policies, and what colcon makes


def sources() -> list[str]:
    files = [path.relative_to(SOURCES) for path in SOURCES.rglob("*") if path.suffix in SUFFIXES]
    return [str(file) for file in files if not ELSEWHERE & set(file.parts)]


def test_only_defaults_name_the_first_robot_and_the_first_task():
    files = sources()
    assert len(files) > 200
    found = []
    for file in files:
        if file.startswith(OWN):
            continue
        for number, line in enumerate((SOURCES / file).read_text().splitlines(), start=1):
            if NAMES.search(line) and not line.startswith(DEFAULTS.get(file, ("\0",))):
                found.append(f"{file}:{number}: {line.strip()}")
    assert found == []


def test_what_is_excused_is_there():
    files = sources()
    assert all(any(file.startswith(own) for file in files) for own in OWN)
    assert set(DEFAULTS) <= set(files)
