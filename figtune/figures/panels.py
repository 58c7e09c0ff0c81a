"""Sub-figures: the labels "(a)", "(b)" of a figure, where its panels lie, and what is said of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from figtune.figures.foreground_mask import ForegroundMask
from figtune.figures.panel_boxes import SubCaption, divided_boxes, panel_boxes
from figtune.figures.subcaptions import is_run, labels_in, subcaptions
from figtune.pdf.dehyphenation import Dehyphenator
from figtune.pdf.geometry import Box
from figtune.pdf.page import Line, Word

_MARK = re.compile(r"^[(（]([a-zA-Z])[)）](?=$|[.:,A-Z])")
_BARE_MARK = re.compile(r"^([a-zA-Z])[).]$")
_SPOKEN_OF = re.compile(r"[(（][bB][)）]|^[bB][).]\s")
_BLANK = 0.8  # of a word's height: a wider gap ends a sub-caption
_FLUSH = 1.5  # points by which lines of a sub-caption may begin further left or right


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
    """The panels of a figure by the labels in its caption, or by those in the region if the caption has none.

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


def _sub_caption(mark: Box, marks: Iterable[Box], words: Sequence[Word], dehyphenator: Dehyphenator) -> SubCaption:
    """The label and the words that follow it on its line without a wide gap, up to the next label, and those of further
    lines right below, in the same type and under the middle of the first."""
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
    """Return True if a word of the same type lies under `box`, one line further down."""
    same_type = abs(word.height - height) <= 0.15 * height
    near = 0.6 * height <= word.bottom - box.bottom <= 1.5 * height
    return same_type and near and word.x0 < box.x1 + height and word.x1 > box.x0 - height
