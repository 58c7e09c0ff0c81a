"""The body of a paper as printed rows in reading order, and the text of a row without footnote marks.

The text layer comes in the order in which the file paints: within a column mostly the reading order, from column to
column not always; and a formula within a sentence makes lines of its own.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from math import inf

from msgspec import Struct

from figtune.layout.line_roles import ABSTRACT, Role
from figtune.layout.style import Column, PaperStyle, font_family, is_prose
from figtune.pdf.geometry import Box
from figtune.pdf.page import Line, PageText, Span

_SAME_BASELINE = 0.4  # em
_RAISED = 0.75  # em by which the pieces of an inline formula may stand off the baseline
_PIECE = 0.85  # of body size: anything smaller cannot make a row of its own beside body type
_ACROSS = 12.0  # points by which a line must reach into a second column to stand across columns
_NEAR = 2.5  # em from the first or the last row of the body
_MOSTLY = 0.5
_INDENT = 0.45  # em from the column's edge; what stands further left is a row of text, however many symbols it has
_NO_BODY = frozenset({Role.FURNITURE, Role.NOTE, Role.ALGORITHM})
_EQUATION_NUMBER = re.compile(r"^\(\d+[a-z]?\)$")
_WORD = re.compile(r"[^\W\d_]{4,}")
_MARKS = (".", ":")
_SYMBOL = 8  # characters that a run of a formula within a heading takes at most
_BULLET = 3  # characters that a bullet takes at most
_SENTENCE = re.compile(r"[A-Z](?:[a-z]|\s)")


Piece = tuple[Line, Role]


@dataclass(frozen=True, slots=True)
class UnclaimedLines:
    """The lines of a page that belong to no figure, table or caption, with what each is for."""

    index: int
    lines: tuple[Piece, ...]


class TextRow(Struct, frozen=True, gc=False):
    """One row of text of a column."""

    page_index: int
    column: Column
    box: Box
    baseline: float
    """Points from the top of the page."""
    text: str
    size: float
    """Font size of most of its characters, in points."""
    bold: bool
    """True if all of its letters are bold."""
    starts_bold: bool
    has_run_in_heading: bool
    """True if it begins with a bold phrase that ends like a heading: "Training details. We train"."""
    run_in_heading_length: int
    """Characters of a bold phrase at its start after which a sentence begins; 0 where there is none."""
    heading: bool
    """True if it has the words and the type of a section heading."""
    formula: bool
    """True if it is part of a displayed formula."""
    set_off: bool = False
    """True if small capitals or italics make it a heading, rather than weight."""


def unclaimed_lines(
    text: PageText, roles: Sequence[Role], taken: frozenset[int], regions: Sequence[Box]
) -> UnclaimedLines:
    """Return the lines of a page that belong to no caption and no figure.

    Args:
        roles: of each line.
        taken: positions of the lines of captions.
        regions: boxes of figures and tables.
    """
    free = [
        (line, role)
        for number, (line, role) in enumerate(zip(text.lines, roles, strict=True))
        if number not in taken and not any(_center_in(line.box, region) for region in regions)
    ]
    return UnclaimedLines(text.index, tuple(free))


def body_rows(pages: Iterable[UnclaimedLines], paper: PaperStyle) -> Iterator[TextRow]:
    """Yield all rows of body text, headings, notes and displayed formulas, in reading order."""
    for page in pages:
        style = paper.on(page.index)
        front, blocks = _end_of_front(page) if page.index == paper.front else inf, _body_blocks(page)
        body = [
            (line, role)
            for line, role in page.lines
            if _is_body(line, role, front)
            # Letters in a type that the body never uses are what is left of a figure that nobody found.
            and (role is not Role.OTHER or line.block in blocks or _has_body_type(line, style))
            and not _is_running(line, style)
        ]
        marks = note_marks([line for line, _ in page.lines], style)
        yield from _RowBuilder(page.index, style, RowTextBuilder(style, marks)).rows(body)


def _end_of_front(page: UnclaimedLines) -> float:
    """Height, in points from the top, from which nothing is front matter: that of the heading of the abstract."""
    tops = [line.box.top for line, _ in page.lines if ABSTRACT.match(line.text)]
    return min(tops, default=inf)


def _body_blocks(page: UnclaimedLines) -> frozenset[int]:
    """Return the text layer's blocks with body text in them: a word in typewriter type there belongs to the text."""
    return frozenset(line.block for line, role in page.lines if role is Role.BODY)


def _has_body_type(line: Line, style: PaperStyle) -> bool:
    return any(font_family(span.font) in style.families for span in line.spans)


def _is_body(line: Line, role: Role, front: float) -> bool:
    if not line.text or not line.horizontal or role in _NO_BODY:
        return False
    return role is not Role.FRONT or line.box.bottom > front


def _is_running(line: Line, style: PaperStyle) -> bool:
    """Return True for a header or footer set so close to the body that its role is body. A number alone within the
    body is no page number: a reference may end with it."""
    if line.text.isdigit() and line.baseline < style.bottom:
        return False
    near = _NEAR * style.size
    at_edge = line.box.top - style.top < near or style.bottom - line.box.bottom < near
    return at_edge and line in style.running


def _center_in(box: Box, other: Box) -> bool:
    x, y = (box.x0 + box.x1) / 2, (box.top + box.bottom) / 2
    return other.x0 <= x <= other.x1 and other.top <= y <= other.bottom


@dataclass(frozen=True, slots=True)
class _RowBuilder:
    """Builder of the rows of one page."""

    index: int
    style: PaperStyle
    row_text: RowTextBuilder

    def rows(self, lines: Sequence[Piece]) -> Iterator[TextRow]:
        """Yield rows from top to bottom and column to column; what stands across columns parts the page."""
        columns = self.style.columns
        numbers = [_column_number(line.box, columns) for line, _ in lines]
        across = sorted(line.baseline for (line, _), number in zip(lines, numbers, strict=True) if number is None)
        places: dict[tuple[int, int], list[Piece]] = {}
        for (line, role), number in zip(lines, numbers, strict=True):
            band = bisect_left(across, line.baseline - _SAME_BASELINE * line.size)
            places.setdefault((band, len(columns) if number is None else number), []).append((line, role))
        whole = Column(columns[0].x0, columns[-1].x1)
        for (_, number), members in sorted(places.items(), key=lambda place: place[0]):
            column = columns[number] if number < len(columns) else whole
            for pieces, formula in self._formulas_joined(_grouped(members, self.style.size), column):
                if any(map(str.isalnum, "".join([line.text for line, _ in pieces]))):
                    yield self._row(column, pieces, formula)

    def _formulas_joined(self, rows: Sequence[list[Piece]], column: Column) -> Iterator[tuple[list[Piece], bool]]:
        """Rows, and whether each is a formula. What stands above and below the strokes and signs of one displayed
        formula is one row."""
        waiting: list[Piece] = []
        for row in rows:
            formula = self._is_formula(row, column)
            if formula and waiting and _overlap(waiting, row):
                waiting += row
                continue
            if waiting:
                yield sorted(waiting, key=_left), True
            waiting = list(row) if formula else []
            if not formula:
                yield row, False
        if waiting:
            yield sorted(waiting, key=_left), True

    def _is_formula(self, pieces: Sequence[Piece], column: Column) -> bool:
        inside = min(line.box.x0 for line, _ in pieces) - column.x0 > _INDENT * self.style.size
        if any(role is Role.EQUATION for _, role in pieces):
            return inside or not self._reads_as_text(pieces)
        if any(role is Role.HEADING for _, role in pieces) or _is_worded(pieces):
            return False
        number = len(pieces) == 1 and _EQUATION_NUMBER.match(pieces[0][0].text) is not None
        return inside and (number or self._foreign_share(pieces) > _MOSTLY)

    def _reads_as_text(self, pieces: Sequence[Piece]) -> bool:
        """Return True if a row is text that overlaps the line of the formula's number above or below it."""
        first = pieces[0][0].spans[0]
        worded = font_family(first.font) == font_family(self.style.font) and _WORD.match(first.text) is not None
        return worded and is_prose(" ".join([line.text for line, _ in pieces]))

    def _foreign_share(self, pieces: Sequence[Piece]) -> float:
        """Return the share of the characters that are not set in the body's main font family, as those of formulas
        are."""
        spans = [(span.font, len(span.text.strip())) for line, _ in pieces for span in line.spans]
        total, main = sum(length for _, length in spans), font_family(self.style.font)
        return sum(length for font, length in spans if font_family(font) != main) / total if total else 0.0

    def _row(self, column: Column, pieces: Sequence[Piece], formula: bool) -> TextRow:
        lines = [line for line, _ in pieces]
        widest = max(lines, key=lambda line: line.box.width)
        spans = [span for line in lines for span in line.spans if any(map(str.isalpha, span.text))]
        opening = self._opening([span for line in lines for span in line.spans])
        text = self.row_text.join(lines)
        return TextRow(
            page_index=self.index,
            column=column,
            box=Box.around(line.box for line in lines),
            baseline=widest.baseline,
            text=text,
            size=widest.size,
            bold=bool(spans) and spans[0].bold and self._is_bold(spans),
            starts_bold=bool(spans) and spans[0].bold,
            has_run_in_heading=opening.endswith(_MARKS) and not all(span.bold for span in spans),
            run_in_heading_length=_run_in_heading_length(text, opening),
            heading=any(role is Role.HEADING for _, role in pieces),
            formula=formula,
            set_off=any(role is Role.HEADING and not line.bold for line, role in pieces),
        )

    def _opening(self, spans: Sequence[Span]) -> str:
        """Return the bold phrase from the first letter on, with the symbols within it: "Effect of α."; none where a
        symbol goes on with it."""
        if not any(span.bold for span in spans):
            return ""
        lettered = list(dropwhile(lambda span: not any(map(str.isalpha, span.text)), spans))
        run = list(takewhile(lambda span: span.bold or self._is_symbol(span), lettered))
        if not run or not run[0].bold:
            return ""
        last = max(number for number, span in enumerate(run) if span.bold)
        phrase = "".join([span.text for span in run[: last + 1]]).strip()
        after = lettered[last + 1].text[:1] if last + 1 < len(lettered) else ""
        if after in _MARKS:  # of the body's own weight
            return phrase + after
        return phrase if last + 1 == len(run) or phrase.endswith(_MARKS) else ""

    def _is_bold(self, spans: Sequence[Span]) -> bool:
        return all(span.bold or self._is_symbol(span) for span in spans)

    def _is_symbol(self, span: Span) -> bool:
        """Return True if it is short and set in another family than the body, as formulas are."""
        return len(span.text.strip()) <= _SYMBOL and font_family(span.font) != font_family(self.style.font)


def _run_in_heading_length(text: str, bold: str) -> int:
    """Return the length of the bold phrase at the start of `text`. A bullet may precede the phrase. Without a final
    mark, a capital must follow."""
    at = text.find(bold, 0, len(bold) + _BULLET)
    rest = text[at + len(bold) :].lstrip()
    ends = bold.endswith(_MARKS) or (" " in bold and _SENTENCE.match(rest) is not None)
    return at + len(bold) if bold and at >= 0 and ends and rest else 0


def _column_number(box: Box, columns: Sequence[Column]) -> int | None:
    """Return the column that holds most of the box; None where it stands across two."""
    shares = [min(box.x1, column.x1) - max(box.x0, column.x0) for column in columns]
    if sum(share > _ACROSS for share in shares) > 1:
        return None
    return shares.index(max(shares))


def _grouped(members: Sequence[Piece], size: float) -> list[list[Piece]]:
    """Return lines of one column as rows from top to bottom, each with its pieces from left to right."""
    rows: list[list[Piece]] = []
    full = [member for member in members if _is_full(member, size)]
    for member in sorted(full, key=lambda member: member[0].baseline):
        if rows and member[0].baseline - rows[-1][-1][0].baseline <= _SAME_BASELINE * size:
            rows[-1].append(member)
        else:
            rows.append([member])
    for member in members:
        if not _is_full(member, size):
            _attach(member, rows, size)
    rows.sort(key=lambda row: row[0][0].baseline)
    return [sorted(row, key=_left) for row in rows]


def _is_full(member: Piece, size: float) -> bool:
    line, role = member
    return line.size >= _PIECE * size or role in (Role.BODY, Role.HEADING)


def _attach(member: Piece, rows: list[list[Piece]], size: float) -> None:
    """Give an index, an exponent or the like to the row it belongs to, or make it a row of its own."""
    line = member[0]
    nearest = min(rows, key=lambda row: abs(row[0][0].baseline - line.baseline), default=None)
    if nearest is None or abs(nearest[0][0].baseline - line.baseline) > _RAISED * size:
        rows.append([member])
    else:
        nearest.append(member)


def _is_worded(pieces: Sequence[Piece]) -> bool:
    """Return True if most of it is words, in any font: some producers give every style of one family its own name."""
    text = "".join(line.text for line, _ in pieces)
    return sum(map(len, _WORD.findall(text))) > _MOSTLY * len(text)


def _left(piece: Piece) -> tuple[float, float]:
    """Return the edges to sort by: an exponent and an index at one place are cut apart by the text layer, and the line
    goes on from the index."""
    return round(piece[0].box.x0), piece[0].box.x1


def _overlap(above: Sequence[Piece], below: Sequence[Piece]) -> bool:
    return min(line.box.top for line, _ in below) < max(line.box.bottom for line, _ in above)


_BLANK = 0.12  # em from piece to piece that make a blank
_MARK = 0.85  # of the size of a footnote: its number is smaller
_SMALL = 0.85  # of body size: the numbers of a fraction
_NUMBER = re.compile(r"(?:^|\s)[\d.,]*\d$")


def note_marks(lines: Iterable[Line], style: PaperStyle) -> frozenset[str]:
    """Return the numbers with which the footnotes of a page begin, set smaller than the notes."""
    notes = (line for line in lines if line.size < style.size and len(line.spans) > 1)
    marks = (line.spans[0].text.strip() for line in notes if line.spans[0].size < _MARK * line.size)
    return frozenset(mark for mark in marks if mark.isdigit())


@dataclass(frozen=True, slots=True)
class RowTextBuilder:
    """Builder of the text of rows of one page."""

    style: PaperStyle
    note_marks: frozenset[str]

    def join(self, lines: Sequence[Line]) -> str:
        """Return the text of the pieces of one row, given from left to right."""
        text, end = "", 0.0
        for number, line in enumerate(lines):
            if number and self._is_fraction(lines[number - 1], line):
                between = "/"
            else:
                between = " " if text and line.box.x0 - end > _BLANK * line.size else ""
            text += between + self._without_note_marks(line)
            end = line.box.x1
        return text

    def _is_fraction(self, before: Line, after: Line) -> bool:
        """Return True if a line ends with a small number right above the number that starts the next line (a
        fraction)."""
        above, below = before.spans[-1], after.spans[0]
        small = max(above.size, below.size) < _SMALL * self.style.size
        alone = before.text[: -len(above.text)].endswith((" ", "("))
        return small and alone and above.text.isdigit() and below.text.isdigit() and after.box.x0 < before.box.x1

    def _without_note_marks(self, line: Line) -> str:
        if not self.note_marks or not any(span.superscript for span in line.spans):
            return line.text
        kept = ""
        for span in line.spans:
            mark = self._is_note_mark(span) and not _NUMBER.search(kept)
            kept = kept.rstrip() + span.text[len(span.text.rstrip()) :] if mark else kept + span.text
        return kept.strip()

    def _is_note_mark(self, span: Span) -> bool:
        """Return True if it is the raised number of a footnote of the page; exponents have a math font."""
        raised = span.superscript and span.text.strip() in self.note_marks
        return raised and font_family(span.font) == font_family(self.style.font)
