"""Regions that no caption claimed: pictures and drawings left on a page after matching."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from figtune.figures.foreground_mask import ForegroundMask
from figtune.layout.ruling_lines import is_ruling_line
from figtune.pdf.geometry import Box
from figtune.pdf.page import PageGraphics

_PIECE = 15.0  # points: anything smaller does not begin a region
_SMALLEST = 60.0  # points: a region smaller than this in either direction is an ornament
_TOGETHER = 12.0  # points of white within one region
_MOST_PIECES = 400


def may_hold_uncaptioned_regions(graphics: PageGraphics) -> bool:
    """Return True if any graphic of a page is large enough to start a region."""
    return next(iter(_pieces(graphics)), None) is not None


def find_uncaptioned_regions(graphics: PageGraphics, foreground: ForegroundMask, claimed: Sequence[Box]) -> list[Box]:
    """Boxes of what looks like a figure and lies in none of `claimed`, from top to bottom, tight to ink."""
    pieces = [box for box in _pieces(graphics) if not any(box.overlap(region) > 0 for region in claimed)]
    boxes = (foreground.bounding_box(cluster) for cluster in _clusters(pieces[:_MOST_PIECES]))
    large = [box for box in boxes if box is not None and min(box.width, box.height) >= _SMALLEST]
    return sorted(large, key=lambda box: (box.top, box.x0))


def _pieces(graphics: PageGraphics) -> Iterable[Box]:
    yield from (box for box in graphics.images if min(box.width, box.height) >= _PIECE)
    for drawing in graphics.drawings:
        if (
            min(drawing.box.width, drawing.box.height) >= _PIECE
            and drawing.color != "#ffffff"
            and not is_ruling_line(drawing)
        ):
            yield drawing.box


def _clusters(pieces: Sequence[Box]) -> list[Box]:
    """Pieces grown together as long as any two are close."""
    clusters: list[Box] = []
    for piece in pieces:
        merged = piece
        near = [cluster for cluster in clusters if cluster.expanded(_TOGETHER).overlap(merged) > 0]
        while near:
            clusters = [cluster for cluster in clusters if cluster not in near]
            merged = Box.around([merged, *near])
            near = [cluster for cluster in clusters if cluster.expanded(_TOGETHER).overlap(merged) > 0]
        clusters.append(merged)
    return clusters
