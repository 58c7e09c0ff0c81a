"""Sub-figures: the labels "(a)", "(b)" that a caption speaks of, what it says of each, and where they lie."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from figtune.figures.ink import Ink
from figtune.papers.box import Box
from figtune.papers.page import Word

_LABEL = re.compile(r"(?<![\w(])\(([a-z])\)(?!\w)")
_WORD_LABEL = re.compile(r"^\(?([a-z])\)[.:,]?$")
_SAME_ROW = 6.0  # points by which the labels of one row of panels may differ
_WHITE = 2.0  # points of white between panels


@dataclass(frozen=True, slots=True)
class FoundPanel:
    """One sub-figure."""

    label: str
    """"a", "b", ... without brackets."""
    box: Box | None
    """With its label and sub-caption, in points; None where its label was not found in the region."""
    caption: str
    """The part of the figure's caption that speaks of it, or else its sub-caption inside the region."""


def labels_in(caption: str) -> list[str]:
    """The labels a caption speaks of, if they run a, b, c, ... and there are at least two; else nothing."""
    seen = list(dict.fromkeys(_LABEL.findall(caption)))
    expected = [chr(ord("a") + number) for number in range(len(seen))]
    return seen if len(seen) >= 2 and sorted(seen) == expected else []


def find_panels(caption: str, region: Box, words: Sequence[Word], ink: Ink) -> tuple[FoundPanel, ...]:
    """The panels of a figure by the labels in its caption, or by those in the region if the caption has none.

    Args:
        caption: of the figure.
        region: of the figure, in points.
        words: of the page.
        ink: of the page.
    """
    inside = [word for word in words if region.contains(word.box, 2)]
    marks = _marks(inside)
    labels = labels_in(caption) or _run(marks)
    if len(labels) < 2:
        return ()
    parts = _caption_parts(caption)
    boxes = _panel_boxes({label: marks[label] for label in labels if label in marks}, region, ink)
    return tuple(
        FoundPanel(label, boxes.get(label), parts.get(label) or _sub_caption(label, marks, inside, boxes))
        for label in sorted(labels)
    )


def _marks(words: Iterable[Word]) -> dict[str, Box]:
    """The first word of each label inside the region, with brackets."""
    marks: dict[str, Box] = {}
    for word in words:
        if (match := _WORD_LABEL.match(word.text)) and match[1] not in marks and word.text.startswith("("):
            marks[match[1]] = word.box
    return marks


def _run(marks: dict[str, Box]) -> list[str]:
    labels = sorted(marks)
    return labels if labels == [chr(ord("a") + number) for number in range(len(labels))] else []


def _caption_parts(caption: str) -> dict[str, str]:
    """For each label, the text from it to the next label, or to the end of the sentence for the last one."""
    matches = list(_LABEL.finditer(caption))
    parts: dict[str, str] = {}
    for number, match in enumerate(matches):
        end = matches[number + 1].start() if number + 1 < len(matches) else len(caption)
        text = caption[match.end() : end].strip(" ,;:.")
        if number + 1 == len(matches):
            text = re.split(r"(?<=[a-z)])\. (?=[A-Z])", text)[0]
        text = re.sub(r"\s*(?:,|;)?\s*(?:and|while|,)$", "", text).strip(" ,;:.")
        if text and match[1] not in parts:
            parts[match[1]] = text
    return parts


def _sub_caption(label: str, marks: dict[str, Box], words: Sequence[Word], boxes: dict[str, Box]) -> str:
    """What stands behind the label on its line inside the region."""
    mark, box = marks.get(label), boxes.get(label)
    if mark is None or box is None:
        return ""
    behind = [
        word
        for word in words
        if word.box.x0 >= mark.x1 - 1 and abs(word.box.bottom - mark.bottom) <= 3 and box.contains(word.box, 2)
    ]
    return " ".join(word.text for word in sorted(behind, key=lambda word: word.box.x0))


def _panel_boxes(marks: dict[str, Box], region: Box, ink: Ink) -> dict[str, Box]:
    """The region cut between rows of labels, and each row at the widest white between neighbouring labels."""
    if len(marks) < 2:
        return {}
    rows = _label_rows(marks)
    below = rows[-1][1].bottom - region.top > 0.5 * region.height and _stand_below(rows, region)
    boxes: dict[str, Box] = {}
    for number, (labels, band) in enumerate(rows):
        if below:
            top = region.top if number == 0 else _white_row(rows[number - 1][1].bottom, band.top, region, ink)
            bottom = (
                region.bottom
                if number + 1 == len(rows)
                else _white_row(band.bottom, rows[number + 1][1].top, region, ink, first=True)
            )
        else:
            top = region.top if number == 0 else band.top
            bottom = region.bottom if number + 1 == len(rows) else rows[number + 1][1].top
        boxes.update(_row_boxes(labels, marks, Box(region.x0, top, region.x1, bottom), ink))
    return boxes


def _label_rows(marks: dict[str, Box]) -> list[tuple[list[str], Box]]:
    rows: list[tuple[list[str], Box]] = []
    for label in sorted(marks, key=lambda label: (marks[label].top, marks[label].x0)):
        mark = marks[label]
        if rows and abs(rows[-1][1].top - mark.top) <= _SAME_ROW:
            rows[-1] = ([*rows[-1][0], label], Box.around([rows[-1][1], mark]))
        else:
            rows.append(([label], mark))
    return rows


def _stand_below(rows: Sequence[tuple[list[str], Box]], region: Box) -> bool:
    """Whether labels stand below their panels: the last row is nearer to the bottom than the first to the top."""
    return region.bottom - rows[-1][1].bottom < rows[0][1].top - region.top


def _white_row(start: float, end: float, region: Box, ink: Ink, *, first: bool = False) -> float:
    """Where to cut between two rows of panels: at the first white below the upper row's labels."""
    gaps = ink.gaps(Box(region.x0, start - 2, region.x1, end), vertical=True, width=_WHITE)
    return gaps[0].start if gaps and first else gaps[0].end if gaps else start


def _row_boxes(labels: Sequence[str], marks: dict[str, Box], row: Box, ink: Ink) -> dict[str, Box]:
    ordered = sorted(labels, key=lambda label: marks[label].x0)
    edges = [row.x0]
    for left, right in pairwise(ordered):
        start, end = marks[left].x1, marks[right].x0
        gaps = ink.gaps(Box(start - 1, row.top, end + 1, row.bottom), vertical=False, width=_WHITE)
        widest = max(gaps, key=lambda gap: gap.width, default=None)
        edges.append((widest.start + widest.end) / 2 if widest else (start + end) / 2)
    edges.append(row.x1)
    boxes = {}
    for number, label in enumerate(ordered):
        tight = ink.tight(Box(edges[number], row.top, edges[number + 1], row.bottom))
        if tight is not None:
            boxes[label] = tight
    return boxes
