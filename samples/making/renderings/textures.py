"""Textures: cloth, wood, brick and knitwear, and the faults that spoil them."""

from __future__ import annotations

import numpy as np

from making.renderings.noise import Array, layered_noise, smooth_noise

SIZE = 120
SHAPE = (SIZE, SIZE)
Y, X = (grid.astype(np.float64) for grid in np.mgrid[0:SIZE, 0:SIZE])


def _tinted(value: Array, dark: tuple[float, float, float], light: tuple[float, float, float]) -> Array:
    share = np.clip(value, 0, 1)[..., None]
    return np.array(dark) * (1 - share) + np.array(light) * share


def plain_weave(period: float = 12, tilt: float = 0.0) -> Array:
    """Threads over and under one another, `tilt` radians off the upright."""
    across = (X * np.cos(tilt) + Y * np.sin(tilt)) / period
    along = (Y * np.cos(tilt) - X * np.sin(tilt)) / period
    over = (np.floor(across) + np.floor(along)) % 2
    warp, weft = np.abs(np.sin(np.pi * across)), np.abs(np.sin(np.pi * along))
    value = np.where(over > 0, 0.35 + 0.6 * warp, 0.2 + 0.55 * weft) + 0.1 * (smooth_noise(SHAPE, (60, 60), 5) - 0.5)
    return _tinted(value, (0.12, 0.16, 0.3), (0.72, 0.78, 0.9))


def denim(period: float = 7) -> Array:
    """Diagonal ridges."""
    ridge = 0.5 + 0.5 * np.sin(2 * np.pi * (X + Y) / period)
    slub = smooth_noise(SHAPE, (90, 16), 11)
    return _tinted(0.55 * ridge + 0.45 * slub, (0.05, 0.1, 0.22), (0.42, 0.56, 0.76))


def wood() -> Array:
    """Grain lines that bend around a growth centre."""
    bend = 16 * smooth_noise(SHAPE, (5, 3), 21)
    rings = 0.5 + 0.5 * np.sin((X + bend + 0.004 * (Y - 50) ** 2) * 0.55)
    return _tinted(0.7 * rings + 0.3 * smooth_noise(SHAPE, (12, 110), 22), (0.36, 0.2, 0.09), (0.85, 0.64, 0.38))


def brick() -> Array:
    """Courses of brick, each shifted by half."""
    course = np.floor(Y / 15)
    column = (X + 15 * (course % 2)) / 30
    joint = (np.mod(Y, 15) < 2.5) | (np.mod(column, 1) < 0.08)
    tone = np.random.default_rng(31).random((12, 12))[course.astype(int) % 12, np.floor(column).astype(int) % 12]
    clay = _tinted(0.6 * tone + 0.4 * layered_noise(SHAPE, 20, 2, 32), (0.5, 0.18, 0.12), (0.82, 0.42, 0.3))
    return np.where(joint[..., None], np.array([0.78, 0.76, 0.72]), clay)


def knit() -> Array:
    """Columns of V-shaped stitches."""
    column = np.mod(X, 16) - 8
    stitch = np.mod(Y + 0.9 * np.abs(column), 11) / 11
    value = np.sin(np.pi * stitch) * (1 - (np.abs(column) / 8) ** 4)
    return _tinted(value, (0.16, 0.28, 0.18), (0.7, 0.86, 0.62))


def leather() -> Array:
    """Cells with dark seams between them."""
    seeds = np.random.default_rng(41).random((170, 2)) * SIZE
    distances = np.sort(np.hypot(Y[..., None] - seeds[:, 0], X[..., None] - seeds[:, 1]), axis=-1)
    return _tinted((distances[..., 1] - distances[..., 0]) / 5, (0.16, 0.08, 0.05), (0.6, 0.36, 0.22))


def with_hole(texture: Array, centre: tuple[float, float], radius: float) -> Array:
    """`texture` torn open at `centre` (x, y)."""
    ragged = radius * (0.75 + 0.5 * smooth_noise(SHAPE, (14, 14), 51))
    inside = np.hypot(X - centre[0], Y - centre[1]) < ragged
    return np.where(inside[..., None], np.array([0.05, 0.05, 0.06]), texture)


def with_scratch(texture: Array, start: tuple[float, float], end: tuple[float, float], width: float) -> Array:
    """`texture` with a bright scratch from `start` to `end` (x, y)."""
    (x0, y0), (x1, y1) = start, end
    length2 = (x1 - x0) ** 2 + (y1 - y0) ** 2
    along = np.clip(((X - x0) * (x1 - x0) + (Y - y0) * (y1 - y0)) / length2, 0, 1)
    near = np.hypot(X - x0 - along * (x1 - x0), Y - y0 - along * (y1 - y0)) < width
    return np.where(near[..., None], 0.25 * texture + 0.75, texture)


def with_stain(texture: Array, centre: tuple[float, float], radius: float) -> Array:
    """`texture` darkened and browned around `centre` (x, y)."""
    share = np.clip(1.6 - np.hypot(X - centre[0], Y - centre[1]) / radius - 0.5 * smooth_noise(SHAPE, (9, 9), 61), 0, 1)
    darkness: Array = 0.75 * share[..., None] * np.array([0.5, 0.75, 1.0])
    return texture * (1 - darkness)


def gabor(angle: float, period: float, size: int) -> Array:
    """A Gabor kernel in [0, 1], grey where it is zero."""
    rows, columns = np.mgrid[0:size, 0:size] - (size - 1) / 2
    turned = columns * np.cos(angle) + rows * np.sin(angle)
    envelope = np.exp(-(rows**2 + columns**2) / (2 * (size / 5.2) ** 2))
    return np.asarray(0.5 + 0.5 * envelope * np.cos(2 * np.pi * turned / period), np.float64)
