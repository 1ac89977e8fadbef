"""Says where set-up takes PyTorch from: the address on stdout (nothing means pip's own index), why on stderr.

Linux wheels of torch on PyPI carry 3 GB of CUDA, which is of no use without an NVIDIA card.
Standard library only; it runs before anything is installed.
"""

from __future__ import annotations

import os
import shutil
import ssl
import sys
import urllib.request
from pathlib import Path

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
TIMEOUT_S = 5.0
DRIVER = Path("/proc/driver/nvidia/version")
ORDINARY = "default"  # value of MIVLA_TORCH_INDEX that asks for pip's own index


def choose(wanted: str, torch: str, nvidia: bool, cpu_index: str = CPU_INDEX) -> tuple[str, str]:
    """The index to take PyTorch from, "" for pip's own, and the reason.

    Args:
        wanted: MIVLA_TORCH_INDEX: an address, "default", or "" to choose here.
        torch: the pinned version, such as "2.13.0".
        nvidia: whether this machine has an NVIDIA card.
        cpu_index: where builds without CUDA lie.
    """
    if wanted == ORDINARY:
        return "", "PyTorch from pip's own index, as MIVLA_TORCH_INDEX asks"
    if wanted:
        return wanted, f"PyTorch from {wanted}, as MIVLA_TORCH_INDEX asks"
    if nvidia:
        return "", "PyTorch with CUDA, since this machine has an NVIDIA card"
    problem = missing(cpu_index, torch)
    if problem:
        return "", f"PyTorch from pip's own index, which may bring CUDA: {cpu_index} {problem}"
    return cpu_index, f"PyTorch without CUDA from {cpu_index}, since this machine has no NVIDIA card"


def has_nvidia() -> bool:
    """Whether an NVIDIA driver runs here, or its tools are installed."""
    return DRIVER.exists() or shutil.which("nvidia-smi") is not None


def missing(index: str, torch: str) -> str:
    """Why `index` cannot give torch of this version to this Python; "" where it can."""
    address = f"{index.rstrip('/')}/torch/"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S, context=_trust()) as page:
            text = page.read().decode(errors="replace")
    except (OSError, ValueError) as error:
        return f"cannot be reached ({getattr(error, 'reason', None) or error})"
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    names = (f"torch-{torch}%2Bcpu-{python}-", f"torch-{torch}+cpu-{python}-")
    return "" if any(name in text for name in names) else f"has no torch {torch} for {python}"


def _trust() -> ssl.SSLContext:
    """The machine's certificates, and those that pip was told to trust."""
    context = ssl.create_default_context()
    extra = os.environ.get("PIP_CERT", "")
    if extra and Path(extra).exists():
        context.load_verify_locations(extra)
    return context


def main() -> None:
    """Print the choice for the version named on the command line."""
    index, reason = choose(os.environ.get("MIVLA_TORCH_INDEX", ""), sys.argv[1], has_nvidia())
    print(f"setup: {reason}", file=sys.stderr)
    print(index)


if __name__ == "__main__":
    main()
