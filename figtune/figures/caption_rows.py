"""Rows of a caption: the pieces of one printed line, and the row that goes on below it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from figtune.layout.style import Columns, PaperStyle
from figtune.pdf.geometry import Box
from figtune.pdf.page import Line

_FIRST_WORD = re.compile(r"(?:\S{1,2}\s+)*\S+\s?")  # with the symbols of a formula before it
_SAME_SIZE = 0.6  # points by which type of one size may differ
_FRAGMENT_GAP = 1.6  # em between the pieces of one line
_BLANK = 0.6  # em: wider than between the words of a line, unless a formula is set loosely
_LOOSE_PITCH = 1.5  # em from line to line, before the caption's own pitch is known
_LANGUAGES_APART = 2.2  # em from a caption to the same one in another language
_PITCH_SLACK = 1.5  # points from line to line beyond the caption's own pitch
_ALIGNED = 4.0  # points by which the left ends of a caption's lines may differ
_CENTRED = 6.0  # points by which the middles of centred lines may
_RAGGED = 45.0  # points that a later line may be longer than those before
_HANGING = 3.5  # points that punctuation may hang over the edge of a column
_UNDERLINE = 0.3  # em below a baseline down to which a rule underlines
_ROOT = "√"
_ROOT_DROP = 0.3  # em by which a root sign's baseline is below the row above, and its ink below its baseline
_RULED = 0.9  # of a row's width from which a rule above it parts it from a caption: that is a table's own


@dataclass(frozen=True, slots=True)
class CaptionPlace:
    """A page on which captions grow."""

    lines: Sequence[Line]
    """All lines of the page, those that cannot be read in captions emptied."""
    rules: Sequence[Box]
    """Long horizontal rules."""
    style: PaperStyle
    """Style with the columns of the page."""


def caption_rows(
    place: CaptionPlace, start: int, others: set[int], *, label_alone: bool, again: Sequence[int] = ()
) -> list[list[int]]:
    """Return the positions of a caption's lines, top to bottom, each row as its pieces from left to right.

    Args:
        place: the page.
        start: position of the line that opens the caption.
        others: positions where other captions start.
        label_alone: whether the first row is a label and nothing more, as over tables of IEEE journals.
        again: positions of lines with the same label.
    """
    first = place.lines[start]
    rows = [row_at(place.lines, start, others, place.style.columns)]
    pitch = _LOOSE_PITCH * first.size
    while True:
        row = _next_row(place, rows, others, pitch, titled=label_alone and len(rows) == 1)
        if not row:
            row = _repeated(place, rows, others, again)
        if not row or others.intersection(row):
            return rows
        step = _baseline(place.lines, row) - _baseline(place.lines, rows[-1])
        pitch = min(pitch, max(step, 1.15 * first.size) + _PITCH_SLACK)
        rows.append(row)


def _repeated(
    place: CaptionPlace, rows: Sequence[Sequence[int]], others: Iterable[int], again: Iterable[int]
) -> list[int]:
    """The row right below that begins the same caption in another language, set like it or centred."""
    lines = place.lines
    last = Box.around(lines[number].box for number in rows[-1])
    used = {number for row in rows for number in row}
    for number in again:
        drop = lines[number].baseline - _baseline(lines, rows[-1])
        if number not in used and 0 < drop <= _LANGUAGES_APART * lines[number].size:
            row = row_at(lines, number, others, place.style.columns)
            box = Box.around(lines[piece].box for piece in row)
            if abs(_middle(box) - _middle(last)) <= _CENTRED or abs(box.x0 - last.x0) <= _ALIGNED:
                return row
    return []


def row_at(lines: Sequence[Line], number: int, others: Iterable[int], columns: Columns) -> list[int]:
    """Positions of the pieces of one printed line, from `lines[number]` to the right, formulas included. Behind a
    blank, what is flush with one of `others`, where other captions start, is theirs. What ends at a column's edge does
    not go on in the next column."""
    head = lines[number]
    row, right = [number], head.box.x1
    edges = [lines[other].box.x0 for other in others]
    beside = sorted(
        (other for other, line in enumerate(lines) if other != number and _shares_baseline(line, head)),
        key=lambda other: lines[other].box.x0,
    )
    for other in beside:
        line = lines[other]
        gap = line.box.x0 - right
        if gap > _BLANK * head.size and any(abs(line.box.x0 - edge) <= _ALIGNED for edge in edges):
            break
        if line.box.x0 > right and _is_gutter(right, line.box.x0, columns):
            break
        if line.box.x0 >= head.box.x0 and gap <= _FRAGMENT_GAP * head.size:
            row.append(other)
            right = max(right, line.box.x1)
    return row


def _is_gutter(left: float, right: float, columns: Columns) -> bool:
    """Tell if the white between two pieces of a line is that between two columns."""
    return any(
        left <= column.x1 + _HANGING and right >= beside.x0 - _HANGING / 2
        for column, beside in pairwise(columns)
        if left > column.x0 and right < beside.x1
    )


def _next_row(
    place: CaptionPlace, rows: Sequence[Sequence[int]], others: Iterable[int], pitch: float, *, titled: bool
) -> list[int]:
    """The row right below the last of `rows` if it continues the caption that they make; none of their lines again."""
    lines = place.lines
    first, used = lines[rows[0][0]], {number for row in rows for number in row}
    box = Box.around(lines[number].box for number in used)
    room = _room_below(place, first, rows[-1], box, pitch, titled=titled)
    heads = [
        number
        for number, line in enumerate(lines)
        if number not in used
        and line.horizontal
        and line.text
        and room.top < line.baseline <= room.bottom
        and room.x0 <= line.box.x0 < box.x1
        and line.box.x1 <= room.x1
        and _is_type_of(line, first)
    ]
    for head in sorted(heads, key=lambda number: lines[number].box.x0):
        whole = _with_pieces_before(lines, row_at(lines, head, others, place.style.columns), room.x0)
        row = [number for number in whole if number not in used]
        pieces = Box.around(lines[number].box for number in row)
        if _is_parted(pieces, _baseline(lines, rows[-1]) + _UNDERLINE * first.size, place.rules):
            return []
        centred_title = titled and abs(_middle(pieces) - _middle(box)) <= _CENTRED
        if pieces.x1 <= room.x1 and (centred_title or _is_set_like(pieces, box, lines, row, rows[-1])):
            return row
    return []


def _is_parted(row: Box, top: float, rules: Sequence[Box]) -> bool:
    """Tell if a rule as wide as the row stands between it and `top`."""
    return any(
        top <= rule.top
        and rule.bottom <= (row.top + row.bottom) / 2
        and min(rule.x1, row.x1) - max(rule.x0, row.x0) >= _RULED * row.width
        for rule in rules
    )


def _room_below(
    place: CaptionPlace, first: Line, last_row: Sequence[int], box: Box, pitch: float, *, titled: bool
) -> Box:
    """Return where the next row may stand, by its ends and its baseline: a centred one may begin further left, and the
    title under a label be as wide as the page's columns."""
    baseline = _baseline(place.lines, last_row)
    columns, column = place.style.columns, place.style.column_of(box)
    x0 = min(box.x0, column.x0 if column else columns[0].x0)
    x1 = max(box.x1 + _RAGGED, column.x1 if column else columns[-1].x1 if titled else box.x1)
    return Box(x0 - _ALIGNED, baseline + 0.5 * first.size, x1 + 3, baseline + pitch)


def _is_set_like(pieces: Box, caption: Box, lines: Sequence[Line], row: Sequence[int], last_row: Sequence[int]) -> bool:
    """Tell if a row begins where the caption does, or is centred as it is."""
    if abs(pieces.x0 - caption.x0) <= _ALIGNED:
        return True
    if abs(_middle(pieces) - _middle(caption)) > _CENTRED:
        return False
    return pieces.x0 > caption.x0 or _was_full(Box.around(lines[number].box for number in last_row), pieces, lines, row)


def _was_full(last: Box, below: Box, lines: Sequence[Line], row: Sequence[int]) -> bool:
    """Tell if the first word of the row below, or a formula before it, had no room in the line above: else nobody would
    have broken there."""
    words = " ".join(lines[number].text for number in row).strip()
    first = _FIRST_WORD.match(words)
    return first is not None and last.width + len(first[0]) / len(words) * below.width > below.width


def _with_pieces_before(lines: Sequence[Line], row: Sequence[int], left: float) -> list[int]:
    """The row with what stands right before it: large symbols hang so low that they pass for another line, and some
    have no character."""
    head = lines[row[0]]
    taken, x0 = list(row), head.box.x0
    for number, line in sorted(enumerate(lines), key=lambda piece: -piece[1].box.x1):
        middle = line.baseline + _ROOT_DROP * line.size if line.text == _ROOT else (line.box.top + line.box.bottom) / 2
        near = -_ALIGNED <= x0 - line.box.x1 <= _BLANK * head.size and line.box.x0 >= left
        if number not in taken and near and line.box.x0 < x0 and head.box.top <= middle <= head.box.bottom:
            taken.insert(0, number)
            x0 = line.box.x0
    return taken


def _is_type_of(line: Line, first: Line) -> bool:
    return any(abs(span.size - first.size) <= _SAME_SIZE for span in line.spans if span.text.strip())


def _shares_baseline(line: Line, head: Line) -> bool:
    """Tell if the line is a piece of the printed line that `head` begins; formulas stand a little off its baseline."""
    if not line.horizontal or not line.text or _opens_row_below(line, head):
        return False
    return -0.8 <= (line.baseline - head.baseline) / head.size <= 0.5


def _opens_row_below(line: Line, head: Line) -> bool:
    """Tell if the line is a root sign at the left end of `head` that hangs into the row below: LaTeX's fonts draw it
    below its baseline."""
    lower = line.baseline - head.baseline > _ROOT_DROP * head.size
    return line.text == _ROOT and lower and line.box.x0 < head.box.x1 and line.box.x1 <= head.box.x1


def _baseline(lines: Sequence[Line], row: Sequence[int]) -> float:
    """Return the baseline of the row's longest piece: formulas in it stand lower or higher."""
    return max((lines[number] for number in row), key=lambda line: line.box.width).baseline


def _middle(box: Box) -> float:
    return (box.x0 + box.x1) / 2
