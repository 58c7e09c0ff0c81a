"""Ruling lines and the parts of a page they set apart: table rows, algorithms, footnotes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from figtune.layout.style import Column, PaperStyle
from figtune.pdf.geometry import Box
from figtune.pdf.page import Drawing, Line, PageGraphics

_ALGORITHM = re.compile(r"^(?:Algorithm|Listing|Pseudocode)\s*\d*\b")
_EDGE = 2.0  # points that something may miss a column's edge
_ROW_GAP = 4.0  # points between a row of a table and a rule
_RULE = 2.6  # points of thickness up to which a drawing is a rule: bounds of strokes are twice the line wide
_LONG = 60.0  # points from which a horizontal rule may be a table's
_NOTE_RULE = 0.2, 0.6  # of a column's width: how long the rule over footnotes is; LaTeX makes it 0.4
_SMALL = 0.9  # of a line's type: the mark of a footnote is smaller
_MARK_LENGTH = 2  # characters of the mark of a footnote, at most


def is_ruling_line(drawing: Drawing) -> bool:
    """Return True if a drawing is a thin straight line, as in tables."""
    width, height = drawing.box.width, drawing.box.height
    return (width <= _RULE or height <= _RULE) and (width >= 10 or height >= 10)


def long_rules(graphics: PageGraphics) -> list[Box]:
    """Return the boxes of horizontal rules as long as those of tables."""
    return [rule for rule in _wide_rules(graphics) if rule.height <= _RULE]


def _wide_rules(graphics: PageGraphics) -> list[Box]:
    return [drawing.box for drawing in graphics.drawings if is_ruling_line(drawing) and drawing.box.width > _LONG]


def ruled_lines(lines: Sequence[Line], graphics: PageGraphics) -> frozenset[int]:
    """Return positions of lines right under or over a rule as long as they are: rows of a table."""
    rules = _wide_rules(graphics)
    return frozenset(
        number
        for number, line in enumerate(lines)
        if any(
            rule.top <= line.box.bottom + _ROW_GAP
            and rule.bottom >= line.box.top - _ROW_GAP
            and min(rule.x1, line.box.x1) - max(rule.x0, line.box.x0) >= 0.8 * line.box.width
            for rule in rules
        )
    )


def algorithm_boxes(lines: Sequence[Line], graphics: PageGraphics) -> list[Box]:
    """Return boxes of algorithms: from the rule above "Algorithm 1" to the second rule below that is as long."""
    heads = [line for line in lines if line.spans[0].bold and _ALGORITHM.match(line.text)]
    if not heads:
        return []
    rules = _wide_rules(graphics)
    boxes = []
    for line in heads:
        above = [
            rule for rule in rules if -2 <= line.box.top - rule.bottom <= 6 and rule.x0 - 4 <= line.box.x0 < rule.x1
        ]
        below = [rule for rule in rules if above and rule.top > line.box.top and _as_long(rule, above[0])]
        if below:
            boxes.append(Box.around([above[0], *sorted(below, key=lambda rule: rule.top)[:2]]).expanded(1))
    return boxes


def _as_long(rule: Box, other: Box) -> bool:
    return abs(rule.x0 - other.x0) <= 1 and abs(rule.x1 - other.x1) <= 1


def footnote_lines(lines: Sequence[Line], graphics: PageGraphics, style: PaperStyle) -> Iterator[int]:
    """Yield positions of what stands right under the short rule at the left edge of a column, in smaller type and with
    a mark."""
    for column in style.columns:
        for drawing in graphics.drawings:
            rule = drawing.box
            if abs(rule.x0 - column.x0) <= _EDGE and _is_short(rule, column) and is_ruling_line(drawing):
                yield from _note_under(rule, column, lines, style)


def _is_short(rule: Box, column: Column) -> bool:
    return _NOTE_RULE[0] * column.width <= rule.width <= _NOTE_RULE[1] * column.width


def _note_under(rule: Box, column: Column, lines: Sequence[Line], style: PaperStyle) -> list[int]:
    """Return positions of the lines of the notes under a rule, down to a gap or to larger type."""
    below = [
        number
        for number, line in enumerate(lines)
        if line.horizontal and line.box.top > rule.top and column.contains(line.box, _EDGE)
    ]
    below.sort(key=lambda number: lines[number].baseline)
    note: list[int] = []
    bottom = rule.bottom
    for number in below:
        line = lines[number]
        if line.box.top - bottom > style.size or line.size > style.size - 0.5:
            break
        note.append(number)
        bottom = max(bottom, line.box.bottom)
    return note if note and _has_mark(lines[note[0]]) else []


def _has_mark(line: Line) -> bool:
    """Return True if it begins with a small number or sign; MuPDF flags only text above the preceding text as
    raised."""
    first = line.spans[0]
    return first.size < _SMALL * line.size and len(first.text.strip()) <= _MARK_LENGTH
