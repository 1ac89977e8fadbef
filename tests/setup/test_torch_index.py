"""Where set-up takes PyTorch from; the index of CPU builds is a server on loopback here."""

from __future__ import annotations

import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import torch_index

THIS_PYTHON = f"cp{sys.version_info.major}{sys.version_info.minor}"
WHEEL = '<a href="/whl/cpu/torch-{torch}%2Bcpu-{python}-{python}-manylinux_2_28_x86_64.whl#sha256=00">x</a>\n'


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def index(tmp_path):
    """Address of a simple index whose wheels stand in `tmp_path/torch/index.html`."""
    (tmp_path / "torch").mkdir()
    write(tmp_path, torch="2.13.0", python=THIS_PYTHON)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def write(folder: Path, torch: str, python: str) -> None:
    (folder / "torch" / "index.html").write_text(WHEEL.format(torch=torch, python=python))


def test_without_a_card_pytorch_comes_without_cuda(index):
    address, reason = torch_index.choose("", "2.13.0", nvidia=False, cpu_index=index)
    assert address == index
    assert "no NVIDIA card" in reason


def test_with_a_card_pytorch_comes_with_cuda(index):
    address, reason = torch_index.choose("", "2.13.0", nvidia=True, cpu_index=index)
    assert address == ""
    assert "has an NVIDIA card" in reason


def test_an_index_out_of_reach_leaves_pips_own_and_says_so_within_seconds():
    start = time.monotonic()
    address, reason = torch_index.choose("", "2.13.0", nvidia=False, cpu_index="http://127.0.0.1:9")
    assert address == ""
    assert "cannot be reached" in reason
    assert time.monotonic() - start < 2 * torch_index.TIMEOUT_S


@pytest.mark.parametrize(("torch", "python"), [("2.12.0", THIS_PYTHON), ("2.13.0", "cp39")])
def test_an_index_without_the_pinned_build_leaves_pips_own(index, tmp_path, torch, python):
    write(tmp_path, torch, python)
    address, reason = torch_index.choose("", "2.13.0", nvidia=False, cpu_index=index)
    assert address == ""
    assert f"has no torch 2.13.0 for {THIS_PYTHON}" in reason


@pytest.mark.parametrize("nvidia", [False, True])
def test_an_address_that_was_given_is_taken_unasked(nvidia):
    address, _ = torch_index.choose("http://127.0.0.1:9/mine", "2.13.0", nvidia)
    assert address == "http://127.0.0.1:9/mine"


def test_default_asks_for_pips_own_index_without_a_look_at_the_other(index):
    assert torch_index.choose("default", "2.13.0", nvidia=False, cpu_index=index)[0] == ""
