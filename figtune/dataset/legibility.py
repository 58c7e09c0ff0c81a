"""Legibility of the words printed in a figure at the resolution that a vision encoder sees it in."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from figtune.extraction.records import FigureRecord

Size = tuple[int, int]
"""Width and height in pixels."""

_POINTS_PER_INCH = 72
READABLE_PIXELS = 10.0
"""Type size in pixels from which a word counts as readable. In figures of 56 papers OCR finds 81 % of the words at this
size, 90 % at 18 pixels and 48 % at 7."""


def _square(side: int, _: Size) -> Size:
    return side, side


def _as_it_is(size: Size) -> Size:
    return size


def _gemma3_tiles(size: Size) -> Size:
    """Return the size of up to four tiles side by side, each squashed to a square, as pan and scan cuts them."""
    short, long = sorted(size)
    tiles = min(4, max(2, min(math.floor(long / short + 0.5), long // 256)))
    if long / short < 1.2 or min(short, math.ceil(long / tiles)) < 256:
        tiles = 1
    return (896 * tiles, 896) if size[0] >= size[1] else (896, 896 * tiles)


def _gemma4_grid(tokens: int, size: Size) -> Size:
    """Return the size of the grid of 48 x 48 squares, at most so many, that Gemma 4 resizes an image to."""
    factor = math.sqrt(tokens * 48 * 48 / (size[0] * size[1]))
    width, height = (max(1, math.floor(factor * side / 48)) * 48 for side in size)
    return min(width, 48 * tokens), min(height, 48 * tokens)


ENCODERS: dict[str, Callable[[Size], Size]] = {
    "PaliGemma, 224 x 224": partial(_square, 224),
    "Gemma 3, 896 x 896": partial(_square, 896),
    "Gemma 3, 4 tiles": _gemma3_tiles,
    **{f"Gemma 4, {tokens} tokens": partial(_gemma4_grid, tokens) for tokens in (280, 560, 1120)},
    "the crop itself": _as_it_is,
}
"""Size that an encoder resizes an image to, by the name of the encoder; last the most that any can see."""


def count_readable_words(figure: FigureRecord) -> tuple[int, dict[str, int]]:
    """Return the number of words printed in a figure, and of those that can be read, by encoder.

    Only words of the text layer count: those that are pixels have no type size.
    """
    if figure.crop_size is None:
        return 0, {}
    words = sum(count for _, count in figure.text_sizes)
    readable = {}
    for name in ENCODERS:
        least = least_readable_size(name, figure.crop_size, figure.dpi)
        readable[name] = sum(count for size, count in figure.text_sizes if size >= least)
    return words, readable


def least_readable_size(encoder: str, size: Size, dpi: int) -> float:
    """Return the type size in points from which words can be read.

    Squashing shrinks one direction more than the other, and the smaller one counts; enlarging a picture adds nothing
    that can be read.

    Args:
        encoder: its name in `ENCODERS`.
        size: of the picture given to it.
        dpi: resolution of that picture.
    """
    scales = (now / before for now, before in zip(ENCODERS[encoder](size), size, strict=True))
    return READABLE_PIXELS / (dpi / _POINTS_PER_INCH * min(1.0, *scales))
