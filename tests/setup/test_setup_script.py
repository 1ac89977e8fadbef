"""`scripts/setup.sh`: it ends with a `mivla` that runs, or with one line that says what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import setuptools

REPOSITORY = Path(__file__).parents[2]
BASE_PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"


def copy_of_the_repository(folder: Path) -> Path:
    """The packages and the script without anything to download, in a folder whose name holds a blank."""
    clone = folder / "a clone"
    shutil.copytree(REPOSITORY / "scripts", clone / "scripts")
    ignored = shutil.ignore_patterns("*.egg-info", "__pycache__", "build")
    shutil.copytree(REPOSITORY / "ros2_ws" / "src", clone / "ros2_ws" / "src", ignore=ignored)
    (clone / "requirements").mkdir()
    for name in ("base.txt", "ros.txt", "policy.txt", "weights.txt"):
        (clone / "requirements" / name).write_text("# nothing\n")
    return clone


def setup(clone: Path, user: int | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script, without the policy and without the variables that pytest or a shell here may have set."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MIVLA_", "ROS_DISTRO", "PYTHON"))}
    return subprocess.run(
        [clone / "scripts" / "setup.sh"],
        env={**inherited, "MIVLA_SETUP": "drivers", **environment},
        capture_output=True,
        text=True,
        timeout=110,
        user=user,
    )


@pytest.fixture(scope="module")
def set_up(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A clone that was set up where `wheel` can be imported, which is when pip may take its older way."""
    clone = copy_of_the_repository(tmp_path_factory.mktemp("setup"))
    subprocess.run([BASE_PYTHON, "-m", "venv", clone / ".venv"], check=True, timeout=110)
    (packages,) = (clone / ".venv" / "lib").glob("python3.*/site-packages")
    for old in packages.glob("setuptools*"):
        shutil.rmtree(old)
    installed = Path(setuptools.__file__).parents[1]
    for found in (*installed.glob("setuptools*"), *installed.glob("_distutils_hack")):
        if not (packages / found.name).exists():
            (packages / found.name).symlink_to(found)
    (packages / "wheel").symlink_to(installed / "setuptools" / "_vendor" / "wheel")
    return clone, setup(clone, PYTHON=str(BASE_PYTHON))


def test_it_ends_with_a_mivla_that_runs(set_up):
    clone, done = set_up
    assert done.returncode == 0, done.stderr
    said = subprocess.run(
        [clone / ".venv/bin/mivla", "--version"], capture_output=True, text=True, timeout=60
    )
    assert said.stdout.startswith("mivla ")
    assert f"done: {said.stdout.strip()}" in done.stdout


def test_a_second_run_has_nothing_to_do(set_up):
    again = setup(set_up[0], PYTHON=str(BASE_PYTHON))
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_a_mivla_that_went_missing_is_installed_again(set_up):
    clone, _ = set_up
    (clone / ".venv/bin/mivla").unlink()
    again = setup(clone, PYTHON=str(BASE_PYTHON))
    assert again.returncode == 0, again.stderr
    assert (clone / ".venv/bin/mivla").exists()


def test_a_mivla_that_does_not_run_is_not_called_done(set_up):
    clone, _ = set_up
    errors = clone / "ros2_ws/src/mivla_drivers/mivla_drivers/errors.py"
    text = errors.read_text()
    errors.write_text("import no_such_module\n" + text)
    (clone / "requirements/base.txt").write_text("# changed\n")
    broken = setup(clone, PYTHON=str(BASE_PYTHON))
    errors.write_text(text)
    assert broken.returncode == 1
    assert "mivla does not run" in broken.stderr
    assert "no_such_module" in broken.stderr
    assert "done" not in broken.stdout


def command(folder: Path, name: str, script: str) -> Path:
    """A command that stands in for one that this machine has not, or has in another version."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def a_python(folder: Path, version: str, able: str = "") -> Path:
    """One of `version` that can do what contains `able`, and nothing else."""
    script = f'case "$*" in *version_info*) echo {version} ;; *"{able or "nothing"}"*) ;; *) exit 1 ;; esac'
    return command(folder, "python", script)


@pytest.mark.parametrize(
    ("version", "environment", "expected"),
    [
        ("3.9", {}, "expected Python 3.10 to 3.13, found 3.9"),
        ("3.14", {}, "expected Python 3.10 to 3.13, found 3.14"),
        ("3.11", {}, "apt install python3-venv"),
        ("3.11", {"ROS_DISTRO": "jazzy"}, "cannot import its rclpy"),
        ("3.11", {"MIVLA_SETUP": "everything"}, "expected all or drivers, found everything"),
        ("3.12", {}, "apt install build-essential python3-dev"),
        ("3.13", {}, "apt install build-essential python3-dev"),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path, version, environment, expected):
    clone = copy_of_the_repository(tmp_path)
    done = setup(clone, PYTHON=str(a_python(tmp_path / "bin", version)), **environment)
    assert done.returncode == 1
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("able", "expected"), [("", "wheels of ROS 2 exist for x86_64 only"), ("rclpy", "PyBullet is compiled")]
)
def test_on_an_arm_processor_a_sourced_ros_and_a_compiler_are_asked_for(tmp_path, able, expected):
    clone = copy_of_the_repository(tmp_path)
    command(tmp_path / "bin", "uname", "echo aarch64")
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        **({"ROS_DISTRO": "jazzy"} if able else {}),
    }
    done = setup(clone, PYTHON=str(a_python(tmp_path / "bin", "3.12", able)), **environment)
    assert done.returncode == 1
    assert expected in done.stderr


def test_a_clone_that_cannot_be_written_is_named_and_no_package_is_blamed():
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        clone = copy_of_the_repository(Path(name))
        python = a_python(clone / "bin", "3.11")
        for folder, _, _ in os.walk(clone):
            os.chmod(folder, 0o555)
        done = setup(clone, user=65534 if os.getuid() == 0 else None, PYTHON=str(python))
        for folder, _, _ in os.walk(clone):
            os.chmod(folder, 0o755)
    assert done.returncode == 1
    assert f"{clone}: expected a folder in which user" in done.stderr
    assert "python3-venv" not in done.stderr


def test_a_full_disk_is_named_before_anything_is_downloaded(tmp_path):
    clone = copy_of_the_repository(tmp_path)
    (clone / "requirements/policy.txt").write_text("torch==2.13.0\n")
    command(tmp_path / "bin", "df", "echo head; echo disk 9999 9899 100 99% /")
    (clone / ".venv/bin").mkdir(parents=True)
    a_python(clone / ".venv/bin", "3.11", "torch_index")
    done = setup(
        clone,
        PYTHON=str(a_python(tmp_path / "bin", "3.11", "torch_index")),
        PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        MIVLA_SETUP="all",
    )
    assert done.returncode == 1
    assert "MB free on the disk" in done.stderr
    assert "found 100 MB" in done.stderr
