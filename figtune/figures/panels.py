"""Sub-figures: the labels "(a)", "(b)" of a figure, the boxes of its panels between them, and what is said of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from figtune.figures.foreground_mask import ForegroundMask
from figtune.figures.subcaptions import is_run, labels_in, subcaptions
from figtune.pdf.geometry import Box
from figtune.pdf.page import Line, Word
from figtune.pdf.text_cleanup import Dehyphenator

_SAME_ROW = 6.0  # points by which the labels of one row of panels may differ
_FEW = 1.5  # of a label's height: less than this over the labels or below them is no panel
_CLOSE = 12.0  # points below a sub-caption within which the next row begins
_GUTTER = 2.0  # points: no narrower white separates panels
_APART = 1.0  # points of white on either side of a divider
_RULE, _ALONG = 3.0, 0.8  # points across a divider at most, and the share of a panel's height that it runs along
_STRIP = 0.4  # of a row's height: more than this below the last labels is no part of their panels

_MARK = re.compile(r"^[(（]([a-zA-Z])[)）](?=$|[.:,A-Z])")
_BARE_MARK = re.compile(r"^([a-zA-Z])[).]$")
_SPOKEN_OF = re.compile(r"[(（][bB][)）]|^[bB][).]\s")
_BLANK = 0.8  # of a word's height: a wider gap ends a sub-caption
_FLUSH = 1.5  # points by which lines of a sub-caption may begin further left or right


@dataclass(frozen=True, slots=True)
class SubCaption:
    """A label in a figure and the words behind it."""

    mark: Box
    """Around the label."""
    box: Box
    """Around the label and the words."""
    text: str
    """The words."""


@dataclass(frozen=True, slots=True)
class _PanelRow:
    """Panels whose labels stand at the same height."""

    labels: tuple[str, ...]
    """Labels from left to right."""
    box: Box
    """Around their sub-captions."""


def panel_boxes(found: Mapping[str, SubCaption], region: Box, foreground: ForegroundMask) -> dict[str, Box]:
    """Return the region cut between rows of labels, and each row between neighbouring labels. Where rows hold different
    numbers of panels, one panel may be as high as two: there a gutter from top to bottom comes first."""
    if len(found) < 2:
        return {}
    rows = _rows(found)
    gutter = _gutter(found, region, foreground) if len({len(row.labels) for row in rows}) > 1 else None
    boxes: dict[str, Box] = {}
    if gutter is not None:
        for x0, x1 in ((region.x0, gutter), (gutter, region.x1)):
            side = {label: words for label, words in found.items() if x0 <= words.mark.x0 < x1}
            part = foreground.bounding_box(Box(x0, region.top, x1, region.bottom)) or region
            boxes.update(panel_boxes(side, part, foreground) or dict.fromkeys(side, part))
        return boxes
    for row, band in zip(rows, _bands(rows, region, foreground), strict=True):
        boxes.update(_row_boxes(row, found, band, foreground))
    return boxes


def _gutter(found: Mapping[str, SubCaption], region: Box, foreground: ForegroundMask) -> float | None:
    """Return the middle of the widest white from top to bottom with labels on either side."""
    gaps = [
        gap
        for gap in foreground.gaps(region, vertical=False, width=_GUTTER)
        if {words.mark.x0 < gap.start for words in found.values()} == {True, False}
    ]
    widest = max(gaps, key=lambda gap: gap.width, default=None)
    return None if widest is None else (widest.start + widest.end) / 2


def _rows(found: Mapping[str, SubCaption]) -> list[_PanelRow]:
    rows: list[_PanelRow] = []
    for label in sorted(found, key=lambda label: (found[label].mark.top, found[label].mark.x0)):
        box = found[label].box
        if rows and abs(rows[-1].box.top - box.top) <= _SAME_ROW:
            rows[-1] = _PanelRow((*rows[-1].labels, label), Box.around([rows[-1].box, box]))
        else:
            rows.append(_PanelRow((label,), box))
    return [_PanelRow(tuple(sorted(row.labels, key=lambda label: found[label].mark.x0)), row.box) for row in rows]


def _bands(rows: Sequence[_PanelRow], region: Box, foreground: ForegroundMask) -> list[Box]:
    """Return the vertical band of each row of panels."""
    cuts = [region.top]
    first, last = rows[0].box, rows[-1].box
    bottom, below = region.bottom, region.bottom - last.bottom
    at_bottom = below <= _FEW * last.height
    if first.top - region.top <= _FEW * first.height:
        for upper, lower in pairwise(rows):
            span = Box(region.x0, upper.box.bottom, region.x1, lower.box.top + 1)
            cuts.append(foreground.min_gap(span, vertical=True) if at_bottom else _white_above(span, foreground))
    elif at_bottom or _stand_alone(rows, region, foreground):
        for upper, lower in pairwise(rows):
            cuts.append(_white_below(Box(region.x0, upper.box.bottom - 1, region.x1, lower.box.top), foreground))
        if below > _STRIP * (last.bottom - cuts[-1]):
            bottom = _white_below(Box(region.x0, last.bottom - 1, region.x1, region.bottom), foreground)
    else:
        for upper, lower in pairwise(rows):
            cuts.append(foreground.min_gap(Box(region.x0, upper.box.bottom, region.x1, lower.box.top), vertical=True))
    return [Box(region.x0, top, region.x1, end) for top, end in pairwise([*cuts, bottom])]


def _stand_alone(rows: Sequence[_PanelRow], region: Box, foreground: ForegroundMask) -> bool:
    """Return True if nothing lies beside the labels: they are below their panels, not in front of them."""
    return all(
        foreground.bounding_box(Box(region.x0, row.box.top + 1, row.box.x0 - 2, row.box.bottom - 1)) is None
        and foreground.bounding_box(Box(row.box.x1 + 2, row.box.top + 1, region.x1, row.box.bottom - 1)) is None
        for row in rows
    )


def _white_below(span: Box, foreground: ForegroundMask) -> float:
    """Return the end of the first white below a sub-caption if that comes soon, else where the sub-caption ends."""
    gaps = foreground.gaps(span, vertical=True, width=1.0)
    return gaps[0].end if gaps and gaps[0].start - span.top <= _CLOSE else span.top + 1


def _white_above(span: Box, foreground: ForegroundMask) -> float:
    """Return the last white above a sub-caption if there is one near, else where the sub-caption begins."""
    gaps = foreground.gaps(span, vertical=True, width=1.0)
    return gaps[-1].end if gaps and span.bottom - gaps[-1].end <= _CLOSE else span.bottom - 1


def _row_boxes(
    row: _PanelRow, found: Mapping[str, SubCaption], band: Box, foreground: ForegroundMask
) -> dict[str, Box]:
    edges = [band.x0]
    for left, right in pairwise(row.labels):
        start, end = found[left].box.x1, found[right].mark.x0
        edges.append(foreground.min_gap(Box(start, band.top, max(start + 1, end), band.bottom), vertical=False))
    edges.append(band.x1)
    boxes = {}
    for label, (x0, x1) in zip(row.labels, pairwise(edges), strict=True):
        tight = foreground.bounding_box(Box(x0, band.top, x1, band.bottom))
        if tight is not None:
            boxes[label] = _without_dividers(tight, foreground)
    return boxes


def divided_boxes(labels: Sequence[str], region: Box, foreground: ForegroundMask) -> dict[str, Box]:
    """Return the region cut at rules from top to bottom, where there are as many of them as panels side by side need:
    their labels may be pixels. Empty where there are not."""
    sides: list[list[Box]] = [[]]
    for piece in _pieces(region, foreground):
        if _is_rule(piece, region):
            sides.append([])
        else:
            sides[-1].append(piece)
    if len(sides) != len(labels) or not all(sides):
        return {}
    return {label: Box.around(side) for label, side in zip(sorted(labels), sides, strict=True)}


def _without_dividers(box: Box, foreground: ForegroundMask) -> Box:
    """Return `box` less a rule down its left or right side that stands apart."""
    pieces = _pieces(box, foreground)
    first = 1 if _is_rule(pieces[0], box) else 0
    last = len(pieces) - 1 if _is_rule(pieces[-1], box) else len(pieces)
    return Box.around(pieces[first:last] or [box])


def _pieces(box: Box, foreground: ForegroundMask) -> list[Box]:
    """Return the separate pieces in `box`, from left to right, each a tight bounding box."""
    gaps = foreground.gaps(box, vertical=False, width=_APART)
    edges = [box.x0, *(edge for gap in gaps for edge in (gap.start, gap.end)), box.x1]
    pieces = (
        foreground.bounding_box(Box(x0, box.top, x1, box.bottom))
        for x0, x1 in zip(edges[::2], edges[1::2], strict=True)
    )
    return [piece for piece in pieces if piece is not None]


def _is_rule(piece: Box, box: Box) -> bool:
    return piece.width <= _RULE and piece.height >= _ALONG * box.height


@dataclass(frozen=True, slots=True)
class DetectedPanel:
    """One sub-figure."""

    label: str
    """"a", "b", ... without brackets."""
    box: Box | None
    """Box with its label and sub-caption, in points; None where neither its label was found in the region
    nor a rule beside it."""
    caption: str
    """The part of the figure's caption that speaks of it, or else its sub-caption inside the region."""


def may_have_panels(caption: str, region: Box, lines: Sequence[Line]) -> bool:
    """Return True if the figure may have panels: cheaper than `find_panels`, which needs the words of a page."""
    return bool(labels_in(caption)) or any(_SPOKEN_OF.search(line.text) and _holds(region, line.box) for line in lines)


def find_panels(
    caption: str, region: Box, words: Sequence[Word], foreground: ForegroundMask, dehyphenator: Dehyphenator
) -> tuple[DetectedPanel, ...]:
    """Return the panels of a figure by the labels in its caption, or by those in the region if the caption has none.

    Args:
        caption: of the figure.
        region: of the figure, in points.
        words: of the page.
        foreground: of the page.
        dehyphenator: of the paper.
    """
    inside = [word for word in words if _holds(region, word.box)]
    labels, marks = _labels(labels_in(caption), inside)
    if len(labels) < 2:
        return ()
    parts = subcaptions(caption)
    found = {
        label: _sub_caption(mark, marks.values(), inside, dehyphenator)
        for label, mark in marks.items()
        if label in labels
    }
    boxes = panel_boxes(found, region, foreground) or divided_boxes(labels, region, foreground)
    printed = {label: sub_caption.text for label, sub_caption in found.items()}
    return tuple(DetectedPanel(label, boxes.get(label), _said(label, parts, printed)) for label in sorted(labels))


def _said(label: str, parts: Mapping[str, str], printed: Mapping[str, str]) -> str:
    """Return the caption of a panel. The text printed at the panel is preferred where the caption describes several
    panels in the same words, or not this one."""
    part, own = parts.get(label, ""), printed.get(label, "")
    joint = list(parts.values()).count(part) > 1
    return own if own and (joint or not part) else part


def _holds(region: Box, box: Box) -> bool:
    """Return True if the middle of `box` lies in `region`: boxes of words are higher than their ink."""
    x, y = (box.x0 + box.x1) / 2, (box.top + box.bottom) / 2
    return region.x0 <= x <= region.x1 and region.top <= y <= region.bottom


def _labels(spoken_of: Sequence[str], words: Sequence[Word]) -> tuple[Sequence[str], dict[str, Box]]:
    """Return the figure's labels and where they stand. Bare ones count only if the caption speaks of them."""
    marks = _marks(_MARK, words)
    if not spoken_of:
        return (sorted(marks) if is_run(sorted(marks)) else []), marks
    bare = _marks(_BARE_MARK, words)
    return spoken_of, bare if len(_known(spoken_of, bare)) > len(_known(spoken_of, marks)) else marks


def _marks(pattern: re.Pattern[str], words: Iterable[Word]) -> dict[str, Box]:
    """Return the first word of each label."""
    marks: dict[str, Box] = {}
    for word in words:
        if match := pattern.match(word.text):
            marks.setdefault(match[1], word.box)
    return marks


def _known(labels: Sequence[str], marks: Mapping[str, Box]) -> set[str]:
    return set(labels) & set(marks)


def _sub_caption(mark: Box, marks: Iterable[Box], words: Sequence[Word], dehyphenator: Dehyphenator) -> SubCaption:
    """Return the label and the words that follow it on its line without a wide gap, up to the next label, and those of
    further lines right below, in the same type and under the middle of the first."""
    others = set(marks)
    on_line = [word for word in words if abs(word.box.bottom - mark.bottom) <= 0.3 * mark.height]
    box, said = mark, []
    for word in sorted(on_line, key=lambda word: word.box.x0):
        if word.box not in others and -1 <= word.box.x0 - box.x1 <= _BLANK * mark.height:
            box = Box.around([box, word.box])
            said.append(word.text)
    rows = [" ".join(said)]
    while said and (below := _words_below(box, mark.height, others, words)):
        box = Box.around([box, *(word.box for word in below)])
        rows.append(" ".join(word.text for word in below))
    return SubCaption(mark, box, dehyphenator.join(rows))


def _words_below(box: Box, height: float, others: set[Box], words: Sequence[Word]) -> list[Word]:
    """Return the words of the line right below the one that ends `box`, where it is centred under it or flush."""
    line = sorted((word for word in words if _goes_on_below(box, height, word.box)), key=lambda word: word.box.x0)
    if not line or not others.isdisjoint(word.box for word in line):
        return []
    if any(right.box.x0 - left.box.x1 > _BLANK * height for left, right in pairwise(line)):
        return []
    ends = Box.around(word.box for word in line)
    centred = abs((ends.x0 + ends.x1) - (box.x0 + box.x1)) / 2 <= height
    return line if centred or abs(ends.x0 - box.x0) <= _FLUSH else []


def _goes_on_below(box: Box, height: float, word: Box) -> bool:
    """Return True if a word of the same type lies under `box`, one line further down."""
    same_type = abs(word.height - height) <= 0.15 * height
    near = 0.6 * height <= word.bottom - box.bottom <= 1.5 * height
    return same_type and near and word.x0 < box.x1 + height and word.x1 > box.x0 - height
