"""Extraction measured against boxes and captions made by hand.

A found item is right when an item of the same type on the same page overlaps it by IoU >= 0.8 (after PDFFigures 2.0,
Clark & Divvala, JCDL 2016); a pair is right when the caption matches too (similarity >= 0.9 without case, blanks and
hyphens). Matching is one to one, best overlap first.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from figtune.figures.detector import DetectedFigure
from figtune.pdf.geometry import Box
from figtune.pdf.page import PageText

REGION_IOU = 0.8
CAPTION_SIMILARITY = 0.9
GOLD_SUFFIX = ".gold.json"
_IGNORED = dict.fromkeys(map(ord, "-\u00ad\u2010\u2011\u2012\u2013\u2014\u2212"))


@dataclass(frozen=True)
class Item:
    """A figure or table, as labelled or as found."""

    figure_type: str
    page: int
    box: Box
    caption: str
    kind: str
    confidence: float


@dataclass(frozen=True)
class Score:
    """Counts over all papers."""

    gold: int
    found: int
    regions: int
    """Found with the right region."""
    pairs: int
    """Found with the right region and the right caption."""
    kinds: int
    """Number of right regions called the right kind."""
    mean_iou: float
    """Mean IoU of the right regions."""

    @property
    def precision(self) -> float:
        """Share of what was found that is a right pair."""
        return self.pairs / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Share of what is there that was found as a right pair."""
        return self.pairs / self.gold if self.gold else 0.0


@dataclass(frozen=True)
class Judged:
    """Something found, and whether it is a right pair."""

    item: Item
    right: bool


def read_gold(path: Path) -> list[Item]:
    """The labels of one paper: `{"items": [{"type", "page", "bbox", "caption", "kind"}, ...]}`."""
    items = json.loads(path.read_text(encoding="utf-8"))["items"]
    return [Item(item["type"], item["page"], Box(*item["bbox"]), item["caption"], item["kind"], 1.0) for item in items]


def items_of(figures: Sequence[DetectedFigure], texts: Sequence[PageText]) -> list[Item]:
    """Return what extraction found, in points of the pages as shown. A region without a caption claims nothing, and is
    left out."""
    return [
        Item(
            figure.figure_type,
            figure.page_index + 1,
            texts[figure.page_index].as_shown(figure.region),
            figure.caption,
            figure.kind,
            figure.confidence,
        )
        for figure in figures
        if figure.region is not None and figure.caption
    ]


def read_styles(path: Path) -> dict[str, str]:
    """Return the style of each paper by the stem of its file, from `{"<stem>": {"style": ...}, ...}`."""
    return {stem: entry["style"] for stem, entry in json.loads(path.read_text(encoding="utf-8")).items()}


def score(papers: Sequence[tuple[Sequence[Item], Sequence[Item]]], figure_type: str) -> Score:
    """Score (gold, found) pairs of papers for "Figure" or "Table"."""
    gold_count = found_count = regions = pairs = kinds = 0
    overlap = 0.0
    for gold, found in papers:
        wanted = [item for item in gold if item.figure_type == figure_type]
        given = [item for item in found if item.figure_type == figure_type]
        gold_count += len(wanted)
        found_count += len(given)
        for label, item, iou in match(wanted, given):
            regions += 1
            overlap += iou
            pairs += same_caption(label.caption, item.caption)
            kinds += label.kind == item.kind
    return Score(gold_count, found_count, regions, pairs, kinds, overlap / regions if regions else 0.0)


def judge(papers: Sequence[tuple[Sequence[Item], Sequence[Item]]]) -> list[Judged]:
    """Everything found, with the verdict."""
    judged = []
    for gold, found in papers:
        right = {id(item) for label, item, _ in match(gold, found) if same_caption(label.caption, item.caption)}
        judged += [Judged(item, id(item) in right) for item in found]
    return judged


def wrong_items(gold: Sequence[Item], found: Sequence[Item]) -> list[str]:
    """Return a line for each label that no right pair was found for, with what comes nearest, and for each item found
    where no label is."""
    matched = match(gold, found)
    lines = []
    for label in gold:
        item = next((item for other, item, _ in matched if other is label), None)
        if item is None:
            near = [other for other in found if (other.page, other.figure_type) == (label.page, label.figure_type)]
            best = max((other.box.iou(label.box) for other in near), default=0.0)
            lines.append(f"page {label.page}, {label.caption[:30]!r}: no region, at best IoU {best:.2f}")
        elif not same_caption(label.caption, item.caption):
            lines.append(f"page {label.page}, {label.caption!r}: caption {item.caption!r}")
    extra = [item for item in found if not any(other is item for _, other, _ in matched)]
    return [*lines, *(f"page {item.page}, found {item.caption[:60]!r} at {item.confidence:.2f}" for item in extra)]


def match(gold: Sequence[Item], found: Sequence[Item]) -> list[tuple[Item, Item, float]]:
    """Pairs of a label and a found item with their IoU, one to one, best first."""
    candidates = sorted(
        (
            (label.box.iou(item.box), row, column)
            for row, label in enumerate(gold)
            for column, item in enumerate(found)
            if label.page == item.page and label.figure_type == item.figure_type
        ),
        key=lambda candidate: (-candidate[0], candidate[1], candidate[2]),
    )
    rows: set[int] = set()
    columns: set[int] = set()
    matched = []
    for iou, row, column in candidates:
        if iou >= REGION_IOU and row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            matched.append((gold[row], found[column], iou))
    return matched


def same_caption(one: str, other: str) -> bool:
    """Return True if two captions say the same."""
    first, second = _bare(one), _bare(other)
    if first == second:
        return bool(first)
    return SequenceMatcher(None, first, second, autojunk=False).ratio() >= CAPTION_SIMILARITY


def _bare(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).translate(_IGNORED).split()).lower()
