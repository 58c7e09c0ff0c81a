"""Sub-figures: the labels "(a)", "(b)" of a figure, where its panels lie, and what is said of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from figtune.figures.caption_parts import caption_parts, is_run, labels_in
from figtune.figures.ink import Ink
from figtune.papers.box import Box
from figtune.papers.page import Line, Word

_MARK = re.compile(r"^[(（]([a-zA-Z])[)）](?=$|[.:,A-Z])")
_BARE_MARK = re.compile(r"^([a-zA-Z])[).]$")
_SPOKEN_OF = re.compile(r"[(（][bB][)）]|^[bB][).]\s")
_SAME_ROW = 6.0  # points by which the labels of one row of panels may differ
_BLANK = 0.8  # of a word's height: a wider gap ends a sub-caption
_FEW = 1.5  # of a label's height: less than this over the labels or below them is no panel
_FLUSH = 1.5  # points by which lines of a sub-caption may begin further left or right
_CLOSE = 12.0  # points below a sub-caption within which the next row begins
_STRIP = 0.4  # of a row's height: more than this below the last labels is no part of their panels


@dataclass(frozen=True, slots=True)
class FoundPanel:
    """One sub-figure."""

    label: str
    """"a", "b", ... without brackets."""
    box: Box | None
    """With its label and sub-caption, in points; None where its label was not found in the region."""
    caption: str
    """The part of the figure's caption that speaks of it, or else its sub-caption inside the region."""


@dataclass(frozen=True, slots=True)
class _SubCaption:
    """A label and the words behind it."""

    mark: Box
    box: Box
    text: str


@dataclass(frozen=True, slots=True)
class _Row:
    """Panels whose labels stand at the same height."""

    labels: tuple[str, ...]
    """From left to right."""
    box: Box
    """Around their sub-captions."""


def may_have_panels(caption: str, region: Box, lines: Sequence[Line]) -> bool:
    """Whether anything speaks for panels: cheaper than `find_panels`, which needs the words of a page."""
    return bool(labels_in(caption)) or any(_SPOKEN_OF.search(line.text) and _holds(region, line.box) for line in lines)


def find_panels(caption: str, region: Box, words: Sequence[Word], ink: Ink) -> tuple[FoundPanel, ...]:
    """The panels of a figure by the labels in its caption, or by those in the region if the caption has none.

    Args:
        caption: of the figure.
        region: of the figure, in points.
        words: of the page.
        ink: of the page.
    """
    inside = [word for word in words if _holds(region, word.box)]
    labels, marks = _labels(labels_in(caption), inside)
    if len(labels) < 2:
        return ()
    parts = caption_parts(caption)
    found = {label: _sub_caption(mark, marks.values(), inside) for label, mark in marks.items() if label in labels}
    boxes = _panel_boxes(found, region, ink)
    return tuple(
        FoundPanel(label, boxes.get(label), parts.get(label) or (found[label].text if label in found else ""))
        for label in sorted(labels)
    )


def _holds(region: Box, box: Box) -> bool:
    """Whether the middle of `box` lies in `region`: boxes of words are higher than their ink."""
    x, y = (box.x0 + box.x1) / 2, (box.top + box.bottom) / 2
    return region.x0 <= x <= region.x1 and region.top <= y <= region.bottom


def _labels(spoken_of: Sequence[str], words: Sequence[Word]) -> tuple[Sequence[str], dict[str, Box]]:
    """The figure's labels and where they stand. Without brackets they count only if the caption speaks of them."""
    marks = _marks(_MARK, words)
    if not spoken_of:
        return (sorted(marks) if is_run(sorted(marks)) else []), marks
    bare = _marks(_BARE_MARK, words)
    return spoken_of, bare if len(_known(spoken_of, bare)) > len(_known(spoken_of, marks)) else marks


def _marks(pattern: re.Pattern[str], words: Iterable[Word]) -> dict[str, Box]:
    """The first word of each label."""
    marks: dict[str, Box] = {}
    for word in words:
        if match := pattern.match(word.text):
            marks.setdefault(match[1], word.box)
    return marks


def _known(labels: Sequence[str], marks: Mapping[str, Box]) -> set[str]:
    return set(labels) & set(marks)


def _sub_caption(mark: Box, marks: Iterable[Box], words: Sequence[Word]) -> _SubCaption:
    """The label and the words that follow it on its line without a wide gap, up to the next label, and those of further
    lines right below, in the same type and under the middle of the first."""
    others = set(marks)
    on_line = [word for word in words if abs(word.box.bottom - mark.bottom) <= 0.3 * mark.height]
    box, said = mark, []
    for word in sorted(on_line, key=lambda word: word.box.x0):
        if word.box not in others and -1 <= word.box.x0 - box.x1 <= _BLANK * mark.height:
            box = Box.around([box, word.box])
            said.append(word.text)
    while said and (below := _words_below(box, mark.height, others, words)):
        box = Box.around([box, *(word.box for word in below)])
        said += [word.text for word in below]
    return _SubCaption(mark, box, " ".join(said))


def _words_below(box: Box, height: float, others: set[Box], words: Sequence[Word]) -> list[Word]:
    """The words of the line right below the line that ends `box`, where it is centred under it or flush with it."""
    line = sorted((word for word in words if _goes_on_below(box, height, word.box)), key=lambda word: word.box.x0)
    if not line or not others.isdisjoint(word.box for word in line):
        return []
    if any(right.box.x0 - left.box.x1 > _BLANK * height for left, right in pairwise(line)):
        return []
    ends = Box.around(word.box for word in line)
    centred = abs((ends.x0 + ends.x1) - (box.x0 + box.x1)) / 2 <= height
    return line if centred or abs(ends.x0 - box.x0) <= _FLUSH else []


def _goes_on_below(box: Box, height: float, word: Box) -> bool:
    """Whether a word of the same type stands under `box`, a line further down."""
    same_type = abs(word.height - height) <= 0.15 * height
    near = 0.6 * height <= word.bottom - box.bottom <= 1.5 * height
    return same_type and near and word.x0 < box.x1 + height and word.x1 > box.x0 - height


def _panel_boxes(found: Mapping[str, _SubCaption], region: Box, ink: Ink) -> dict[str, Box]:
    """The region cut between rows of labels, and each row between neighbouring labels."""
    if len(found) < 2:
        return {}
    rows = _rows(found)
    boxes: dict[str, Box] = {}
    for row, band in zip(rows, _bands(rows, region, ink), strict=True):
        boxes.update(_row_boxes(row, found, band, ink))
    return boxes


def _rows(found: Mapping[str, _SubCaption]) -> list[_Row]:
    rows: list[_Row] = []
    for label in sorted(found, key=lambda label: (found[label].mark.top, found[label].mark.x0)):
        box = found[label].box
        if rows and abs(rows[-1].box.top - box.top) <= _SAME_ROW:
            rows[-1] = _Row((*rows[-1].labels, label), Box.around([rows[-1].box, box]))
        else:
            rows.append(_Row((label,), box))
    return [_Row(tuple(sorted(row.labels, key=lambda label: found[label].mark.x0)), row.box) for row in rows]


def _bands(rows: Sequence[_Row], region: Box, ink: Ink) -> list[Box]:
    """How high each row of panels is."""
    cuts = [region.top]
    first, last = rows[0].box, rows[-1].box
    bottom, below = region.bottom, region.bottom - last.bottom
    at_bottom = below <= _FEW * last.height
    if first.top - region.top <= _FEW * first.height:
        for upper, lower in pairwise(rows):
            span = Box(region.x0, upper.box.bottom, region.x1, lower.box.top + 1)
            cuts.append(ink.thinnest(span, vertical=True) if at_bottom else _white_above(span, ink))
    elif at_bottom or _stand_alone(rows, region, ink):
        for upper, lower in pairwise(rows):
            cuts.append(_white_below(Box(region.x0, upper.box.bottom - 1, region.x1, lower.box.top), ink))
        if below > _STRIP * (last.bottom - cuts[-1]):
            bottom = _white_below(Box(region.x0, last.bottom - 1, region.x1, region.bottom), ink)
    else:
        for upper, lower in pairwise(rows):
            cuts.append(ink.thinnest(Box(region.x0, upper.box.bottom, region.x1, lower.box.top), vertical=True))
    return [Box(region.x0, top, region.x1, end) for top, end in pairwise([*cuts, bottom])]


def _stand_alone(rows: Sequence[_Row], region: Box, ink: Ink) -> bool:
    """Whether nothing stands beside the labels: they are below their panels, not in front of them."""
    return all(
        ink.tight(Box(region.x0, row.box.top + 1, row.box.x0 - 2, row.box.bottom - 1)) is None
        and ink.tight(Box(row.box.x1 + 2, row.box.top + 1, region.x1, row.box.bottom - 1)) is None
        for row in rows
    )


def _white_below(span: Box, ink: Ink) -> float:
    """The end of the first white below a sub-caption if that comes soon, else where the sub-caption ends."""
    gaps = ink.gaps(span, vertical=True, width=1.0)
    return gaps[0].end if gaps and gaps[0].start - span.top <= _CLOSE else span.top + 1


def _white_above(span: Box, ink: Ink) -> float:
    """The last white above a sub-caption if there is one near, else where the sub-caption begins."""
    gaps = ink.gaps(span, vertical=True, width=1.0)
    return gaps[-1].end if gaps and span.bottom - gaps[-1].end <= _CLOSE else span.bottom - 1


def _row_boxes(row: _Row, found: Mapping[str, _SubCaption], band: Box, ink: Ink) -> dict[str, Box]:
    edges = [band.x0]
    for left, right in pairwise(row.labels):
        start, end = found[left].box.x1, found[right].mark.x0
        edges.append(ink.thinnest(Box(start, band.top, max(start + 1, end), band.bottom), vertical=False))
    edges.append(band.x1)
    boxes = {}
    for label, (x0, x1) in zip(row.labels, pairwise(edges), strict=True):
        tight = ink.tight(Box(x0, band.top, x1, band.bottom))
        if tight is not None:
            boxes[label] = tight
    return boxes
