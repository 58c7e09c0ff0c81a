"""Data that the page gets, sent as JSON."""

from __future__ import annotations

from dataclasses import dataclass

from figtune.dataset.decisions import Verdict
from figtune.dataset.quality import Quality
from figtune.extraction.records import BoxTuple, Mention
from figtune.review.items import State


@dataclass(frozen=True, kw_only=True)
class EarlierView:
    """Decision on the same example with another target."""

    state: State
    target: str
    text: str


@dataclass(frozen=True, kw_only=True)
class FigureView:
    """Figure of an item, and what was decided on it as a whole."""

    verdict: Verdict
    caption: str
    mentions: tuple[Mention, ...]
    page: int
    confidence: float
    box: BoxTuple | None
    """Box as set by a person."""
    region: BoxTuple | None
    """Box as extraction found it."""


@dataclass(frozen=True, kw_only=True)
class CanvasView:
    """Picture on which a box is drawn."""

    area: BoxTuple
    """Part of the page that it shows."""
    is_page: bool
    """True for the whole page, False for the crop that extraction made."""


@dataclass(frozen=True, kw_only=True)
class ItemView:
    """One item as the page shows it."""

    id: str
    task: str
    panel: str
    split: str
    rule: str
    rule_meaning: str
    detail: str
    acceptable: bool
    kind: str
    source: str
    prompt: str
    target: str
    text: str
    """Text that takes the place of the target."""
    state: State
    decided: bool
    """True for a decision on this very item, not on its figure."""
    score: float
    quality: Quality | None
    has_image: bool
    figure: FigureView | None
    earlier: tuple[EarlierView, ...]


@dataclass(frozen=True, kw_only=True)
class StepView:
    """Answer to a step."""

    item: ItemView | None
    next_id: str
    """Id of the one behind it, whose picture may be fetched already."""
    position: int
    total: int
    left: int


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Values that the filters offer."""

    tasks: list[str]
    rules: dict[str, str]
    """Rules and their meanings."""
    items: int
    kept: int
    """Items that no rule is against; where there are none, the page begins with the others."""
    decisions: int
    """Lines of the file."""
    decisions_file: str
