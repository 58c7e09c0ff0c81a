"""Grid of a table: its words sorted into rows and columns, where the text layer leaves no doubt.

Rows are baselines of the text. Columns are what the rows of the body leave between gutters that none of their words
crosses. The first rule as wide as the table that has names of columns above it parts header and body. Tables with
merged or wrapped cells in their body have no such grid.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from figtune.extraction.records import TableGrid
from figtune.layout.ruling_lines import is_ruling_line
from figtune.pdf.geometry import Box
from figtune.pdf.index_marks import marked_text
from figtune.pdf.page import Drawing, Line, PageText, Word

_INSIDE = 3.0  # points that a word may reach over the region
_SAME_BASELINE = 0.35  # em
_GUTTER = 0.45
"""Width of a gutter in em, at least: a blank takes 0.25, columns of LaTeX stand 1.2 apart, and tight ones 0.5."""
_NEAR = 1.0
"""Width in em up to which an arrow behind a name belongs to it, though no column is under it."""
_FULL_RULE = 0.85  # of the table's width
_RULE_JOINT = 2.0  # points between the pieces of a rule that is drawn cell by cell
_SAME_RULE = 1.5  # points
_FEWEST_ROWS, _FEWEST_COLUMNS = 2, 2
_FULL_ROW = 0.5  # of the columns have a cell
_NAMED_COLUMNS = 0.5  # have a cell of their own in the header
_LONGEST_CELL = 6  # words; lines of longer ones are wrapped
_RUN_TOGETHER = re.compile(r"(?<!\S)[-−]?\d[\d.,]*%? [-−]?\d[\d.,]*%?(?!\S)")
"""Two numbers with a blank between them: cells of two columns."""
_UNREADABLE = re.compile(r"\ufffd|(?<![\w)\]])[_^]|[_^].*[_^]|\(\s*\)|=.*\(")
"""Formulas, fractions, and signs that are lost."""

_Cell = tuple[str, Box]
_Extent = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A word of a table."""

    text: str
    box: Box
    size: float
    baseline: float


def table_grid(region: Box, words: Iterable[Word], text: PageText, drawings: Iterable[Drawing]) -> TableGrid | None:
    """Return the grid of a table; None where any of it is unsure.

    Args:
        region: of the table, in points.
        words: of the page.
        text: of the page, which the words are of.
        drawings: of the page.
    """
    rows = _rows(_pieces(region, words, text.lines))
    for rule in _full_rules(rows, drawings, region):
        body = [row for row in rows if row[0].baseline > rule]
        columns = _columns(body)
        header = [_blocks(row, columns) for row in rows if row[0].baseline <= rule]
        aligned = [_aligned(row, columns) for row in header]
        own = sum(any(row[place] for row in aligned) for place in range(len(columns)))
        if own >= max(_FEWEST_COLUMNS, _NAMED_COLUMNS * len(columns)):
            cells = tuple(_cells(row, columns) for row in body)
            printed = tuple(map(_printed, header, aligned))
            # A name over nothing is one of a column whose cells are drawn, not written.
            has_all = all(_over(box, columns) for row in header for _, box in row)
            is_sure = has_all and len(body) >= _FEWEST_ROWS and _are_sure(cells) and _are_readable((*printed, *cells))
            return TableGrid(header=printed, columns=_names(aligned, len(columns)), rows=cells) if is_sure else None
    return None


def _pieces(region: Box, words: Iterable[Word], lines: Sequence[Line]) -> list[_Piece]:
    """Return the words of a table, with indices marked; none where a line lies on its side or is not whole."""
    by_line: dict[int, list[Word]] = {}
    for word in words:
        if region.contains(word.box, _INSIDE):
            by_line.setdefault(word.line, []).append(word)
    pieces: list[_Piece] = []
    for place, inside in by_line.items():
        line = lines[place]
        if not line.horizontal or line.incomplete:
            return []
        marked = marked_text(line).split()
        texts = marked if len(marked) == len(inside) else [word.text for word in inside]
        pieces += (_Piece(text, word.box, line.size, line.baseline) for text, word in zip(texts, inside, strict=True))
    return pieces


def _rows(pieces: Iterable[_Piece]) -> list[list[_Piece]]:
    """Return the words of each row from left to right, the upper row first."""
    rows: list[list[_Piece]] = []
    for piece in sorted(pieces, key=lambda piece: piece.baseline):
        if rows and piece.baseline - rows[-1][0].baseline <= _SAME_BASELINE * piece.size:
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return [sorted(row, key=lambda piece: piece.box.x0) for row in rows]


def _full_rules(rows: Sequence[Sequence[_Piece]], drawings: Iterable[Drawing], region: Box) -> list[float]:
    """Return the heights of the rules across the whole table that have rows above and below, the upper one first."""
    if not rows:
        return []
    width = max(row[-1].box.x1 for row in rows) - min(row[0].box.x0 for row in rows)
    around = region.expanded(_INSIDE)
    strokes = [
        drawing.box
        for drawing in drawings
        if drawing.box.height <= drawing.box.width
        and is_ruling_line(drawing)
        and around.overlap(drawing.box.expanded(1)) > 0
    ]
    levels: list[list[Box]] = []
    for box in sorted(strokes, key=lambda box: box.top):
        if levels and box.top - levels[-1][0].top <= _SAME_RULE:
            levels[-1].append(box)
        else:
            levels.append([box])
    heights = [level[0].top for level in levels if _longest(level) >= _FULL_RULE * width]
    return [height for height in heights if rows[0][0].baseline <= height + 1 and height < rows[-1][0].baseline]


def _longest(pieces: Iterable[Box]) -> float:
    """Return the length of the longest stretch that pieces of a rule make together."""
    longest, start, end = 0.0, 0.0, float("-inf")
    for box in sorted(pieces, key=lambda box: box.x0):
        start = box.x0 if box.x0 > end + _RULE_JOINT else start
        end = max(end, box.x1)
        longest = max(longest, end - start)
    return longest


def _columns(body: Iterable[Iterable[_Piece]]) -> list[_Extent]:
    """Return where columns begin and end: the extents of words between gutters."""
    columns: list[_Extent] = []
    for piece in sorted((piece for row in body for piece in row), key=lambda piece: piece.box.x0):
        if columns and piece.box.x0 - columns[-1][1] < _GUTTER * piece.size:
            columns[-1] = columns[-1][0], max(columns[-1][1], piece.box.x1)
        else:
            columns.append((piece.box.x0, piece.box.x1))
    return columns


def _cells(row: Sequence[_Piece], columns: Iterable[_Extent]) -> tuple[str, ...]:
    return tuple(
        " ".join(piece.text for piece in row if start <= (piece.box.x0 + piece.box.x1) / 2 <= end)
        for start, end in columns
    )


def _are_sure(rows: Sequence[Sequence[str]]) -> bool:
    """Return True if each row of a body has a name and enough cells, none of them wrapped or run together."""
    return all(
        row[0]
        and sum(map(bool, row)) >= max(2, _FULL_ROW * len(row))
        and all(len(cell.split()) <= _LONGEST_CELL and not _RUN_TOGETHER.search(cell) for cell in row)
        for row in rows
    )


def _are_readable(rows: Iterable[Iterable[str]]) -> bool:
    return not any(_UNREADABLE.search(cell) for row in rows for cell in row)


def _blocks(row: Sequence[_Piece], columns: Sequence[_Extent]) -> list[_Cell]:
    """Return the cells of a row of the header: words with no more than a blank between them, and those that stand over
    no column with what is before them."""
    cells: list[list[_Piece]] = [[row[0]]]
    for before, piece in pairwise(row):
        gap = (piece.box.x0 - before.box.x1) / piece.size
        if gap >= (_GUTTER if _over(piece.box, columns) else _NEAR):
            cells.append([])
        cells[-1].append(piece)
    return [(" ".join(piece.text for piece in cell), Box.around(piece.box for piece in cell)) for cell in cells]


def _over(box: Box, columns: Sequence[_Extent]) -> list[int]:
    """Return the columns that a cell of the header stands over, at least in part."""
    return [place for place, (start, end) in enumerate(columns) if min(end, box.x1) > max(start, box.x0)]


def _aligned(row: Iterable[_Cell], columns: Sequence[_Extent]) -> list[str | None]:
    """Return the cell over each column; None where it reaches over several."""
    cells: list[str | None] = [""] * len(columns)
    for text, box in row:
        over = _over(box, columns)
        for place in over:
            before = cells[place]
            cells[place] = None if len(over) > 1 or before is None else f"{before} {text}".strip()
    return cells


def _printed(row: Iterable[_Cell], aligned: Sequence[str | None]) -> tuple[str, ...]:
    """Return the cells of a row of the header: one for each column, or as printed where some are merged or missing."""
    whole = tuple(cell or "" for cell in aligned)
    return whole if all(whole[1:]) else tuple(text for text, _ in row)


def _names(header: Sequence[Sequence[str | None]], count: int) -> tuple[str, ...]:
    """Return the name of each column: its lowest cell, where the ones above are merged or empty."""
    names = []
    for place in range(count):
        cells = [row[place] for row in header if row[place] != ""]
        is_sure = bool(cells) and not any(cells[:-1])
        names.append(cells[-1] or "" if is_sure else "")
    return tuple(name if names.count(name) == 1 else "" for name in names)
