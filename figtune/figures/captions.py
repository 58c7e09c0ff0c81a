"""Captions found in the text layer: where they start, told from sentences that begin with
"Figure 3", how far they go, what they say.

The layer's own blocks are no help: they merge a caption with figure text or body text, and a formula splits one
caption over two blocks. So a caption grows line by line from its label, as long as type, place and pitch agree.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from figtune.extraction.records import FigureType
from figtune.figures.caption_rows import CaptionPlace, caption_rows, row_at
from figtune.layout.caption_labels import ANY_LABEL, CaptionLabels, Label
from figtune.layout.running_lines import without_ruler
from figtune.layout.style import PaperStyle, font_family, is_prose
from figtune.layout.text_rows import RowTextBuilder, note_marks
from figtune.pdf.geometry import Box
from figtune.pdf.page import Line, PageText
from figtune.pdf.text_cleanup import Dehyphenator

_AGREES, _OTHER_MARK, _NO_MARK = 2.0, 0.0, -2.0  # score for the paper's usual mark, for another one, for none
_NO_DOUBT = 4.0  # score from which a second caption with the same label is one
_MARKED = 3.0  # the same behind the usual mark, where there is one

_GOES_ON = frozenset(")],;")  # what no caption begins with: "(see Fig. 3), where"

CaptionType = tuple[str, float]
"""Family and size in points of the type in which captions begin."""

_SURE = 6.0  # score for full certainty
_START = re.compile(r"^(?P<word>[^\W\d_]{2,20}\.?)\s?(?P<number>\d{1,2}(?:\.\d{1,2})?)\s?(?P<mark>[.:|—–]?)(?=\s|$)")
_FEWEST = 2  # different numbers behind one word
_MOST = 3  # words that are named


@dataclass(frozen=True, slots=True)
class Start:
    """A line that may open a caption."""

    page_index: int
    line: int
    label: Label
    type: CaptionType
    score: float
    again: tuple[int, ...] = ()
    """Lines of the page with the same label in another language: the same caption, if right below."""

    @property
    def key(self) -> tuple[str, str]:
        """Type and name of the figure."""
        return self.label.figure_type, self.label.name


def caption_starts(texts: Sequence[PageText], style: PaperStyle, labels: CaptionLabels) -> list[Start]:
    """Return where the captions of a paper start, in page order. Of several candidates for one label the most
    convincing counts, and on other pages those that leave no doubt: an appendix may number anew."""
    candidates = [start for text in texts for start in _candidates(text, style.on(text.index), labels)]
    types = {start.type for start in candidates if start.score > 0 and start.label.mark and is_prose(start.label.rest)}
    spoken = [
        start if start.score > 0 or start.type not in types else replace(start, score=start.score + 1.0)
        for start in candidates
    ]
    marks = _usual_marks(spoken)
    by_label: dict[tuple[str, str], list[Start]] = {}
    for candidate in spoken:
        start = replace(candidate, score=candidate.score + _mark_score(candidate, marks, types))
        if start.score > 0:
            by_label.setdefault(start.key, []).append(start)
    found = [start for rivals in by_label.values() for start in _convincing_ones(rivals, marks)]
    places: dict[tuple[tuple[str, str], int], list[Start]] = {}
    for start in candidates:
        places.setdefault((start.key, start.page_index), []).append(start)
    told = [replace(start, again=_in_other_words(start, places[start.key, start.page_index])) for start in found]
    return sorted(told, key=lambda start: (start.page_index, start.line))


def _in_other_words(start: Start, others: Sequence[Start]) -> tuple[int, ...]:
    first = start.label.word[0].casefold()
    return tuple(other.line for other in others if other.label.word[0].casefold() != first)


def _mark_score(start: Start, marks: dict[str, str], types: set[CaptionType]) -> float:
    label = start.label
    if label.mark == marks.get(label.figure_type, ""):
        return _AGREES
    alone = not label.rest.strip() and start.type in types
    return _OTHER_MARK if label.mark or alone else _NO_MARK


def _convincing_ones(rivals: Sequence[Start], marks: dict[str, str]) -> list[Start]:
    best = max(rivals, key=lambda start: start.score)
    others = (start for start in rivals if start.page_index != best.page_index and _leaves_no_doubt(start, marks))
    first_on_page = {start.page_index: start for start in reversed(list(others))}
    return [best, *first_on_page.values()]


def _leaves_no_doubt(start: Start, marks: dict[str, str]) -> bool:
    mark = start.label.mark
    return start.score >= (_MARKED if mark and mark == marks.get(start.label.figure_type) else _NO_DOUBT)


def _candidates(text: PageText, style: PaperStyle, labels: CaptionLabels) -> Iterator[Start]:
    if not any(line.horizontal and labels.may_begin(line.text) for line in text.lines):
        return
    lines = without_ruler(text)
    for number, line in enumerate(lines):
        if line.horizontal and labels.may_begin(line.text):
            words = " ".join(lines[piece].text for piece in row_at(lines, number, (), style.columns))
            label = labels.label_of(words)
            if label is not None:
                first = line.spans[0]
                score = _convincing(lines, number, label.rest, style)
                yield Start(text.index, number, label, (font_family(first.font), round(first.size, 1)), score)


def _convincing(lines: Sequence[Line], number: int, rest: str, style: PaperStyle) -> float:
    """Score a caption here by its type and place; the mark after the label is judged for the whole paper."""
    line = lines[number]
    score = 1.0
    if abs(line.size - style.size) > 0.3 and style.is_body_font(line):
        score += 1.0
    if line.spans[0].bold and not (line.bold and len(line.spans) == 1 and rest.strip()):
        score += 1.0
    if _continues_a_paragraph(lines, line, style):
        score -= 4.0
    if rest.lstrip()[:1] in _GOES_ON and rest.strip():
        score -= 4.0
    if rest[:1] == " " and rest.strip()[:1].islower():
        score -= 1.0
    if not style.is_body_font(line) and not is_prose(line.text):
        score -= 1.0
    return score


def _continues_a_paragraph(lines: Sequence[Line], line: Line, style: PaperStyle) -> bool:
    """Tell if a full line of the same type stands right above."""
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


def _usual_marks(starts: Sequence[Start]) -> dict[str, str]:
    """Return the mark after "Figure 3" and "Table 3" in this paper: the most frequent one of convincing starts.
    "Table 3 shows" tells nothing: where captions have the body's type, there are as many such sentences."""
    marks: dict[str, Counter[str]] = {}
    for start in starts:
        label = start.label
        if start.score > 0 and (label.mark or not label.rest.strip()[:1].islower()):
            marks.setdefault(start.label.figure_type, Counter())[start.label.mark] += 1
    return {kind: max(counts, key=lambda mark: (counts[mark], mark)) for kind, counts in marks.items()}


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
    """Return all captions of a paper in page order.

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
