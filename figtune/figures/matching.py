"""Matching of captions and regions for a whole page at once, each paper's usual side, and regions without a caption."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from figtune.extraction.records import FigureType
from figtune.figures.captions import Caption
from figtune.figures.foreground_mask import ForegroundMask
from figtune.figures.scoring import Region, Side
from figtune.layout.ruling_lines import is_ruling_line
from figtune.pdf.geometry import Box
from figtune.pdf.page import PageGraphics

_TRIED = 14  # best regions of a caption that are tried
_BEAM = 150  # partial matchings kept
_EXPLAINING = 5.0  # what explaining all of a page's ink is worth, in units of a region's score
_TOLERATED = 0.02  # of the smaller of two regions that both may cover
_PIECE = 15.0  # points: anything smaller does not begin a region
_SMALLEST = 60.0  # points: a region smaller than this in either direction is an ornament
_TOGETHER = 12.0  # points of white within one region
_MOST_PIECES = 400


@dataclass(frozen=True, slots=True)
class SidePrior:
    """Side on which the regions of one type lie in this paper, seen from their captions."""

    side: Side
    weight: float
    """Added to the score of a region on that side."""


@dataclass(frozen=True, slots=True)
class _Partial:
    score: float
    chosen: tuple[Region | None, ...]


def assign(proposals: Sequence[Sequence[Region]], cells: int, side_priors: Sequence[SidePrior]) -> list[Region | None]:
    """Assign one region or none to each caption of a page, without overlaps, so that the whole scores best.

    Args:
        proposals: for each caption, its regions.
        cells: how many cells of the page hold ink that somebody should explain.
        side_priors: for each caption, where regions of its type lie in this paper.
    """
    beam = [_Partial(0.0, ())]
    for regions, side_prior in zip(proposals, side_priors, strict=True):
        valued = sorted(((_value(region, side_prior, cells), region) for region in regions), key=lambda pair: -pair[0])
        beam = _extended(beam, valued[:_TRIED])
    return list(beam[0].chosen)


def estimate_side_prior(
    pages: Sequence[tuple[Sequence[Caption], Sequence[Region | None]]], figure_type: FigureType
) -> SidePrior:
    """Return the side on which the regions of one type lie, by majority over a paper of a first matching without
    preference."""
    votes: dict[Side, float] = {"above": 0.0, "below": 0.0, "left": 0.0, "right": 0.0}
    for captions, regions in pages:
        for caption, region in zip(captions, regions, strict=True):
            if region is not None and caption.figure_type == figure_type:
                votes[region.side] += region.score
    if figure_type == "Figure":
        votes["above"] += 30.0  # below their figures is where captions stand in nearly all papers
    total = sum(votes.values())
    side = max(votes, key=lambda side: votes[side])
    return SidePrior(side, 3.0 * max(0.0, 2 * votes[side] / total - 1) if total else 0.0)


def _value(region: Region, side_prior: SidePrior, cells: int) -> float:
    return (
        region.score
        + (side_prior.weight if region.side == side_prior.side else 0.0)
        + _EXPLAINING * region.cells / max(1, cells)
    )


def _extended(beam: Sequence[_Partial], valued: Sequence[tuple[float, Region]]) -> list[_Partial]:
    longer = [_Partial(partial.score, (*partial.chosen, None)) for partial in beam]
    for partial in beam:
        for value, region in valued:
            if not any(other is not None and _collide(other, region) for other in partial.chosen):
                longer.append(_Partial(partial.score + value, (*partial.chosen, region)))
    return sorted(longer, key=lambda partial: -partial.score)[:_BEAM]


def _collide(one: Region, other: Region) -> bool:
    return one.box.overlap(other.box) > _TOLERATED * min(one.box.area, other.box.area)


def may_hold_uncaptioned_regions(graphics: PageGraphics) -> bool:
    """Return True if any graphic of a page is large enough to start a region."""
    return next(iter(_pieces(graphics)), None) is not None


def find_uncaptioned_regions(graphics: PageGraphics, foreground: ForegroundMask, claimed: Sequence[Box]) -> list[Box]:
    """Return boxes of what looks like a figure and lies in none of `claimed`, from top to bottom, tight to ink."""
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
    """Return pieces grown together as long as any two are close."""
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
