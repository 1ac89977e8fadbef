"""Who may import whom: no circle, and only a robot's own folder knows it."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from importlib.resources import files
from pathlib import Path

from mivla_drivers.robots import registry

ROOT = Path(str(files("mivla_drivers")))
MODULES = {
    ".".join(("mivla_drivers", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


def imported(path: Path) -> set[str]:
    """Modules of these packages that a file imports as it is loaded."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys()


def test_imports_have_no_circle():
    graph = {module: imported(path) - {module} for module, path in MODULES.items()}
    assert len(graph) > 50
    assert len(list(TopologicalSorter(graph).static_order())) == len(graph)


def test_only_a_robots_own_folder_imports_it():
    robot = re.compile(rf"mivla_drivers\.robots\.({'|'.join(registry.names())})\b")
    inside = tuple(ROOT / "robots" / name for name in registry.names())
    for path in MODULES.values():
        if not any(folder in path.parents for folder in inside):
            assert not robot.search(path.read_text()), path


def test_what_every_robot_is_made_of_knows_no_backend():
    for package in ("transport", "control", "kinematics", "contract"):
        for path in (ROOT / package).glob("*.py"):
            assert not re.search("piper", path.read_text(), re.IGNORECASE), path
