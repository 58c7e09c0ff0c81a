"""Section headings told by their look: bold and numbered, in small capitals, or in italics after a letter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from figtune.layout.style import Column, PaperStyle
from figtune.pdf.geometry import Box
from figtune.pdf.page import Line

_KNOWN = (
    r"Abstract|Introduction|References|Bibliography|Acknowledge?ments?|Appendix|Appendices|Conclusions?|Discussion|"
    r"Supplementary"
)
_BOLD = re.compile(rf"^(?:(?:[A-Z]|\d+)(?:\.\d+)*\.?\s+\S|\d+(?:\.\d+)+\.?$|(?:{_KNOWN})(?![a-z]))")
_NUMBER = re.compile(r"^(?:[A-Z]|\d+)\.?$")
_SECTION_NUMBER = re.compile(r"^(?:[IVX]{1,5}|[A-Z]|\d{1,2})(?:\.\d{1,2})*\.?$")
_LONG_NUMBER = re.compile(r"^\d+(?:\.\d+)+\.?$")
_CAPITALS = re.compile(rf"^(?:[IVX]+\.|(?:[A-Z]|\d{{1,2}})(?:\.\d{{1,2}})*\.?)\s+\S|^(?:{_KNOWN})\b", re.IGNORECASE)
_LETTERED = re.compile(r"^[A-Z]\.\s*[A-Z]")
_WORD = re.compile(r"[^\W\d_]{4,}")
_FEWEST_LETTERS = 4
_EDGE = 2.0  # points that a heading may miss its column's edge or, with its middle, the column's
_CENTRED = 4.0
_BLANK = 3.0  # em between a heading's number and its words: ICLR has 1.6
_BOLD_CAPITALS = 1.2  # points that bold capitals may be smaller: in REVTeX
_SIZE = 0.5  # points that a heading may be smaller than the body


def heading_lines(lines: Sequence[Line], style: PaperStyle) -> Iterator[int]:
    """Yield the positions of the lines that are headings or parts of one."""
    for number, line in enumerate(lines):
        if not line.horizontal or not line.text:
            continue
        if _is_bold_heading(line, style) and (not _LONG_NUMBER.match(line.text) or _words_beside(lines, line, style)):
            yield number
            # A wide blank after its number makes a heading two lines of the text layer.
            yield from (
                other
                for other, rest in enumerate(lines)
                if rest.bold
                and abs(rest.baseline - line.baseline) <= 1
                and 0 < rest.box.x0 - line.box.x1 <= 2 * line.size
            )
        elif _is_set_off(line, style):
            yield number
        elif _SECTION_NUMBER.match(line.text) and line.size >= style.size - _BOLD_CAPITALS:
            words = _words_beside(lines, line, style)
            if (
                words
                and _is_capitals(lines[words[0]], style)
                and _is_placed(Box.around([line.box, *(lines[word].box for word in words)]), style)
            ):
                yield from (number, *words)


def _is_bold_heading(line: Line, style: PaperStyle) -> bool:
    if not line.bold or line.size < style.size - _SIZE or not _reads_like_heading(line, style):
        return False
    column = style.column_of(line.box)
    if column is None:
        return False
    return abs(line.box.x0 - column.x0) <= _EDGE or line.text[0].isalpha() or _is_centred(line.box, column)


def _reads_like_heading(line: Line, style: PaperStyle) -> bool:
    """Return True for what reads like a heading. A number alone counts where it is larger than the body, unlike those
    in tables; its words stand further right."""
    if _NUMBER.match(line.text):
        return line.size > style.size + _SIZE
    if _LONG_NUMBER.match(line.text):
        return True
    return _BOLD.match(line.text) is not None and sum(map(str.isalpha, line.text)) >= _FEWEST_LETTERS


def _words_beside(lines: Sequence[Line], line: Line, style: PaperStyle) -> list[int]:
    """Return positions of the words that a heading's number stands before; a number in a table has none."""
    return [
        other
        for other, rest in enumerate(lines)
        if abs(rest.baseline - line.baseline) <= 1
        and 0 < rest.box.x0 - line.box.x1 <= _BLANK * style.size
        and sum(map(str.isalpha, rest.text)) >= _FEWEST_LETTERS
        and (rest.bold or not line.bold)
    ]


def _is_set_off(line: Line, style: PaperStyle) -> bool:
    """Return True for a heading on a line of its own: in small capitals at the edge or in the middle of a column, or in
    italics after a letter at its edge."""
    column = style.column_of(line.box)
    if column is None:
        return False
    at_edge = abs(line.box.x0 - column.x0) <= _EDGE
    if _is_capitals(line, style) and _CAPITALS.match(line.text):
        return at_edge or _is_centred(line.box, column)
    italic = all(span.italic for span in line.spans if span.text.strip())
    size = abs(line.size - style.size) <= _SIZE
    return at_edge and italic and size and _LETTERED.match(line.text) is not None and style.is_body_font(line)


def _is_capitals(line: Line, style: PaperStyle) -> bool:
    """Return True if a line is in capitals, small ones after large ones, in the body's family and about its size."""
    largest = max(span.size for span in line.spans)
    return (
        line.text.isupper()
        and _WORD.search(line.text) is not None
        and largest >= style.size - (_BOLD_CAPITALS if line.bold else _SIZE)
        and (line.bold or style.is_body_font(line))
    )


def _is_placed(box: Box, style: PaperStyle) -> bool:
    """Return True if a box begins at the edge of a column or lies in the middle of one."""
    column = style.column_of(box)
    return column is not None and (abs(box.x0 - column.x0) <= _EDGE or _is_centred(box, column))


def _is_centred(box: Box, column: Column) -> bool:
    return abs((box.x0 + box.x1) - (column.x0 + column.x1)) <= 2 * _CENTRED
