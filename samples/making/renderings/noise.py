"""Noise: smooth random fields from a seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]


def resized(field: Array, shape: tuple[int, int]) -> Array:
    """`field` scaled to `shape` (height, width) by cubic interpolation."""
    image = Image.fromarray(field.astype(np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), np.float64)


def smooth_noise(shape: tuple[int, int], cells: tuple[int, int], seed: int) -> Array:
    """A random field in [0, 1] whose lumps are the image divided into `cells` (rows, columns)."""
    return np.clip(resized(np.random.default_rng(seed).random(cells), shape), 0, 1)


def layered_noise(shape: tuple[int, int], cells: int, layers: int, seed: int) -> Array:
    """Sum of `layers` smooth fields, each twice as fine and half as strong, in [0, 1]."""
    fields = [smooth_noise(shape, (cells << i, cells << i), seed + i) / 2**i for i in range(layers)]
    total = np.sum(fields, axis=0)
    return np.asarray((total - total.min()) / (total.max() - total.min()), np.float64)
