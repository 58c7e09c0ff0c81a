"""Captions found in the text layer: where they start, how far they go, what they say.

The layer's own blocks are no help: they merge a caption with figure text or body text, and a formula splits one
caption over two blocks. So a caption grows line by line from its label, as long as type, place and pitch agree.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from figtune.extraction.records import FigureType
from figtune.layout.row_text import RowTextBuilder, note_marks
from figtune.layout.style import PaperStyle
from figtune.pdf.dehyphenation import Dehyphenator
from figtune.pdf.geometry import Box
from figtune.pdf.page import Line, PageText

_START = re.compile(
    r"^(?P<label>figure|fig\.?|table|tab\.?)\s*"
    r"(?P<name>(?:[A-Z]\.?)?\d+(?:[.\-]\d+)*|[IVX]+\b|[A-Z]\b)\s?"
    r"(?P<mark>[.:|]?)(?P<rest>.*)$",
    re.IGNORECASE,
)
_FIRST_WORD = re.compile(r"(?:\S{1,2}\s+)*\S+\s?")  # with the symbols of a formula before it
_SAME_SIZE = 0.6  # points by which type of one size may differ
_FRAGMENT_GAP = 1.6  # em between the pieces of one line
_BLANK = 0.6  # em: wider than between the words of a line, unless a formula is set loosely
_LOOSE_PITCH = 1.5  # em from line to line, before the caption's own pitch is known
_PITCH_SLACK = 1.5  # points from line to line beyond the caption's own pitch
_ALIGNED = 4.0  # points by which the left ends of a caption's lines may differ
_CENTRED = 6.0  # points by which the middles of centred lines may
_RAGGED = 45.0  # points that a later line may be longer than those before
_NO_DOUBT = 4.0  # score from which a second caption with the same label is one
_SURE = 6.0  # score for full certainty


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption on a page, not yet matched to a region."""

    page_index: int
    figure_type: FigureType
    name: str
    text: str
    box: Box
    lines: tuple[int, ...]
    """Positions in `PageText.lines`."""
    certainty: float
    """In [0, 1]: that this is a caption and not a sentence that begins with "Figure 3"."""


@dataclass(frozen=True, slots=True)
class _Start:
    """A line that may open a caption."""

    page_index: int
    line: int
    figure_type: FigureType
    name: str
    mark: str
    rest: str
    score: float


def find_captions(texts: Sequence[PageText], style: PaperStyle, dehyphenator: Dehyphenator) -> tuple[Caption, ...]:
    """All captions of a paper in page order. Of several candidates for one label the most convincing counts, and on
    other pages those that leave no doubt: an appendix may number anew."""
    starts = [start for text in texts for start in _starts(text, style)]
    marks = _usual_marks(starts)
    by_label: dict[tuple[str, str], list[_Start]] = {}
    for candidate in starts:
        agrees = candidate.mark == marks.get(candidate.figure_type, "")
        start = replace(candidate, score=candidate.score + (2.0 if agrees else -2.0))
        if start.score > 0:
            by_label.setdefault((start.figure_type, start.name), []).append(start)
    found = [start for rivals in by_label.values() for start in _convincing_ones(rivals)]
    found.sort(key=lambda start: (start.page_index, start.line))
    return tuple(_caption(texts[start.page_index], start, found, style, dehyphenator) for start in found)


def _convincing_ones(rivals: Sequence[_Start]) -> list[_Start]:
    best = max(rivals, key=lambda start: start.score)
    others = (start for start in rivals if start.score >= _NO_DOUBT and start.page_index != best.page_index)
    first_on_page = {start.page_index: start for start in reversed(list(others))}
    return [best, *first_on_page.values()]


def _starts(text: PageText, style: PaperStyle) -> list[_Start]:
    starts = []
    for number, line in enumerate(text.lines):
        if line.horizontal and line.text[:3].lower() in {"fig", "tab"}:
            words = " ".join(text.lines[piece].text for piece in _row(text.lines, number, ()))
            if match := _START.match(words):
                kind: FigureType = "Figure" if match["label"][0] in "fF" else "Table"
                score = _convincing(text.lines, number, match["rest"], style)
                starts.append(_Start(text.index, number, kind, match["name"], match["mark"], match["rest"], score))
    return starts


def _convincing(lines: Sequence[Line], number: int, rest: str, style: PaperStyle) -> float:
    """Return the score of a caption start by its type and place; the mark after the label is scored for the whole
    paper."""
    line = lines[number]
    score = 1.0
    if abs(line.size - style.size) > 0.3 and style.is_body_font(line):
        score += 1.0
    if line.spans[0].bold and not (line.bold and len(line.spans) == 1 and rest.strip()):
        score += 1.0
    if _continues_a_paragraph(lines, line, style):
        score -= 4.0
    if rest[:1] == " " and rest.strip()[:1].islower():
        score -= 1.0
    if not style.is_body_font(line):
        score -= 1.0
    return score


def _continues_a_paragraph(lines: Sequence[Line], line: Line, style: PaperStyle) -> bool:
    """Return True if a full line of the same type lies right above."""
    for other in lines:
        drop = line.baseline - other.baseline
        if (
            0 < drop <= 1.3 * line.size
            and abs(other.size - line.size) <= 0.3
            and other.box.x0 - 15 <= line.box.x0 < other.box.x1
            and style.fills_column(other)
        ):
            return True
    return False


def _usual_marks(starts: Sequence[_Start]) -> dict[str, str]:
    """Return the mark that this paper prints after "Figure 3" and "Table 3": the most frequent among convincing
    starts."""
    marks: dict[str, Counter[str]] = {}
    for start in starts:
        if start.score > 0:
            marks.setdefault(start.figure_type, Counter())[start.mark] += 1
    return {kind: max(counts, key=lambda mark: (counts[mark], mark)) for kind, counts in marks.items()}


def _caption(
    text: PageText, start: _Start, found: Sequence[_Start], style: PaperStyle, dehyphenator: Dehyphenator
) -> Caption:
    others = {other.line for other in found if other.page_index == start.page_index and other.line != start.line}
    rows = _rows(text, start.line, others, style)
    lines = [text.lines[number] for row in rows for number in row]
    row_text = RowTextBuilder(style, note_marks(text.lines, style))
    return Caption(
        page_index=start.page_index,
        figure_type=start.figure_type,
        name=start.name,
        text=dehyphenator.join([row_text.join([text.lines[number] for number in row]) for row in rows]),
        box=Box.around(line.box for line in lines),
        lines=tuple(number for row in rows for number in row),
        certainty=round(min(1.0, max(0.0, start.score / _SURE + 0.34)), 3),
    )


def _rows(text: PageText, start: int, others: set[int], style: PaperStyle) -> list[list[int]]:
    """Positions of the caption's lines, top to bottom, each as its pieces from left to right."""
    first = text.lines[start]
    rows = [_row(text.lines, start, others)]
    pitch = _LOOSE_PITCH * first.size
    while True:
        row = _next_row(text, rows, others, pitch, style)
        if not row or others.intersection(row):
            return rows
        step = _baseline(text.lines, row) - _baseline(text.lines, rows[-1])
        pitch = min(pitch, max(step, 1.15 * first.size) + _PITCH_SLACK)
        rows.append(row)


def _next_row(
    text: PageText, rows: Sequence[Sequence[int]], others: Iterable[int], pitch: float, style: PaperStyle
) -> list[int]:
    """The row right below the last of `rows` if it continues the caption that they make; none of their lines again."""
    first, used = text.lines[rows[0][0]], {number for row in rows for number in row}
    box = Box.around(text.lines[number].box for number in used)
    room = _room_below(text.lines, first, rows[-1], box, pitch, style)
    heads = [
        number
        for number, line in enumerate(text.lines)
        if number not in used
        and line.horizontal
        and line.text
        and room.top < line.baseline <= room.bottom
        and room.x0 <= line.box.x0 < box.x1
        and line.box.x1 <= room.x1
        and _is_type_of(line, first)
    ]
    for head in sorted(heads, key=lambda number: text.lines[number].box.x0):
        whole = _with_pieces_before(text.lines, _row(text.lines, head, others), room.x0)
        row = [number for number in whole if number not in used]
        pieces = Box.around(text.lines[number].box for number in row)
        if pieces.x1 <= room.x1 and _is_set_like(pieces, box, text.lines, row, rows[-1]):
            return row
    return []


def _room_below(
    lines: Sequence[Line], first: Line, last_row: Sequence[int], box: Box, pitch: float, style: PaperStyle
) -> Box:
    """Where the next row may stand, by its ends and its baseline: a centred one may begin further left."""
    baseline = _baseline(lines, last_row)
    column = style.column_of(box)
    x0 = min(box.x0, column.x0 if column else style.columns[0].x0)
    x1 = max(box.x1 + _RAGGED, column.x1 if column else box.x1)
    return Box(x0 - _ALIGNED, baseline + 0.5 * first.size, x1 + 3, baseline + pitch)


def _is_set_like(pieces: Box, caption: Box, lines: Sequence[Line], row: Sequence[int], last_row: Sequence[int]) -> bool:
    """Return True if a row is left-aligned with the caption, or centred like it."""
    if abs(pieces.x0 - caption.x0) <= _ALIGNED:
        return True
    if abs(_middle(pieces) - _middle(caption)) > _CENTRED:
        return False
    return pieces.x0 > caption.x0 or _was_full(Box.around(lines[number].box for number in last_row), pieces, lines, row)


def _was_full(last: Box, below: Box, lines: Sequence[Line], row: Sequence[int]) -> bool:
    """Return True if the first word of the row below, or a formula before it, had no space in the line above;
    otherwise the break would not be there."""
    words = " ".join(lines[number].text for number in row).strip()
    first = _FIRST_WORD.match(words)
    return first is not None and last.width + len(first[0]) / len(words) * below.width > below.width


def _with_pieces_before(lines: Sequence[Line], row: Sequence[int], left: float) -> list[int]:
    """The row with what stands right before it: large symbols hang so low that they pass for another line, and some
    have no character."""
    head = lines[row[0]]
    taken, x0 = list(row), head.box.x0
    for number, line in sorted(enumerate(lines), key=lambda piece: -piece[1].box.x1):
        middle = (line.box.top + line.box.bottom) / 2
        near = -_ALIGNED <= x0 - line.box.x1 <= _BLANK * head.size and line.box.x0 >= left
        if number not in taken and near and line.box.x0 < x0 and head.box.top <= middle <= head.box.bottom:
            taken.insert(0, number)
            x0 = line.box.x0
    return taken


def _is_type_of(line: Line, first: Line) -> bool:
    return any(abs(span.size - first.size) <= _SAME_SIZE for span in line.spans if span.text.strip())


def _row(lines: Sequence[Line], number: int, others: Iterable[int]) -> list[int]:
    """Positions of the pieces of one printed line, from `lines[number]` to the right, formulas included. Behind a
    blank, what is flush with one of `others`, where other captions start, is theirs."""
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
        if line.box.x0 >= head.box.x0 and gap <= _FRAGMENT_GAP * head.size:
            row.append(other)
            right = max(right, line.box.x1)
    return row


def _shares_baseline(line: Line, head: Line) -> bool:
    """Return True if the line is a piece of the printed line that `head` begins; formulas are slightly off its
    baseline."""
    return line.horizontal and bool(line.text) and -0.8 <= (line.baseline - head.baseline) / head.size <= 0.5


def _baseline(lines: Sequence[Line], row: Sequence[int]) -> float:
    """Return the baseline of the row's longest piece: formulas in it are lower or higher."""
    return max((lines[number] for number in row), key=lambda line: line.box.width).baseline


def _middle(box: Box) -> float:
    return (box.x0 + box.x1) / 2
