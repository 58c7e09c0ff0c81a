"""The look of a paper: its body type and its columns, learned from its own lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from figtune.pdf.geometry import Box
from figtune.pdf.page import Line, PageText

_MINIMUM_PROSE = 25  # characters that a line needs before it says anything about columns
_COLUMN_SHARE = 0.1  # of the lines of the commonest column
_EDGE = 2.0  # points that a line's ends may miss the column's
_PROTRUSION = 3.5  # points that a hyphen or comma at the end may hang over the column's edge
_INDENT = 30.0  # points that a list item or reference may be indented
_PAGES = 128  # that a style is learned from, at most
_USUAL_PITCH = 1.2  # em, of the type of most conferences
_DIGITS = re.compile(r"\d+")
_FAMILY = re.compile(r"^(?:[A-Z]{6}\+)?([A-Za-z]+?)(?:PSMT|PS|MT)?(?:[\d,\-].*)?$")


@dataclass(frozen=True, slots=True)
class Column:
    """Left and right edge of a text column, in points."""

    x0: float
    x1: float

    @property
    def width(self) -> float:
        """In points."""
        return self.x1 - self.x0

    def contains(self, box: Box, tolerance: float) -> bool:
        """Return True if `box` lies between the edges, within `tolerance` points."""
        return self.x0 - tolerance <= box.x0 and box.x1 <= self.x1 + tolerance


@dataclass(frozen=True, slots=True)
class PaperStyle:
    """Body style of a paper."""

    size: float
    """Body font size in points."""
    font: str
    """Body font."""
    families: frozenset[str]
    """Font families in which the body, its headings and its formulas are set."""
    pitch: float
    """From line to line of the body, in em of its size."""
    columns: tuple[Column, ...]
    """Left to right; at least one."""
    top: float
    bottom: float
    """Between them the body stands on every page."""
    running: frozenset[str]
    """Headers and footers that come back on other pages, as `running_key` has them."""

    def fills_column(self, line: Line) -> bool:
        """Return True if the line is prose that runs to the right edge of a column, as justified text does."""
        return line.horizontal and is_prose(line.text) and self._column_filled_by(line.box) is not None

    def column_of(self, box: Box) -> Column | None:
        """The column that holds the whole of `box`, or None."""
        return next((column for column in self.columns if column.contains(box, _PROTRUSION)), None)

    def is_body_font(self, line: Line) -> bool:
        """Return True if the line is set in one of the body's font families."""
        return font_family(line.font) in self.families

    def _column_filled_by(self, box: Box) -> Column | None:
        for column in self.columns:
            if -_EDGE <= box.x1 - column.x1 <= _PROTRUSION and -_EDGE <= box.x0 - column.x0 <= _INDENT:
                return column
        return None


def style_of(texts: Sequence[PageText]) -> PaperStyle:
    """The style of a paper from the text layers of its pages, of long ones from pages spread over it; a page without
    text has the whole page as column."""
    texts = texts[:: -(-len(texts) // _PAGES)]
    lines = [line for text in texts for line in text.lines if line.horizontal and line.text]
    size, font = _commonest_type(lines)
    body = [line for line in lines if line.font == font and abs(line.size - size) <= 0.3]
    columns = _columns(body) or (Column(0.0, max((text.width for text in texts), default=612.0)),)
    return PaperStyle(
        size=size,
        font=font,
        families=_families(lines, size),
        pitch=_pitch(body, size),
        columns=columns,
        top=min((line.box.top for line in body if is_prose(line.text)), default=0.0),
        bottom=max((line.box.bottom for line in body if is_prose(line.text)), default=10_000.0),
        running=_running(texts),
    )


def running_key(text: str) -> str:
    """The same for all page numbers."""
    return _DIGITS.sub("#", text)


@lru_cache(maxsize=4096)
def is_prose(text: str) -> bool:
    """Return True if the text looks like prose: several words, mostly letters."""
    blanks = text.count(" ")
    return blanks >= 3 and sum(map(str.isalpha, text)) + blanks >= 0.7 * len(text)


@lru_cache(maxsize=512)
def font_family(font: str) -> str:
    """The family of a font's name: "NimbusRomNo" for "NimbusRomNo9L-Medi", "CMR" for "CMR10"."""
    match = _FAMILY.match(font)
    return match[1] if match else font


def _commonest_type(lines: Iterable[Line]) -> tuple[float, str]:
    characters: Counter[tuple[float, str]] = Counter()
    for line in lines:
        characters[round(line.size, 1), line.font] += len(line.text)
    return characters.most_common(1)[0][0] if characters else (10.0, "")


def _pitch(body: Sequence[Line], size: float) -> float:
    """The commonest step from one line to the next, in em."""
    steps = Counter(round((after.baseline - before.baseline) / size, 2) for before, after in pairwise(body))
    plausible = [(count, step) for step, count in steps.items() if 0.9 <= step <= 2.2]
    return max(plausible, default=(0, _USUAL_PITCH))[1]


def _running(texts: Sequence[PageText]) -> frozenset[str]:
    """Keys of lines in the upper or lower eighth that come back at the same height on at least a third of the pages,
    or on every second one."""
    pages: Counter[tuple[str, int]] = Counter()
    for text in texts:
        edge = text.height / 8
        pages.update(
            {
                (running_key(line.text), round(line.box.top / 3))
                for line in text.lines
                if line.text and (line.box.bottom < edge or line.box.top > text.height - edge)
            }
        )
    return frozenset(key for (key, _), count in pages.items() if count >= max(2, len(texts) / 3))


def _columns(body: Iterable[Line]) -> tuple[Column, ...]:
    """Commonest pairs of left and right edges, in whole points, that do not repeat a commoner one."""
    edges = Counter(
        (round(line.box.x0), round(line.box.x1)) for line in body if len(line.text) >= _MINIMUM_PROSE
    ).most_common()
    chosen: list[Column] = []
    for (x0, x1), count in edges:
        if count < _COLUMN_SHARE * edges[0][1] or count < 2:
            break
        if not any(x0 < column.x1 and column.x0 < x1 for column in chosen):
            chosen.append(Column(x0, x1))
    return tuple(sorted(chosen, key=lambda column: column.x0))


def _families(lines: Iterable[Line], size: float) -> frozenset[str]:
    """Families that occur in prose of body size, formulas in it included."""
    characters: Counter[str] = Counter()
    for line in lines:
        if abs(line.size - size) <= 0.5 and is_prose(line.text):
            for span in line.spans:
                characters[font_family(span.font)] += len(span.text)
    total = sum(characters.values())
    return frozenset(family for family, count in characters.items() if count >= 0.002 * total)
