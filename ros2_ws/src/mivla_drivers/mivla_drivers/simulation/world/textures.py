"""Procedural textures, drawn from a seed, so that no image file has to be shipped."""

from __future__ import annotations

import cv2
import numpy as np

SIZE_PX = 128


def texture(rng: np.random.Generator) -> np.ndarray:
    """A random texture, shape (128, 128, 3) uint8 rgb: plain noise, checks, stripes or blotches in two colours."""
    first, second = rng.uniform(30, 240, size=(2, 3))
    kind = int(rng.integers(4))
    pattern = (_noise, _checks, _stripes, _blotches)[kind](rng)  # (128, 128) in 0..1
    mixed = first + pattern[..., None] * (second - first)
    grain = rng.normal(0, 4, size=(SIZE_PX, SIZE_PX, 1))
    return np.clip(mixed + grain, 0, 255).astype(np.uint8)


def _noise(rng: np.random.Generator) -> np.ndarray:
    return 0.3 * rng.random((SIZE_PX, SIZE_PX))


def _checks(rng: np.random.Generator) -> np.ndarray:
    cell = int(rng.integers(6, 32))
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX] // cell
    return ((rows + columns) % 2).astype(float)


def _stripes(rng: np.random.Generator) -> np.ndarray:
    angle, period = rng.uniform(0, np.pi), rng.uniform(8, 40)
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX]
    return 0.5 + 0.5 * np.sin((rows * np.sin(angle) + columns * np.cos(angle)) * 2 * np.pi / period)


def _blotches(rng: np.random.Generator) -> np.ndarray:
    coarse = rng.random((int(rng.integers(3, 12)),) * 2).astype(np.float32)
    return cv2.resize(coarse, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC).clip(0, 1)
