"""Running headers and footers, and the rulers of line numbers down the edges of review copies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from msgspec.structs import replace

from figtune.pdf.page import Line, PageText

_EDGE = 6.0  # parts of a page's height, the first and last of which hold headers and footers: LNCS on letter paper
# has them 102 points down, an eighth would be 99
_OUTERMOST = 3  # rows from the edge of the text among which a header or footer is
_BAND = 3.0  # points by which the height of a running line may vary
_PITCH = 1.5  # em from line to line of a paragraph, at most
_SHARE = 3  # a line on one in so many pages comes back: headers alternate between odd and even pages
_DIGITS = re.compile(r"\d+")

_FEWEST = 15  # numbers of a ruler: CVPR has 54 on each side, ECCV 45; tables and axes that count so far are rare
_LONGEST_NUMBER = 4  # digits
_APART = 3.0  # points by which numbers of one ruler may differ in their left or right end
_IN_STEP = 0.9  # of the numbers go on from the one above by the usual step
_TALL = 0.5  # of the page's height that a ruler takes


@dataclass(frozen=True, slots=True)
class RunningLines:
    """Text and height that come back on other pages."""

    places: frozenset[tuple[str, int]]
    """Texts with their numbers masked, and heights in bands of `_BAND` points."""

    def __contains__(self, line: Line) -> bool:
        key, band = _place(line)
        return any((key, near) in self.places for near in (band - 1, band, band + 1))

    def holds_words_of(self, line: Line) -> bool:
        """Return True if a line says what a running line says, wherever it stands."""
        key = _text_key(line)
        return any(key == other for other, _ in self.places)

    def at_height_of(self, line: Line) -> bool:
        """Return True if a running line with letters stands as high on other pages: a header names its section."""
        band = _band(line)
        return any(abs(band - other) <= 1 and any(map(str.isalpha, key)) for key, other in self.places)


def running_lines(texts: Sequence[PageText]) -> RunningLines:
    """Return the lines among the outermost rows that come back on at least a third of the pages, at least twice. A line
    that also stands elsewhere is none: a body may repeat its own lines."""
    pages: Counter[tuple[str, int]] = Counter()
    elsewhere: Counter[str] = Counter()
    for text in texts:
        edges = {id(line) for line in _at_edge(text)}
        pages.update({_place(line) for line in text.lines if id(line) in edges})
        elsewhere.update({_text_key(line) for line in text.lines if id(line) not in edges and not line.text.isdigit()})
    least = max(2, len(texts) / _SHARE)
    return RunningLines(
        frozenset(place for place, count in pages.items() if count >= least and elsewhere[place[0]] < count)
    )


def _at_edge(text: PageText) -> Iterator[Line]:
    upright = [line for line in text.lines if line.text and line.horizontal]
    edge = text.height / _EDGE
    upper = [line for line in upright if line.box.bottom < edge]
    lower = [line for line in upright if line.box.top > text.height - edge]
    yield from _outermost(upper, upright, inward=1)
    yield from _outermost(lower, upright, inward=-1)


def _outermost(lines: Iterable[Line], upright: Sequence[Line], *, inward: int) -> Iterator[Line]:
    """Yield the lines of the outermost rows but those of a paragraph that goes on towards the middle of the page."""
    # The numbers of a review ruler fill the edges, so they count for no row.
    bands = sorted({inward * _band(line) for line in upright if not line.text.isdigit()})[:_OUTERMOST]
    rows = sorted(
        (line for line in lines if bands and inward * _band(line) <= bands[-1]), key=lambda line: line.baseline
    )
    running: list[Line] = []
    for line in rows[::-inward]:
        if not any(_continues(line, other, inward) for other in upright if other not in running):
            running.append(line)
    yield from running


def _continues(line: Line, other: Line, inward: int) -> bool:
    """Return True if `other` is the next line of the paragraph that `line` is in, towards the middle of the page."""
    step = inward * (other.baseline - line.baseline)
    return (
        0 < step <= _PITCH * line.size
        and other.font == line.font
        and abs(other.size - line.size) <= 0.3
        and abs(other.box.x0 - line.box.x0) <= 2 * line.size
    )


def _place(line: Line) -> tuple[str, int]:
    return _text_key(line), _band(line)


def _band(line: Line) -> int:
    return round(line.box.top / _BAND)


def _text_key(line: Line) -> str:
    """Return the text with # for each digit: the same for all page numbers."""
    return _DIGITS.sub("#", line.text)


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
