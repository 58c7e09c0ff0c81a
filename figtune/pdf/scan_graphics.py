"""Graphics of a scanned page, found in its pixels: rules, and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from figtune.pdf.document import GreyImage
from figtune.pdf.geometry import Box
from figtune.pdf.page import Drawing, PageGraphics

_INK = 160  # greys below are ink of a rule
_LONG = 24.0  # points from which a straight stroke is a rule; the longest strokes of letters have 14
_THIN = 2.4  # points of a rule's thickness at most
_SHADED = 250  # greys below belong to a picture
_TOGETHER = 3.0  # points of white within one picture
_SMALLEST = 20.0  # points: no picture is narrower or lower
_FILLED = 0.35  # share of a picture's box that is not white
_BLACK = "#000000"

_Mask = NDArray[np.bool_]


def graphics_in(pixels: GreyImage, dpi: int, words: Iterable[Box]) -> PageGraphics:
    """Return the rules of a page as drawings, and its filled areas as images.

    Args:
        pixels: uint8[H, W] of the whole page, straight, white where it is paper.
        dpi: of `pixels`.
        words: boxes of the words read from it, in points.
    """
    scale = 72.0 / dpi
    ink = pixels < _INK
    rules = [*_rules(ink, scale), *(_turned(box) for box in _rules(ink.T, scale))]
    pictures = tuple(_pictures(pixels, scale, words))
    drawn = (rule for rule in rules if not any(picture.contains(rule, 1) for picture in pictures))
    drawings = tuple(Drawing(rule, _BLACK, True, True) for rule in drawn)
    return PageGraphics(images=pictures, drawings=drawings)


def _rules(ink: _Mask, scale: float) -> Iterator[Box]:
    """Yield the horizontal strokes: what is left of the ink, one pixel thicker, where a long stroke fits in."""
    length = round(_LONG / scale)
    thick = ndimage.maximum_filter1d(ink.astype(np.uint8), 3, axis=0)
    opened = ndimage.maximum_filter1d(ndimage.minimum_filter1d(thick, length, axis=1), length, axis=1)
    labels, _ = ndimage.label(opened)
    for rows, columns in _found(labels):
        if (rows.stop - rows.start - 2) * scale <= _THIN:
            yield Box(columns.start * scale, (rows.start + 1) * scale, columns.stop * scale, (rows.stop - 1) * scale)


def _turned(box: Box) -> Box:
    return Box(box.top, box.x0, box.bottom, box.x1)


def _pictures(pixels: GreyImage, scale: float, words: Iterable[Box]) -> Iterator[Box]:
    """Yield boxes of connected areas, at one pixel a point, that are mostly not white."""
    factor = max(1, round(1 / scale))
    height, width = pixels.shape[0] // factor * factor, pixels.shape[1] // factor * factor
    blocks = pixels[:height, :width].reshape(height // factor, factor, width // factor, factor)
    shaded: _Mask = blocks.mean(axis=(1, 3)) < _SHADED
    step = scale * factor  # points of a cell
    for word in words:
        rows, columns = (
            slice(int(word.top / step), int(word.bottom / step) + 1),
            slice(int(word.x0 / step), int(word.x1 / step) + 1),
        )
        shaded[rows, columns] = False
    joined = ndimage.binary_closing(shaded, np.ones((round(_TOGETHER / step) + 1,) * 2))
    labels, _ = ndimage.label(joined)
    for number, (rows, columns) in enumerate(_found(labels), start=1):
        inside = labels[rows, columns] == number
        if min(inside.shape) * step >= _SMALLEST and inside.mean() >= _FILLED:
            yield Box(columns.start * step, rows.start * step, columns.stop * step, rows.stop * step)


def _found(labels: NDArray[np.int32]) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns of each labelled area, in the order of its number."""
    for place in ndimage.find_objects(labels):
        if place is not None:
            yield place[0], place[1]
