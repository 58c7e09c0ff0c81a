"""The look of a paper: its body type and its columns, learned from its own lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, takewhile

from figtune.layout.running_lines import RunningLines, running_lines
from figtune.pdf.geometry import Box
from figtune.pdf.page import Line, PageText

_MINIMUM_PROSE = 25  # characters that a line needs before it says anything about columns
_JUSTIFIED = 0.1  # of the lines that share both edges with most others: of 56 papers the least is 0.2
_DENSE = 0.9  # em from character to character in Chinese and Japanese
_COLUMN_SHARE = 0.1  # of the lines of the commonest column
_SHIFT = 2.0  # points between the columns of odd and even pages from which they differ; BMVC has 5.7

Columns = tuple["Column", ...]
"""Left to right; at least one."""

_EDGE = 2.0  # points that a line's ends may miss the column's
_PROTRUSION = 3.5  # points that a hyphen or comma at the end may hang over the column's edge
_INDENT = 30.0  # points that a list item or reference may be indented
_COVERS = 3  # pages at the start of which one is the front page
_FRONT_LINES = 3  # lines of body type that a front page has at least
_PAGES = 128  # that a style is learned from, at most
_USUAL_PITCH = 1.2  # em, of the type of most conferences
_REFERENCES = re.compile(r"^(?:\d+\.?\s+|[IVX]+\.\s+)?(?:references|bibliography)\.?$", re.IGNORECASE)
_IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_LEAST_IDEOGRAPHS = 10  # of a line of prose in Chinese, Japanese or Korean
_FAMILY = re.compile(r"^(?:[A-Z]{6}\+)?([A-Za-z]+?)(?:PSMT|PS|MT)?(?:[\d,\-].*)?$")


@dataclass(frozen=True, slots=True)
class Column:
    """Left and right edge of a text column, in points."""

    x0: float
    x1: float

    @property
    def width(self) -> float:
        """Points."""
        return self.x1 - self.x0

    def contains(self, box: Box, tolerance: float) -> bool:
        """Return True if `box` lies between the edges, give or take `tolerance` points."""
        return self.x0 - tolerance <= box.x0 and box.x1 <= self.x1 + tolerance


def columns_of(even: Sequence[Line], odd: Sequence[Line], width: float) -> tuple[Columns, Columns]:
    """Return the columns of pages with even and with odd index: the same ones unless two-sided setting shifts them.

    Args:
        even: body lines of pages with even index.
        odd: body lines of pages with odd index.
        width: of a page in points, which is the column where no lines tell.
    """
    first, second = _commonest(even), _commonest(odd)
    if len(first) == len(second) and any(abs(a.x0 - b.x0) > _SHIFT for a, b in zip(first, second, strict=True)):
        return first, second
    both = _commonest([*even, *odd]) or (Column(0.0, width),)
    return both, both


def _is_dense(line: Line) -> bool:
    """Return True if few characters make a long line, as in Chinese."""
    return len(line.text) >= _MINIMUM_PROSE / 2 and line.box.width >= _DENSE * line.size * len(line.text)


def _commonest(body: Sequence[Line]) -> Columns:
    """Return the commonest pairs of left and right edges, in whole points, that do not repeat a commoner one."""
    telling = [line for line in body if len(line.text) >= _MINIMUM_PROSE or _is_dense(line)]
    edges = Counter((round(line.box.x0), round(line.box.x1)) for line in telling).most_common()
    if edges and edges[0][1] < _JUSTIFIED * len(telling):
        edges = _ragged(telling)
    return _chosen(edges)


def _ragged(lines: Sequence[Line]) -> list[tuple[tuple[int, int], int]]:
    """Return left edges by frequency, each with where its longest lines end: text that is not justified."""
    starts = Counter(round(line.box.x0) for line in lines)
    ends = {x0: max(round(line.box.x1) for line in lines if round(line.box.x0) == x0) for x0 in starts}
    return [((x0, ends[x0]), count) for x0, count in starts.most_common()]


def _chosen(edges: Sequence[tuple[tuple[int, int], int]]) -> Columns:
    chosen: list[Column] = []
    for (x0, x1), count in edges:
        if count < _COLUMN_SHARE * edges[0][1] or count < 2:
            break
        if not any(x0 < column.x1 and column.x0 < x1 for column in chosen):
            chosen.append(Column(x0, x1))
    return tuple(sorted(chosen, key=lambda column: column.x0))


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
    """Distance from line to line of the body, in em of its size."""
    columns: Columns
    """Columns of the page at hand."""
    facing: Columns
    """Columns of pages with odd index, where two-sided setting shifts them."""
    top: float
    bottom: float
    """Between them the body stands on every page."""
    running: RunningLines

    turned: tuple[tuple[int, float, float], ...]
    """Index, width and height of the pages that lie on their side and hold no body."""
    front: int
    """Index of the page with title and authors: a cover page may stand before it."""

    def on(self, page_index: int) -> PaperStyle:
        """Return the style with the columns of one page; a page that lies on its side is one column."""
        for index, width, height in self.turned:
            if index == page_index:
                return replace(self, columns=(Column(0.0, width),), top=0.0, bottom=height)
        if page_index % 2 == 0 or self.columns == self.facing:
            return self
        return replace(self, columns=self.facing)

    def fills_column(self, line: Line) -> bool:
        """Return True if the line is prose that runs to the right edge of a column, as justified text does."""
        return line.horizontal and is_prose(line.text) and self._column_filled_by(line.box) is not None

    def column_of(self, box: Box) -> Column | None:
        """Return the column that holds the whole of `box`, or None."""
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
    """Return the style of a paper from the text layers of its pages, of long ones from pages spread over it; a page
    without text has the whole page as column."""
    texts = texts[:: -(-len(texts) // _PAGES) | 1]  # an odd step: pages of both parities
    running = running_lines(texts)
    pages = [[line for line in text.lines if line.horizontal and line.text] for text in texts]
    lines = [line for page in pages for line in page]
    size, font = _body_type(lines)
    bodies = [[line for line in page if line.font == font and abs(line.size - size) <= 0.3] for page in pages]
    body = [line for lines in bodies for line in lines]
    even, odd = (
        [line for text, lines in zip(texts, bodies, strict=True) if text.index % 2 == parity for line in lines]
        for parity in (0, 1)
    )
    columns, facing = columns_of(even, odd, max((text.width for text in texts), default=612.0))
    prose = [line for line in body if is_prose(line.text) and line not in running]
    return PaperStyle(
        size=size,
        font=font,
        families=_families(lines, size),
        pitch=_pitch(body, size),
        columns=columns,
        facing=facing,
        top=min((line.box.top for line in prose), default=0.0),
        bottom=max((line.box.bottom for line in prose), default=10_000.0),
        running=running,
        turned=tuple(
            (text.index, text.width, text.height)
            for text, lines in zip(texts, bodies, strict=True)
            if text.turn and sum(_begins_column(line, columns) for line in lines) < _FRONT_LINES
        ),
        front=_front(pages, font),
    )


def _begins_column(line: Line, columns: Columns) -> bool:
    return is_prose(line.text) and any(
        abs(line.box.x0 - column.x0) <= _EDGE and line.box.x1 <= column.x1 + _PROTRUSION for column in columns
    )


def _front(pages: Sequence[Sequence[Line]], font: str) -> int:
    """Return the index of the first page with lines of prose in the body's font family."""
    for index, lines in enumerate(pages[:_COVERS]):
        if sum(is_prose(line.text) and font_family(line.font) == font_family(font) for line in lines) >= _FRONT_LINES:
            return index
    return 0


@lru_cache(maxsize=4096)
def is_prose(text: str) -> bool:
    """Return True if the text looks like prose: several words, mostly letters."""
    if not text.isascii() and len(_IDEOGRAPH.findall(text)) >= max(_LEAST_IDEOGRAPHS, len(text) / 2):
        return True
    blanks = text.count(" ")
    return blanks >= 3 and sum(map(str.isalpha, text)) + blanks >= 0.7 * len(text)


@lru_cache(maxsize=512)
def font_family(font: str) -> str:
    """Return the family of a font's name: "NimbusRomNo" for "NimbusRomNo9L-Medi", "CMR" for "CMR10"."""
    match = _FAMILY.match(font)
    return match[1] if match else font


def _body_type(lines: Sequence[Line]) -> tuple[float, str]:
    """Return size and font of most of the prose before the references; tables may hold more characters."""
    before = list(takewhile(lambda line: not _REFERENCES.match(line.text), lines))
    prose = [line for line in before if is_prose(line.text)]
    characters: Counter[tuple[float, str]] = Counter()
    for line in prose or lines:
        characters[round(line.size, 1), line.font] += len(line.text)
    return characters.most_common(1)[0][0] if characters else (10.0, "")


def _pitch(body: Sequence[Line], size: float) -> float:
    """Return the commonest step from one line to the next, in em."""
    steps = Counter(round((after.baseline - before.baseline) / size, 2) for before, after in pairwise(body))
    plausible = [(count, step) for step, count in steps.items() if 0.9 <= step <= 2.2]
    return max(plausible, default=(0, _USUAL_PITCH))[1]


def _families(lines: Iterable[Line], size: float) -> frozenset[str]:
    """Return families that occur in prose of body size, formulas in it included."""
    characters: Counter[str] = Counter()
    for line in lines:
        if abs(line.size - size) <= 0.5 and is_prose(line.text):
            for span in line.spans:
                characters[font_family(span.font)] += len(span.text)
    total = sum(characters.values())
    return frozenset(family for family, count in characters.items() if count >= 0.002 * total)
