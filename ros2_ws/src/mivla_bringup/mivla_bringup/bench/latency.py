"""How long a policy takes for a chunk, and what cameras and horizon cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from mivla_bringup.bench.random_policy import random_observation, random_policy
from mivla_bringup.bench.rows import Row
from mivla_drivers.contract import RobotContract
from mivla_policy.policies.mivla import MivlaPolicy, load_mivla

WARM_UP = 5
THREADS = 1  # as the policy node: the other cores belong to cameras and driver
CAMERAS = (1, 2, 3)
HORIZONS = (8, 16, 32)


def measure_latency(folder: Path, chunks: int = 100) -> list[Row]:
    """Time of one chunk of the policy in `folder`, alone in a process, without ROS."""
    start = perf_counter()
    policy = load_mivla(folder)
    loaded = perf_counter() - start
    total, encode, denoise = _time_chunks(policy, chunks)
    over = f"over {chunks} chunks, batch 1, {THREADS} thread"
    return [
        Row("policy loads in", loaded, "s"),
        Row("chunk, median", float(np.median(total)), "ms", over),
        Row("chunk, p99", float(np.percentile(total, 99)), "ms", over),
        Row("  encode, median", float(np.median(encode)), "ms", "images and state to tokens"),
        Row("  denoise, median", float(np.median(denoise)), "ms", "all flow steps"),
    ]


def measure_growth(contract: RobotContract, chunks: int = 30) -> list[Row]:
    """Time of one chunk of mivla_small against the number of cameras and the horizon."""
    sizes = [(cameras, 16) for cameras in CAMERAS] + [(2, horizon) for horizon in HORIZONS if horizon != 16]
    return [_growth_row(contract, cameras, horizon, chunks) for cameras, horizon in sizes]


def _growth_row(contract: RobotContract, cameras: int, horizon: int, chunks: int) -> Row:
    name = f"{cameras} camera{'s' if cameras > 1 else ''}, horizon {horizon}"
    total, encode, denoise = _time_chunks(random_policy(contract, cameras, horizon), chunks)
    split = f"encode {np.median(encode):.1f}, denoise {np.median(denoise):.1f}; random weights"
    return Row(name, float(np.median(total)), "ms", split)


def _time_chunks(policy: MivlaPolicy, chunks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Milliseconds of each chunk: all of it, tokens, flow steps; each of shape (chunks,)."""
    observation = random_observation(policy.contract)
    times = []
    with _threads(THREADS):
        for _ in range(WARM_UP + chunks):
            start = perf_counter()
            policy.infer(observation)
            timing = policy.timing
            times.append((1e3 * (perf_counter() - start), timing["encode_ms"], timing["denoise_ms"]))
    total, encode, denoise = np.array(times[WARM_UP:]).T
    return total, encode, denoise


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads for torch meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)
