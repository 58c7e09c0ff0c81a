"""Text of a printed row: its pieces joined, without footnote marks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from figtune.layout.style import PaperStyle, font_family
from figtune.pdf.page import Line, Span

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
