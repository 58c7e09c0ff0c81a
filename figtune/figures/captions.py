"""Captions found in the text layer: where they start, how far they go, what they say.

The layer's own blocks are no help: they merge a caption with figure text or body text, and a formula splits one
caption over two blocks. So a caption grows line by line from its label, as long as type, place and pitch agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from figtune.extraction.records import FigureType
from figtune.figures.caption_rows import CaptionPlace, caption_rows
from figtune.figures.caption_starts import Start, caption_starts
from figtune.layout.caption_labels import ANY_LABEL, CaptionLabels
from figtune.layout.row_text import RowTextBuilder, note_marks
from figtune.layout.rulers import without_ruler
from figtune.layout.style import PaperStyle
from figtune.pdf.dehyphenation import Dehyphenator
from figtune.pdf.geometry import Box
from figtune.pdf.page import PageText

_SURE = 6.0  # score for full certainty
_START = re.compile(r"^(?P<word>[^\W\d_]{2,20}\.?)\s?(?P<number>\d{1,2}(?:\.\d{1,2})?)\s?(?P<mark>[.:|—–]?)(?=\s|$)")
_FEWEST = 2  # different numbers behind one word
_MOST = 3  # words that are named


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
    """Certainty in [0, 1] that this is a caption and not a sentence that begins with "Figure 3"."""


def find_captions(
    texts: Sequence[PageText],
    style: PaperStyle,
    dehyphenator: Dehyphenator,
    rules_on: Callable[[int], Sequence[Box]],
    labels: CaptionLabels = ANY_LABEL,
) -> tuple[Caption, ...]:
    """All captions of a paper in page order.

    Args:
        texts: of all pages.
        style: of the paper.
        dehyphenator: of the paper.
        rules_on: long horizontal rules of the page at an index; asked only for pages with captions.
        labels: that captions begin with.
    """
    found = caption_starts(texts, style, labels)
    captions: list[Caption] = []
    for page_index in sorted({start.page_index for start in found}):
        text = texts[page_index]
        place = CaptionPlace(without_ruler(text), rules_on(page_index), style.on(page_index))
        starts = [start for start in found if start.page_index == page_index]
        captions.extend(_caption(text, place, start, starts, dehyphenator) for start in starts)
    return tuple(captions)


def _caption(
    text: PageText, place: CaptionPlace, start: Start, starts: Sequence[Start], dehyphenator: Dehyphenator
) -> Caption:
    others = {other.line for other in starts if other.line != start.line}
    label_alone = not start.label.rest.strip() and not start.label.mark
    rows = caption_rows(place, start.line, others, label_alone=label_alone, again=start.again)
    lines = [text.lines[number] for row in rows for number in row]
    row_text = RowTextBuilder(place.style, note_marks(text.lines, place.style))
    return Caption(
        page_index=start.page_index,
        figure_type=start.label.figure_type,
        name=start.label.name,
        text=dehyphenator.join([row_text.join([text.lines[number] for number in row]) for row in rows]),
        box=Box.around(line.box for line in lines),
        lines=tuple(number for row in rows for number in row),
        certainty=round(min(1.0, max(0.0, start.score / _SURE + 0.34)), 3),
    )


def caption_lookalikes(texts: Iterable[PageText]) -> tuple[str, ...]:
    """Return beginnings of lines, "Obrazac 1:" for example, of the words that stand before most different numbers."""
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        for line in text.lines:
            if line.horizontal and (match := _START.match(line.text)):
                found.setdefault(match["word"].casefold(), {}).setdefault(match["number"], match[0].strip())
    counted = [starts for starts in found.values() if len(starts) >= _FEWEST]
    counted.sort(key=lambda starts: -len(starts))
    return tuple(next(iter(starts.values())) for starts in counted[:_MOST])
