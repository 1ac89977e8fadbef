"""The picture of a training run's loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def draw_loss(log: list[tuple[int, float, float]], path: Path, title: str) -> None:
    """Write a picture of the log's rows (step, loss, learning rate) to `path`."""
    import matplotlib  # takes a while, and every process of a training run would wait for it

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps, losses, _ = (np.array(column) for column in zip(*log, strict=True))
    window = max(1, len(losses) // 50)
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    apart = steps[1] - steps[0] if len(steps) > 1 else 1
    figure, axes = pyplot.subplots(figsize=(6, 3.2), layout="constrained")
    axes.plot(
        steps,
        losses,
        linewidth=0.6,
        alpha=0.35,
        label=f"one step in {apart}",
    )
    axes.plot(steps[window - 1 :], smooth, linewidth=1.6, label=f"mean of {window}")
    axes.set(xlabel="optimiser step", ylabel="flow-matching loss", yscale="log", title=title)
    axes.legend(frameon=False)
    axes.grid(alpha=0.2)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
