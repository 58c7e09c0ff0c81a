"""Rows grown into passages: headings, and paragraphs whole across columns and pages."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from figtune.layout.line_roles import BULLETS
from figtune.layout.style import Column, PaperStyle
from figtune.layout.text_rows import TextRow
from figtune.pdf.text_cleanup import Dehyphenator

Kind = Literal["heading", "paragraph"]

_INDENT = 0.45  # em from the column's edge from which a row is indented
_SHIFT = 0.15  # em by which a row stands off the one above it, where that one ends a paragraph
_DEEPEST_INDENT = 3.5  # em; anything further in is centred
_LOOSE = 1.3  # times the usual pitch: a gap between paragraphs
_SHORT = 1.0  # em by which the last row of a paragraph misses the right edge
_SHORTEST_HEADING = 4  # characters; less is a mark or a number
_LARGER = 0.7  # points above body type: a heading without a number
_SMALLER = 0.75  # points below body type: a note
_WIDER = 1.04  # times the usual pitch: the least that is set before a heading run into its paragraph
_BULLET = re.compile(rf"^(?:[{BULLETS}]|(?:[∗–]|\(?(?:[ivx]{{1,4}}|[a-z]|\d{{1,2}})\)|\d{{1,2}}\.)\s)")
_NUMBERED = re.compile(r"^(?:\d{1,2}(?:\.\d{1,2})*\.?|[A-Z](?:\.\d{1,2})*\.?|[IVX]+\.)\s+\S")
_UNNUMBERED = re.compile(
    r"^(?:abstract|references|bibliography|acknowledge?ments?|appendix|conclusions?|supplementary.*)[.:]?$",
    re.IGNORECASE,
)
REFERENCES = re.compile(r"^(?:(?:\d+|[IVX]+)\.?\s+)?(?:references|bibliography)\.?$", re.IGNORECASE)
"""The heading above the list of references."""
_THANKS = re.compile(r"^(acknowledge?ments?\W?)\s+", re.IGNORECASE)
"""A heading that makes a section even where it is run into its paragraph."""
_BROKEN = re.compile(r"[^\W\d_]-$")
_OPEN = (",", "=", "(")  # what no paragraph ends with
_ENDED = re.compile(r"[.!?:;][\"'”’)\]]*$")


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A heading or a paragraph."""

    kind: Kind
    page_index: int
    """Page and place where it starts."""
    text: str
    """Displayed formulas stand on lines of their own, and so does a heading run into a paragraph."""
    rows: tuple[TextRow, ...]
    """Rows of the block; kept for references only, which are split by them."""
    bold: bool = False
    """True if all of its rows are bold."""


def text_blocks(rows: Iterable[TextRow], style: PaperStyle, dehyphenator: Dehyphenator) -> tuple[TextBlock, ...]:
    """The passages of a paper in reading order, without its footnotes.

    Args:
        style: of the paper.
        dehyphenator: of the paper, to undo hyphens.
    """
    size, pitch = style.size, style.pitch * style.size
    found: list[TextBlock] = []
    in_references = False
    for kind, members in _runs(_without_notes(rows, size), size, pitch):
        text = _text(kind, members, dehyphenator)
        if kind == "heading":
            in_references = REFERENCES.match(text) is not None
        page_index = members[0].page_index
        thanks = _THANKS.match(text) if kind == "paragraph" and members[0].starts_bold else None
        if thanks:
            found.append(TextBlock("heading", page_index, thanks[1], ()))
            text, in_references = text[thanks.end() :], False
        rows_kept = tuple(members) if in_references else ()
        found.append(TextBlock(kind, page_index, text, rows_kept, all(row.bold for row in members)))
    return tuple(found)


def _text(kind: Kind, rows: Sequence[TextRow], dehyphenator: Dehyphenator) -> str:
    if kind == "heading":
        return dehyphenator.join([row.text for row in rows])
    parts = [list(part) for _, part in groupby(rows, key=lambda row: row.formula)]
    text = "\n".join([dehyphenator.join([row.text for row in part]) for part in parts])
    head = " ".join(rows[0].text[: rows[0].run_in_heading_length].split())
    if head and text.startswith(f"{head} "):
        return f"{head}\n{text[len(head) + 1 :]}"
    return text


def _without_notes(rows: Iterable[TextRow], size: float) -> Iterator[tuple[TextRow, Kind]]:
    """Rows and what each is. Notes are small and stand below everything else of their column."""
    in_references = False
    for _, page in groupby(rows, key=lambda row: row.page_index):
        members = list(page)
        lowest = _lowest_body(members, size)
        for row in members:
            if _looks_like_heading(row, size):
                in_references = REFERENCES.match(row.text) is not None
                yield row, "heading"
            # References are small throughout.
            elif (
                in_references or not _is_small(row, size) or row.formula or row.baseline <= _lowest_beside(row, lowest)
            ):
                yield row, "paragraph"


def _lowest_body(rows: Iterable[TextRow], size: float) -> dict[Column, float]:
    """The lowest baseline of body type in each column of a page. Acknowledgements may be small: they have a head."""
    lowest: dict[Column, float] = defaultdict(float)
    below_head: dict[Column, float] = {}
    for row in rows:
        if _is_small(row, size) and row.has_run_in_heading:
            below_head[row.column] = row.size
        if not _is_small(row, size) or row.size == below_head.get(row.column):
            lowest[row.column] = max(row.baseline, lowest[row.column])
    return lowest


def _lowest_beside(row: TextRow, lowest: Mapping[Column, float]) -> float:
    """Return the lowest baseline of body type in the columns that a row stands in: an abstract may stand across."""
    own = row.column
    return max((value for column, value in lowest.items() if column.x0 < own.x1 and own.x0 < column.x1), default=0.0)


def _is_small(row: TextRow, size: float) -> bool:
    return row.size < size - _SMALLER


def _runs(rows: Iterable[tuple[TextRow, Kind]], size: float, pitch: float) -> Iterator[tuple[Kind, list[TextRow]]]:
    """Rows that make one passage each."""
    open_kind: Kind = "paragraph"
    open_rows: list[TextRow] = []
    for row, kind in rows:
        if open_rows and kind == open_kind and _continues(kind, open_rows, row, size, pitch):
            open_rows.append(row)
            continue
        if open_rows:
            yield open_kind, open_rows
        open_kind, open_rows = kind, [row]
    if open_rows:
        yield open_kind, open_rows


def _looks_like_heading(row: TextRow, size: float) -> bool:
    if row.set_off:
        return True
    larger = row.size >= size + _LARGER
    small = row.size < size - 0.3 and not row.heading
    if row.formula or not (row.bold or larger) or small or len(row.text) < _SHORTEST_HEADING:
        return False
    return larger or row.heading or bool(_UNNUMBERED.match(row.text) or _NUMBERED.match(row.text))


def _continues(kind: Kind, open_rows: Sequence[TextRow], row: TextRow, size: float, pitch: float) -> bool:
    last = open_rows[-1]
    if kind == "heading":
        close = 0 < row.baseline - last.baseline <= 1.6 * row.size
        return _same_place(last, row) and close and abs(row.size - last.size) < 0.3 and not _NUMBERED.match(row.text)
    if row.formula or (_is_small(row, size) and not row.has_run_in_heading) or _continues_text(last.text, row.text):
        return True
    if row.starts_bold and (last.formula or _ENDED.search(last.text)):
        if _begins_under_head(last, row, size, pitch):
            return False
        if not last.formula and row.text[0].isupper() and _flush(row, size):
            return True
    if _BULLET.match(row.text) and _begins_item(last, row, size, pitch):
        return False
    if last.formula:
        return _same_margin(open_rows, row, size)
    if _same_place(last, row):
        return _continues_below(open_rows, row, size, pitch)
    return _continues_elsewhere(open_rows, row, size)


def _begins_under_head(last: TextRow, row: TextRow, size: float, pitch: float) -> bool:
    """Return True if bold words after a sentence or formula are a heading run into a new paragraph, rather than a
    name."""
    if row.has_run_in_heading:
        return True
    if not (row.text[0].isupper() and _flush(row, size)):
        return False
    if row.run_in_heading_length or (row.bold and row.text.endswith((".", ":"))):
        return True
    if last.formula:
        return False
    return _ends_short(last, size) or not _same_place(last, row) or row.baseline - last.baseline > _WIDER * pitch


def _continues_text(before: str, after: str) -> bool:
    """Return True if the words alone show that two rows belong together, however far a formula stretches the gap."""
    if _BROKEN.search(before) and after[0].isalpha():
        return True
    if _BULLET.match(after):
        return False
    return before.endswith(_OPEN) or (after[0].islower() and not _ENDED.search(before))


def _same_margin(open_rows: Sequence[TextRow], row: TextRow, size: float) -> bool:
    """Return True if a row below a formula has the margin of the text above the formula, rather than a new indent."""
    if _flush(row, size):
        return True
    text = next((before for before in reversed(open_rows[1:]) if not before.formula), None)
    return text is not None and abs(_inset(text) - _inset(row)) <= _INDENT * size


def _continues_below(open_rows: Sequence[TextRow], row: TextRow, size: float, pitch: float) -> bool:
    """Return True if a row continues the paragraph above it in the same column."""
    last = open_rows[-1]
    if row.baseline - last.baseline > _LOOSE * pitch:
        return False
    step = row.box.x0 - last.box.x0
    if _ENDED.search(last.text) and _ends_short(last, size) and abs(step) > _SHIFT * size:
        return False
    if abs(step) <= _INDENT * size or _inset(row) > _DEEPEST_INDENT * size:
        return True
    if step > 0:
        return _is_item(open_rows) and len(open_rows) == 1
    return len(open_rows) == 1 or _flush(last, size)


def _continues_elsewhere(open_rows: Sequence[TextRow], row: TextRow, size: float) -> bool:
    """Return True if the first row of a column continues the last paragraph of the column before it."""
    last = open_rows[-1]
    if _ENDED.search(last.text) and _ends_short(last, size):
        return False
    if _flush(row, size):
        return True
    if _is_item(open_rows) and len(open_rows) == 1:
        return _inset(row) > _inset(last)
    return len(open_rows) > 1 and not _flush(last, size) and abs(_inset(last) - _inset(row)) <= _INDENT * size


def _is_item(open_rows: Sequence[TextRow]) -> bool:
    return _BULLET.match(open_rows[0].text) is not None


def _begins_item(last: TextRow, row: TextRow, size: float, pitch: float) -> bool:
    """Return True if a bullet or number at the start of a row makes it a list item, unlike "(3)" within a sentence."""
    if row.text[0] in BULLETS or _ends_short(last, size):
        return True
    apart = not _same_place(last, row) or row.baseline - last.baseline > _WIDER * pitch or not _flush(row, size)
    return apart and _ENDED.search(last.text) is not None


def _same_place(before: TextRow, after: TextRow) -> bool:
    return before.page_index == after.page_index and before.column == after.column


def _inset(row: TextRow) -> float:
    """Points from the column's left edge."""
    return row.box.x0 - row.column.x0


def _flush(row: TextRow, size: float) -> bool:
    return _inset(row) <= _INDENT * size


def _ends_short(row: TextRow, size: float) -> bool:
    return row.column.x1 - row.box.x1 > _SHORT * size
