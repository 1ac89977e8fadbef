"""A policy is named by its backend and what it is to load; wrong names are refused with the right ones."""

from __future__ import annotations

import subprocess
import sys

import pytest
from small_models import plain_statistics, small_model

from mivla_drivers.contract import load_contract
from mivla_drivers.errors import DataError
from mivla_drivers.policy import PolicyError
from mivla_policy.checkpoint import save_policy
from mivla_policy.policies import backends, load_policy
from mivla_policy.policies.mivla import MivlaPolicy

PIPER = load_contract("piper")


@pytest.mark.parametrize("name", ["policy", "with:colon"])
def test_a_folder_alone_is_a_mivla_policy(tmp_path, name):
    save_policy(tmp_path / name, small_model(), PIPER, plain_statistics())
    assert isinstance(load_policy(tmp_path / name, PIPER), MivlaPolicy)


def test_a_backend_can_be_named(tmp_path):
    save_policy(tmp_path, small_model(), PIPER, plain_statistics())
    assert isinstance(load_policy(f"mivla:{tmp_path}", PIPER), MivlaPolicy)


def test_every_backend_can_be_loaded_by_its_name():
    assert {"mivla", "replay"} <= set(backends())
    for name in backends():
        with pytest.raises((DataError, PolicyError)) as refusal:
            load_policy(f"{name}:/nowhere", PIPER)
        assert "/nowhere" in str(refusal.value)


def test_an_unknown_backend_is_refused_with_the_known_ones():
    with pytest.raises(PolicyError, match=r"openvla:x: expected a backend of \['mivla', .*\], got 'openvla'"):
        load_policy("openvla:x", PIPER)


@pytest.mark.parametrize("spec", ["", "replay:"])
def test_a_policy_without_a_place_is_refused(spec):
    with pytest.raises(PolicyError, match="expected a folder or BACKEND:WHERE"):
        load_policy(spec, PIPER)


def test_a_missing_folder_is_refused_by_its_path(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: expected a policy's folder or one of \['mivla_small'"):
        load_policy(tmp_path / "nowhere", PIPER)


def test_a_folder_without_a_policy_is_refused_by_the_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"model\.safetensors: expected a file of a policy"):
        load_policy(tmp_path, PIPER)


def test_backends_without_torch_do_not_import_it():
    script = "import sys; import mivla_policy.policies.replay; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
