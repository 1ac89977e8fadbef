"""A policy is found by its folder or by its name, from any working directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mivla_drivers.errors import DataError
from mivla_policy import shipped_models
from mivla_policy.shipped_models import DEFAULT_BASE, DEFAULT_POLICY, find_model

MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize("name", [DEFAULT_POLICY, DEFAULT_BASE])
def test_a_shipped_model_is_found_by_name_wherever_the_command_is_given(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert find_model(name).resolve() == MODELS / name


def test_a_folder_comes_before_a_shipped_model_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / DEFAULT_POLICY).mkdir()
    assert find_model(DEFAULT_POLICY) == Path(DEFAULT_POLICY)
    assert find_model(tmp_path / DEFAULT_POLICY) == tmp_path / DEFAULT_POLICY


@pytest.mark.parametrize("name", ["", "no_such_model", "models/no_such_model", "../mivla_small"])
def test_what_is_neither_is_refused_with_the_shipped_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"expected a policy's folder or one of .*{DEFAULT_POLICY}"):
        find_model(name)


@pytest.mark.parametrize("place", ["prefix", "ament"])
def test_an_installed_package_finds_the_models_installed_with_it(tmp_path, place):
    """With pip in the Python's own prefix, with colcon in an ament prefix."""
    shutil.copy(shipped_models.__file__, tmp_path / "installed.py")
    models = tmp_path / "share" / "mivla_policy" / "models" / "mine"
    models.mkdir(parents=True)
    (models / "config.json").touch()
    script = f"import sys; sys.prefix = {str(tmp_path) if place == 'prefix' else '/nowhere'!r}; "
    script += "from installed import find_model; print(find_model('mine'))"
    prefix = f"/nowhere:{tmp_path}" if place == "ament" else ""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "AMENT_PREFIX_PATH": prefix, "PYTHONPATH": str(tmp_path)},
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{models}\n", done.stderr
