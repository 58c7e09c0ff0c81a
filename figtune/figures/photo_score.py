"""Photographs told from drawings that were saved as pixels.

A photograph, or a rendering, is made of shades: nearly every pixel differs a little from the next one. A plot or a
diagram is flat colour, with sharp edges or none between neighbours. Where a photograph is flat it is mostly dark (a
night sky, a mask, a depth map), which the white and pastel grounds of drawings are not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from figtune.pdf.document import GreyImage
from figtune.pdf.geometry import Box

_SHARP = 48  # of 255 greys between neighbours: from here on it is an edge, as of letters and lines
_DARK = 128
_WHITE = 253
# The shares of such pixels between which an image counts in part. In 30 papers, three quarters of the 999 images of
# qualitative figures have more than 0.5, and three quarters of the images of plots less than 0.15.
_DRAWN, _PHOTOGRAPHED = 0.15, 0.35


def photo_likelihood(page: GreyImage, images: Sequence[Box]) -> tuple[float, ...]:
    """Return the likelihood that each image is a photograph, in [0, 1].

    Args:
        page: uint8[H, W] at 72 dpi.
        images: their boxes, in points.
    """
    if not images:
        return ()
    top, bottom = _pixel(min(box.top for box in images)), _pixel(max(box.bottom for box in images))
    toned = _shaded_pixels(page[top : bottom + 1])
    return tuple(_photo_score(toned[_rows(box, top), _columns(box)]) for box in images)


def _shaded_pixels(page: GreyImage) -> NDArray[np.bool_]:
    """bool[H - 1, W - 1]: pixels that are shaded or dark."""
    here = page[:-1, :-1]
    shaded = _differ_a_little(here, page[:-1, 1:]) & _differ_a_little(here, page[1:, :-1]) & (here < _WHITE)
    return shaded | (here < _DARK)


def _differ_a_little(one: GreyImage, other: GreyImage) -> NDArray[np.bool_]:
    step = np.maximum(one, other) - np.minimum(one, other)
    return (step > 0) & (step < _SHARP)


def _photo_score(toned: NDArray[np.bool_]) -> float:
    share = float(np.count_nonzero(toned)) / max(1, toned.size)
    return min(1.0, max(0.0, (share - _DRAWN) / (_PHOTOGRAPHED - _DRAWN)))


def _rows(box: Box, top: int) -> slice:
    return slice(_pixel(box.top) - top, _pixel(box.bottom) - top)


def _columns(box: Box) -> slice:
    return slice(_pixel(box.x0), _pixel(box.x1))


def _pixel(point: float) -> int:
    return max(0, round(point))
