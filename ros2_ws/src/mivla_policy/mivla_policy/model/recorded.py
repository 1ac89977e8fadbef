"""A function of tensors as one CUDA graph.

A chunk is thousands of small kernels. Launched one by one from Python, they wait for Python; recorded once, the
device runs them back to back.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 2  # libraries choose kernels and take memory in their first calls, which a recording must not hold


class Recorded:
    """Runs `function` as it stands on a CPU; on CUDA records it at the first call, then replays the recording.

    The function has to do the same for every value of its inputs, read no number back to the computer, and keep its
    weights where they are. Inputs of other shapes are recorded anew. The next call overwrites a result.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function = function
        self._shapes: tuple[torch.Size, ...] = ()
        self._inputs: tuple[Tensor, ...] = ()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result: Tensor | None = None

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> Tensor:
        """What the function gives for `inputs`, tensors of one device."""
        if not inputs[0].is_cuda:
            return self._function(*inputs)
        shapes = tuple(value.shape for value in inputs)
        if self._graph is None or shapes != self._shapes:
            self._record(inputs)
            self._shapes = shapes
        for held, value in zip(self._inputs, inputs, strict=True):
            held.copy_(value)
        assert self._graph is not None
        assert self._result is not None
        self._graph.replay()
        return self._result

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        self._graph = self._result = None  # frees what the last recording holds
        self._inputs = tuple(value.clone() for value in inputs)
        current, beside = torch.cuda.current_stream(), torch.cuda.Stream()
        beside.wait_stream(current)
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                self._function(*self._inputs)
        current.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as one that moves data, may go on using the device.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._result = self._function(*self._inputs)
        self._graph = graph
