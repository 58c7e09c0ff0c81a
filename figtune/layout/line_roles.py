"""Roles of lines: body text, headings, front matter and page furniture, against lines that may belong to a figure."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from enum import Enum

from figtune.layout.headings import heading_lines
from figtune.layout.ruling_lines import algorithm_boxes, footnote_lines, ruled_lines
from figtune.layout.running_lines import ruler_lines
from figtune.layout.style import PaperStyle, is_prose
from figtune.pdf.geometry import Box
from figtune.pdf.page import Line, PageGraphics, PageText

ABSTRACT = re.compile(r"^abstract(?:\W|$)", re.IGNORECASE)
"""The heading of the abstract, which may be run into it."""
_EQUATION_NUMBER = re.compile(r"^\(\d+[a-z]?\)$")
_ADDRESS = re.compile(r"@|://|\b[\w-]+\.[a-z]{2,}\b")
_MARGIN = 8.0  # points above and below the body from which headers and footers stand
_FOOT = 0.08  # of a page's height: a number repeated there is a page number, even where some text reaches as low
_PITCH_SLACK = 1.12  # by which a formula may widen the step from line to line
_EDGE = 2.0
_BESIDE_GAP = 3.0  # em between pieces of one row of a paragraph; text keeps further off what it flows around
_TO_ABSTRACT = 4.0  # em from the heading of the abstract to its first line
_SAME_SIZE = 0.6  # points
_TITLE = 0.5  # of the largest type from which a line may be the title
_AUTHOR_GAP = 4.5  # em of the body between the title and the authors, and from there to the e-mails: ICML has 3.9
_MARK = 25.0  # points: a picture up to this size on the first page is a logo or an ORCID mark
_ITEM_INDENT = 30.0  # points that an item of a list may be indented
BULLETS = "•◦▪‣■●○►▷▶❏❐❑❒➢➤"
"""Signs that items of lists begin with."""
_BESIDE = 30.0  # points to either side of a line in which a picture makes it part of a figure


class Role(Enum):
    """Role of a line."""

    OTHER = "other"
    """Not yet known: part of a figure or table, or something rare."""
    BODY = "body"
    HEADING = "heading"
    EQUATION = "equation"
    FRONT = "front"
    """Title, authors, affiliations, e-mails."""
    FURNITURE = "furniture"
    """Headers, footers, page and line numbers, watermarks."""
    NOTE = "note"
    """A footnote."""
    ALGORITHM = "algorithm"


def page_roles(text: PageText, style: PaperStyle, graphics: PageGraphics) -> list[Role]:
    """Return the role of each of `text.lines`, in their order; captions are told apart elsewhere."""
    roles = [_role_alone(line, text, style) for line in text.lines]
    for number in ruler_lines(text):
        roles[number] = Role.FURNITURE
    for number in heading_lines(text.lines, style):
        if roles[number] is Role.OTHER:
            roles[number] = Role.HEADING
    ruled = ruled_lines(text.lines, graphics)
    _mark_paragraphs(text.lines, roles, style, ruled)
    _mark_abstract(text.lines, roles, style)
    _mark_equations(text.lines, roles, style)
    for number in footnote_lines(text.lines, graphics, style):
        roles[number] = Role.NOTE
    for box in algorithm_boxes(text.lines, graphics):
        for number, line in enumerate(text.lines):
            if box.contains(line.box, 2):
                roles[number] = Role.ALGORITHM
    if text.index == style.front:
        _mark_front_matter(text, roles, style, graphics)
    return roles


def _role_alone(line: Line, text: PageText, style: PaperStyle) -> Role:
    if text.turn and not line.horizontal and style.running.holds_words_of(line):
        return Role.FURNITURE
    running = line in style.running or (line.box.bottom < style.top and style.running.at_height_of(line))
    inside = style.top < (line.box.top + line.box.bottom) / 2 < style.bottom
    if line.box.top > style.bottom + _MARGIN or (running and not inside):
        return Role.FURNITURE
    if line.text.isdigit() and (
        line.box.bottom < style.top - _MARGIN or (running and line.box.top > (1 - _FOOT) * text.height)
    ):
        return Role.FURNITURE
    outside = line.box.x1 < style.columns[0].x0 - _EDGE or line.box.x0 > style.columns[-1].x1 + _EDGE
    if outside and (line.text.isdigit() or line.box.height > 0.3 * text.height):
        return Role.FURNITURE
    return Role.OTHER


def _mark_paragraphs(lines: Sequence[Line], roles: list[Role], style: PaperStyle, ruled: frozenset[int]) -> None:
    """Mark runs of justified lines as body, and the shorter lines of the same type that begin and end them."""
    by_baseline = _LineIndex(lines, style)
    sure = [
        number
        for number, line in enumerate(lines)
        if roles[number] is Role.OTHER and number not in ruled and style.is_body_font(line) and style.fills_column(line)
    ]
    full = frozenset(sure)
    queue = [number for number in sure if not full.isdisjoint(by_baseline.neighbours(number))]
    queue += [number for number, line in enumerate(lines) if number not in ruled and _stands_alone(line, style)]
    while queue:
        number = queue.pop()
        if roles[number] is Role.OTHER:
            roles[number] = Role.BODY
            queue.extend(by_baseline.neighbours(number))


def _mark_abstract(lines: Sequence[Line], roles: list[Role], style: PaperStyle) -> None:
    """Take what goes on below the heading of the abstract as body, also where it is narrower than a column."""
    start = next((number for number, line in enumerate(lines) if line.horizontal and ABSTRACT.match(line.text)), None)
    if start is None:
        return
    last, size = lines[start], 0.0
    reach = _TO_ABSTRACT * style.size
    for number in sorted(range(start, len(lines)), key=lambda number: lines[number].baseline):
        line = lines[number]
        if number != start and not (
            style.is_body_font(line)
            and 0 <= line.baseline - last.baseline <= reach
            and min(line.box.x1, last.box.x1) > max(line.box.x0, last.box.x0)
            and abs(line.size - (size or line.size)) <= _SAME_SIZE
            and is_prose(line.text)
        ):
            continue
        if roles[number] is Role.OTHER:
            roles[number] = Role.BODY
        if number != start:
            size, last = line.size, line
            reach = _PITCH_SLACK * style.pitch * line.size


def _stands_alone(line: Line, style: PaperStyle) -> bool:
    """Return True if a single line is certainly body: a sentence in body type from the left edge of a column, or a
    line that fills a column, as the last one of a list item does."""
    if line.font != style.font or abs(line.size - style.size) > 0.15 or not is_prose(line.text) or not line.horizontal:
        return False
    inset = _ITEM_INDENT if line.text[0] in BULLETS else _EDGE
    at_edge = any(
        -_EDGE <= line.box.x0 - column.x0 <= inset and column.contains(line.box, 4) for column in style.columns
    )
    return at_edge or style.fills_column(line)


class _LineIndex:
    """Lines in the body's fonts by height, so that those near one are found without looking at all."""

    def __init__(self, lines: Sequence[Line], style: PaperStyle) -> None:
        self._lines = lines
        self._style = style
        spoken = (
            number for number, line in enumerate(lines) if line.text and line.horizontal and style.is_body_font(line)
        )
        self._numbers = sorted(spoken, key=lambda number: lines[number].baseline)
        self._heights = [lines[number].baseline for number in self._numbers]
        self._known: dict[int, list[int]] = {}

    def neighbours(self, number: int) -> list[int]:
        """Return lines right above, below and beside, of the same type, between the edges of the same column."""
        if number not in self._known:
            self._known[number] = self._neighbours(number)
        return self._known[number]

    def _neighbours(self, number: int) -> list[int]:
        line = self._lines[number]
        column = self._style.column_of(line.box)
        if column is None:
            return []
        reach = _PITCH_SLACK * self._style.pitch * line.size
        first = bisect_left(self._heights, line.baseline - reach)
        last = bisect_right(self._heights, line.baseline + reach)
        return [
            other
            for other in self._numbers[first:last]
            if other != number
            and abs(self._lines[other].size - line.size) <= 0.3
            and _is_next_to(self._lines[other], line)
            and column.contains(self._lines[other].box, _EDGE)
        ]


def _is_next_to(one: Line, other: Line) -> bool:
    """Return True if two lines stand above each other, or beside each other without a wide gap: a table that text flows
    around has rows as high as those of the text."""
    return max(one.box.x0, other.box.x0) - min(one.box.x1, other.box.x1) <= _BESIDE_GAP * one.size


def _mark_equations(lines: Sequence[Line], roles: list[Role], style: PaperStyle) -> None:
    """Mark displayed equations: a number in brackets at the right edge of a column makes everything beside it one."""
    for line in lines:
        column = style.column_of(line.box)
        if column is None or not _EQUATION_NUMBER.match(line.text) or abs(line.box.x1 - column.x1) > 3 * _EDGE:
            continue
        if abs(line.size - style.size) > 1.5 or not style.is_body_font(line):
            continue
        band = Box(column.x0, line.box.top - 6, column.x1, line.box.bottom + 6)
        for number, other in enumerate(lines):
            if roles[number] is Role.OTHER and column.contains(other.box, 6) and band.overlap(other.box) > 0:
                roles[number] = Role.EQUATION


def _mark_front_matter(text: PageText, roles: list[Role], style: PaperStyle, graphics: PageGraphics) -> None:
    """Mark the title, and below it what is set like body type until a graphic, the abstract or body text begins."""
    upper = [line for line in text.lines if line.horizontal and line.text and line.box.bottom < 0.5 * text.height]
    painted = [drawing.box for drawing in graphics.drawings if drawing.color != "#ffffff"]
    pictures = [box for box in (*graphics.images, *painted) if _is_picture(box, text)]
    title = _title(upper, style, pictures)
    if not title:
        return
    reached = max(line.box.bottom for line in title)
    for number in sorted(range(len(text.lines)), key=lambda number: text.lines[number].baseline):
        line = text.lines[number]
        if ABSTRACT.match(line.text):
            return
        if roles[number] is Role.FURNITURE or not line.text:
            continue
        below = line.baseline > reached
        if below and (roles[number] is not Role.OTHER or line.box.top - reached > _AUTHOR_GAP * style.size):
            return
        if below and (not _could_be_front(line, style) or _is_covered(line, pictures)):
            return
        roles[number] = Role.FRONT
        reached = max(reached, line.box.bottom) if below else reached


def _title(upper: Sequence[Line], style: PaperStyle, pictures: Sequence[Box]) -> list[Line]:
    """Return the topmost of about the largest lines of words in the body's fonts, or in bold type outside pictures,
    where they are larger than the body, and those of its size that follow on it: words in a figure below may be larger
    still, headings as large."""
    large = [
        line
        for line in upper
        if line.size >= 1.15 * style.size
        and len(line.text) >= 8
        and (style.is_body_font(line) or (line.bold and not _is_covered(line, pictures)))
    ]
    largest = max((line.size for line in large), default=0.0)
    title: list[Line] = []
    for line in sorted(large, key=lambda line: line.baseline):
        if not title:
            title = [line] if line.size >= _TITLE * largest else []
        elif abs(line.size - title[0].size) <= 0.3 and line.box.top - title[-1].box.bottom <= line.size:
            title.append(line)
    return title


def _is_picture(box: Box, text: PageText) -> bool:
    """Return True if a box may be part of a figure: neither a mark beside a name, nor a rule or background across
    the page."""
    return max(box.width, box.height) > _MARK and box.width < 0.95 * text.width and box.area < 0.5 * text.box.area


def _could_be_front(line: Line, style: PaperStyle) -> bool:
    if not line.horizontal:
        return False
    if style.is_body_font(line) or _ADDRESS.search(line.text) or len(line.text) <= 2:
        return True
    return all(span.italic for span in line.spans)  # in affiliations italics come before the body has any


def _is_covered(line: Line, pictures: Sequence[Box]) -> bool:
    """Return True if the line lies among images, e-mails excepted: white margins of images reach under them."""
    if "@" in line.text:
        return False
    around = Box(line.box.x0 - _BESIDE, line.box.top, line.box.x1 + _BESIDE, (line.box.top + line.box.bottom) / 2)
    return any(box.overlap(around) > 0 for box in pictures)
