"""Line numbers of review copies: a ruler of numbers down the edges of a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from msgspec.structs import replace

from figtune.pdf.page import Line, PageText

_FEWEST = 15  # numbers of a ruler: CVPR has 54 on each side, ECCV 45; tables and axes that count so far are rare
_LONGEST_NUMBER = 4  # digits
_APART = 3.0  # points by which numbers of one ruler may differ in their left or right end
_IN_STEP = 0.9  # of the numbers go on from the one above by the usual step
_TALL = 0.5  # of the page's height that a ruler takes


def ruler_lines(text: PageText) -> frozenset[int]:
    """Return the positions of the lines of `text` that are line numbers."""
    digits = [
        (number, line)
        for number, line in enumerate(text.lines)
        if line.horizontal and line.text.isdecimal() and len(line.text) <= _LONGEST_NUMBER
    ]
    if len(digits) < _FEWEST:
        return frozenset()
    return frozenset(number for ruler in _columns(digits) if _counts(ruler, text.height) for number, _ in ruler)


def without_ruler(text: PageText) -> Sequence[Line]:
    """Return the lines of a page, those of a ruler replaced by empty ones so that positions stay."""
    ruler = ruler_lines(text)
    if not ruler:
        return text.lines
    return [replace(line, text="") if number in ruler else line for number, line in enumerate(text.lines)]


def _columns(digits: Sequence[tuple[int, Line]]) -> Iterator[list[tuple[int, Line]]]:
    """Yield numbers that stand below each other, by their left ends, from top to bottom."""
    rest = sorted(digits, key=lambda piece: piece[1].box.x0)
    while rest:
        left = rest[0][1].box.x0
        column = [piece for piece in rest if piece[1].box.x0 - left <= _APART]
        rest = rest[len(column) :]
        yield sorted(column, key=lambda piece: piece[1].baseline)


def _counts(ruler: Sequence[tuple[int, Line]], height: float) -> bool:
    lines = [line for _, line in ruler]
    if len(lines) < _FEWEST or lines[-1].baseline - lines[0].baseline < _TALL * height:
        return False
    steps = [int(below.text) - int(above.text) for above, below in pairwise(lines)]
    usual = max(set(steps), key=steps.count)
    return usual > 0 and steps.count(usual) >= _IN_STEP * len(steps)
