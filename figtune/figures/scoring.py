"""Features and score of a region as a caption's match."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from figtune.figures.captions import Caption
from figtune.figures.foreground_mask import Gap
from figtune.figures.page_context import PageContext
from figtune.layout.style import Columns
from figtune.pdf.geometry import Box

Side = Literal["above", "below", "left", "right"]
"""Side of the region, seen from the caption."""
SMALLEST = 12.0
"""Points: nothing narrower or lower is a region."""

_ACROSS = 0.5  # of its alignment that counts for a region that reaches into another column than its caption
_REACH = 60.0  # points into another column; figures overhang less
_OUT_OF_COLUMN = 3.5  # points that a caption may stick out of its column
_NEAR, _FAR = 16.0, 45.0  # points from caption to region: certainly its own, certainly not


@dataclass(frozen=True, slots=True)
class RegionFeatures:
    """Region features, each in [0, 1]."""

    caption_distance: float
    """The caption is close."""
    alignment: float
    """The caption is centred on it and does not stick out."""
    type_match: float
    """It looks like what the caption calls it."""
    boundary_gap: float
    """1 where its far edge is a wall or wide white, not a narrow white inside something."""
    size: float


@dataclass(frozen=True, slots=True)
class Region:
    """A region proposed for a caption."""

    box: Box
    """Tight to ink, in points."""
    side: Side
    features: RegionFeatures
    cells: int
    """Cells of the page's ink that it explains."""
    score: float


def score_region(box: Box, side: Side, cut: Gap | None, caption: Caption, context: PageContext) -> Iterator[Region]:
    """`box` as a region, unless it is too small for one.

    Args:
        box: tight to ink, in points.
        side: where it lies.
        cut: the white at which its far edge was cut, None where that is a wall.
        caption: that it is proposed for.
        context: of the page.
    """
    if box.width < SMALLEST or box.height < SMALLEST:
        return
    if side in ("above", "below"):
        across = _ACROSS if _crosses_gutter(box, caption.box, context.style.columns) else 1.0
        alignment = across * _alignment(box, caption.box)
    else:
        alignment = _level(box, caption.box)
    features = RegionFeatures(
        caption_distance=_falling(_distance(box, caption.box, side), _NEAR, _FAR),
        alignment=alignment,
        type_match=_type_match(box, caption, context),
        boundary_gap=1.0 if cut is None else min(1.0, (cut.width - 3) / 15),
        size=min(1.0, box.height / 25) * min(1.0, box.width / 60),
    )
    yield Region(box, side, features, context.foreground.occupied_cells(box), _score(features))


def _crosses_gutter(box: Box, caption: Box, columns: Columns) -> bool:
    """Tell if the box reaches into another column than the one that holds the caption."""
    own = next((column for column in columns if column.contains(caption, _OUT_OF_COLUMN)), None)
    return own is not None and any(
        min(box.x1, other.x1) - max(box.x0, other.x0) > _REACH for other in columns if other != own
    )


def _distance(box: Box, caption: Box, side: Side) -> float:
    """Return the distance from the caption to the box in points; below 0 where they overlap."""
    return {
        "above": caption.top - box.bottom,
        "below": box.top - caption.bottom,
        "left": caption.x0 - box.x1,
        "right": box.x0 - caption.x1,
    }[side]


def _score(features: RegionFeatures) -> float:
    return (
        1.5 * features.caption_distance
        + 1.5 * features.alignment
        + 1.5 * features.type_match
        + 1.0 * features.boundary_gap
        + 1.0 * features.size
    )


def _alignment(box: Box, caption: Box) -> float:
    shared = max(0.0, min(box.x1, caption.x1) - max(box.x0, caption.x0))
    contained = shared / max(1.0, min(box.width, caption.width))
    off = abs((box.x0 + box.x1) - (caption.x0 + caption.x1)) / 2
    return 0.5 * contained + 0.5 * _falling(off, 8.0, 8.0 + 0.4 * max(box.width, caption.width))


def _level(box: Box, caption: Box) -> float:
    """Beside each other, they share a height; tops, middles or bottoms may be level."""
    shared = max(0.0, min(box.bottom, caption.bottom) - max(box.top, caption.top))
    contained = shared / max(1.0, min(box.height, caption.height))
    tops, bottoms = abs(box.top - caption.top), abs(box.bottom - caption.bottom)
    off = min(tops, bottoms, abs((box.top + box.bottom) - (caption.top + caption.bottom)) / 2)
    return 0.7 * contained + 0.3 * _falling(off, 8.0, 8.0 + 0.4 * box.height)


def _type_match(box: Box, caption: Caption, context: PageContext) -> float:
    """Tables are words and rules; figures are what words and rules leave."""
    words = context.text_mask.area(box) / max(1, context.foreground.area(box))
    if caption.figure_type == "Table":
        return min(1.0, words / 0.5)
    return min(1.0, (1.0 - words) / 0.3)


def _falling(value: float, good: float, bad: float) -> float:
    """1 up to `good`, 0 from `bad` on, a straight line between."""
    return min(1.0, max(0.0, (bad - value) / (bad - good)))
