"""Words of the text layer against what is printed: those that a figure has beside them, and those that nobody sees."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from figtune.pdf.geometry import Box
from figtune.pdf.page import Drawing, Line

_GLYPH_SIDES = (0.8, 13.0)
"""Sides of a letter in points."""
_FEWEST_GLYPHS = 18
"""Distinct sizes of small filled shapes from which they are letters drawn as outlines; of 160 diagrams and plots those
without outlined words have 15 at most, as markers and arrowheads have few sizes."""
_MOST_SHAPES = 4
"""The same in a figure without any letter drawn as an outline: markers and heads of arrows. More may be `F` or `x`."""
INK_DPI = 108.0
_LEAST_SEEN = 0.3  # of a line's length along which its letters are seen; of "1" it is 0.4
_MOST_UNSEEN = 1.0  # em of a line without a letter that is seen
_MATH_FONT = re.compile(r"^(?:CMSY|CMEX|MSBM|MSAM|RSFS|EUFM|EUSM|MTSY|MTEX)|Math", re.IGNORECASE)
"""Fonts whose letters are script, double-struck or Gothic, which a text layer has as plain ones."""
_LETTER = re.compile(r"[^\W_]")
_LEAST_PICTURE = 0.015
"""Share of the figure from which a drawn picture may hold words."""
_PHOTOGRAPH = 0.5
_SURE_PHOTOGRAPH = 0.9
_LEAST_PHOTOGRAPH = 30.0
"""Points across a photograph that is for certain no formula, word or icon pasted as pixels."""

Ink = NDArray[np.bool_]
"""bool[H, W]: pixels that the text of a page changes."""


def hides_words(region: Box, pictures: Iterable[tuple[Box, float]], drawings: Iterable[Drawing]) -> bool:
    """Return True if a figure may hold words that are not in the text layer: in drawn pictures, or as outlines.

    Args:
        pictures: boxes of images, each with its likelihood to be a photograph.
    """
    if any(photo < _PHOTOGRAPH and box.overlap(region) >= _LEAST_PICTURE * region.area for box, photo in pictures):
        return True
    return _outlines(region, drawings) >= _FEWEST_GLYPHS


def shows_words(
    region: Box,
    lines: Sequence[Line],
    pictures: Iterable[tuple[Box, float]],
    drawings: Iterable[Drawing],
    ink: Callable[[], Ink | None],
) -> bool:
    """Return True if the lines are all that is printed in a figure, and each is seen whole.

    Args:
        pictures: boxes of images, each with its likelihood to be a photograph.
        ink: gives the pixels that text changes in the region, at `INK_DPI`; asked for only where nothing else speaks
            against it.
    """
    if not lines or any(line.incomplete or _is_formula(line) for line in lines):
        return False
    for box, photo in pictures:
        if box.overlap(region) > 0 and (photo < _SURE_PHOTOGRAPH or min(box.width, box.height) < _LEAST_PHOTOGRAPH):
            return False
    if _outlines(region, drawings) > _MOST_SHAPES:
        return False
    pixels = ink()
    return pixels is not None and all(_is_seen(line, region, pixels) for line in lines if _LETTER.search(line.text))


def _is_formula(line: Line) -> bool:
    return any(_MATH_FONT.search(span.font) and _LETTER.search(span.text) for span in line.spans)


def _outlines(region: Box, drawings: Iterable[Drawing]) -> int:
    """Return the number of distinct sizes of small filled shapes."""
    least, most = _GLYPH_SIDES
    sizes = {
        (round(drawing.box.width, 1), round(drawing.box.height, 1))
        for drawing in drawings
        if drawing.filled
        and not drawing.rectangle
        and least <= drawing.box.width <= most
        and least <= drawing.box.height <= most
        and region.contains(drawing.box, 2)
    }
    return len(sizes)


def _is_seen(line: Line, region: Box, ink: Ink) -> bool:
    """Return True if text changes pixels all along a line."""
    scale = INK_DPI / 72
    box = line.box.intersection(region)
    rows = slice(int((box.top - region.top) * scale), int((box.bottom - region.top) * scale) + 1)
    columns = slice(int((box.x0 - region.x0) * scale), int((box.x1 - region.x0) * scale) + 1)
    pixels = ink[rows, columns] if line.horizontal or box.width >= box.height else ink[rows, columns].T
    seen = np.flatnonzero(pixels.any(axis=0))
    if not seen.size or seen.size < _LEAST_SEEN * pixels.shape[1]:
        return False
    gaps = np.diff(seen, prepend=-1, append=pixels.shape[1]) - 1
    return float(gaps.max()) <= _MOST_UNSEEN * line.size * scale
