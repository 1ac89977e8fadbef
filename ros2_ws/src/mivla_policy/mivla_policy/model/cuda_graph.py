"""Runs a function of tensors as one CUDA graph.

A chunk is thousands of small kernels. Launched one by one from Python, the device waits for Python; captured once in a
graph, they run back to back.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 2  # in their first calls libraries choose kernels and allocate memory, which must not be captured


class CudaGraph:
    """Calls `function` directly on a CPU; on CUDA captures it at the first call and replays the graph from then on.

    The function must launch the same kernels for all values of its inputs, copy nothing back to the host, and leave
    its weights at their addresses. Inputs of other shapes are captured anew. The next call overwrites a result.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function = function
        self._shapes: tuple[torch.Size, ...] = ()
        self._inputs: tuple[Tensor, ...] = ()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._result: Tensor | None = None

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's result for `inputs`, tensors on one device."""
        if not inputs[0].is_cuda:
            return self._function(*inputs)
        shapes = tuple(value.shape for value in inputs)
        if self._graph is None or shapes != self._shapes:
            self._capture(inputs)
            self._shapes = shapes
        for held, value in zip(self._inputs, inputs, strict=True):
            held.copy_(value)
        assert self._graph is not None
        assert self._result is not None
        self._graph.replay()
        return self._result

    def _capture(self, inputs: tuple[Tensor, ...]) -> None:
        self._graph = self._result = None  # frees the last graph's memory
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
