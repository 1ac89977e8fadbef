"""What the ROS packages say of themselves: their dependencies, and what an install holds."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

SOURCES = Path(__file__).parents[2] / "ros2_ws" / "src"
PACKAGES = ["mivla_drivers", "mivla_policy", "mivla_bringup"]
ROS = re.compile(r"rclpy|mivla_\w+|\w+_msgs|\w+_interfaces|std_srvs|ament_\w+|launch\w*")
# What a package uses without importing it.
USED = {
    "mivla_drivers": {
        "rmw_fastrtps_cpp",  # network.py sets RMW_IMPLEMENTATION to it, and ships its profiles
        "lifecycle_msgs",  # the driver node's services
    },
    "mivla_policy": set[str](),
    "mivla_bringup": {
        "ros2launch",  # runs launch/*.yaml
        "launch_ros",  # their `node` and `push_ros_namespace`
        "rmw_fastrtps_cpp",  # network.launch.yaml sets it
    },
}


def imported(package: str) -> set[str]:
    """The ROS packages that a package's modules import."""
    found = set()
    for path in (SOURCES / package / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return {name for name in found if ROS.fullmatch(name)} - {package}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_depends_on_what_it_uses_and_on_nothing_else(package):
    manifest = ElementTree.parse(SOURCES / package / "package.xml").getroot()
    depends = {element.text for kind in ("depend", "exec_depend") for element in manifest.findall(kind)}
    assert depends == imported(package) | USED[package]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_launch_file_starts_only_packages_that_its_own_depends_on(package):
    for file in (SOURCES / package / "launch").glob("*.yaml"):
        started = set(re.findall(r"pkg: (\w+)", file.read_text()))
        started |= set(re.findall(r"\$\(find-pkg-share (\w+)\)", file.read_text()))
        assert started - {package} <= imported(package)


def data_files(package: str) -> dict[str, list[str]]:
    """What a package's setup.py installs beside its modules: sources by folder."""
    script = (
        "import json, setuptools\n"
        "setuptools.setup = lambda **words: print(json.dumps(words['data_files']))\n"
        "exec(compile(open('setup.py').read(), 'setup.py', 'exec'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=SOURCES / package, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_every_model_is_installed_whole():
    models = Path(__file__).parents[2] / "models"
    installed = data_files("mivla_policy")
    for folder in models.iterdir():
        if (folder / "config.json").is_file():
            files = {Path(file).name for file in installed[f"share/mivla_policy/models/{folder.name}"]}
            assert files == {file.name for file in folder.iterdir()}


def test_every_data_file_lies_below_its_package_as_colcon_wants_it():
    for package in PACKAGES:
        for sources in data_files(package).values():
            for source in sources:
                assert not source.startswith(("/", ".."))
                assert (SOURCES / package / source).is_file()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
def test_the_systemd_unit_is_one_that_systemd_reads(tmp_path):
    """Its paths and its user are examples, so they are replaced by some that are here."""
    unit = (Path(__file__).parents[2] / "scripts" / "mivla-piper.service").read_text()
    for example, here in {
        "/opt/mivla/.venv/bin/mivla": "/bin/true",
        "=/opt/mivla": "=/tmp",
        "=robot": "=root",
    }.items():
        assert example in unit
        unit = unit.replace(example, here)
    file = tmp_path / "mivla-piper.service"
    file.write_text(unit)
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
