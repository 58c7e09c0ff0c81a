"""Scans: an elliptic phantom, its parallel-beam sinogram and its filtered back-projection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from making.renderings.noise import Array, resized

SIZE = 150

Ellipse = tuple[float, float, float, float, float, float]
"""Centre x and y, half-axes, tilt in degrees, added density."""

HEAD: tuple[Ellipse, ...] = (
    (0, 0, 0.72, 0.92, 0, 1.0),
    (0, 0, 0.66, 0.86, 0, -0.62),
    (-0.22, 0.02, 0.12, 0.34, 16, -0.22),
    (0.22, 0.02, 0.15, 0.38, -16, -0.22),
    (0, -0.4, 0.2, 0.16, 0, 0.22),
    (0.02, 0.42, 0.07, 0.07, 0, 0.3),
    (-0.3, 0.52, 0.1, 0.05, 30, 0.25),
)
CHEST: tuple[Ellipse, ...] = (
    (0, 0, 0.94, 0.66, 0, 0.55),
    (-0.42, -0.05, 0.32, 0.45, 8, -0.45),
    (0.42, -0.05, 0.32, 0.45, -8, -0.45),
    (0.08, 0.05, 0.2, 0.24, 20, 0.2),
    (0, 0.48, 0.1, 0.1, 0, 0.45),
    (0.52, -0.2, 0.05, 0.05, 0, 0.4),
)
KNEE: tuple[Ellipse, ...] = (
    (0, 0, 0.8, 0.8, 0, 0.35),
    (-0.05, 0.1, 0.42, 0.36, 20, 0.5),
    (-0.05, 0.1, 0.34, 0.28, 20, -0.28),
    (0.1, -0.52, 0.24, 0.13, -10, 0.5),
    (0.48, 0.38, 0.12, 0.12, 0, 0.45),
)


def phantom(ellipses: Sequence[Ellipse], size: int = SIZE) -> Array:
    """The summed densities of `ellipses` over [-1, 1] x [-1, 1], smoothed at their edges; float64[size, size]."""
    fine = 2 * size
    y, x = (np.mgrid[0:fine, 0:fine] + 0.5) / size - 1
    image = np.zeros((fine, fine))
    for x0, y0, a, b, degrees, density in ellipses:
        angle = np.deg2rad(degrees)
        along = (x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)
        across = (y - y0) * np.cos(angle) - (x - x0) * np.sin(angle)
        image += density * ((along / a) ** 2 + (across / b) ** 2 <= 1)
    return np.asarray(image.reshape(size, 2, size, 2).mean(axis=(1, 3)), np.float64)


def sinogram(image: Array, degrees: Sequence[float]) -> Array:
    """Sums along parallel rays; float64[views, detector pixels]."""
    return np.array([_turned(image, angle).sum(axis=0) for angle in degrees])


def back_projected(projections: Array, degrees: Sequence[float]) -> Array:
    """Filtered back-projection with a ramp filter (Kak and Slaney, 1988, section 3.3); float64[size, size]."""
    size = projections.shape[1]
    ramp = np.abs(np.fft.fftfreq(2 * size))
    filtered = np.fft.ifft(np.fft.fft(projections, 2 * size, axis=1) * ramp, axis=1).real[:, :size]
    smears: list[Array] = [
        _turned(np.tile(row, (size, 1)), -angle) for row, angle in zip(filtered, degrees, strict=True)
    ]
    return np.asarray(np.sum(smears, axis=0) * np.pi / len(smears), np.float64)


def restored(truth: Array, rough: Array, share: float) -> Array:
    """A reconstruction between `rough` and a slightly soft `truth`."""
    size = truth.shape[0]
    soft = resized(resized(truth, (size * 3 // 5, size * 3 // 5)), truth.shape)
    return share * rough + (1 - share) * soft


def _turned(image: Array, degrees: float) -> Array:
    rotated = Image.fromarray(image.astype(np.float32)).rotate(degrees, Image.Resampling.BILINEAR)
    return np.asarray(rotated, np.float64)
