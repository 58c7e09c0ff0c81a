"""Regions proposed for a caption, each with the signals that speak for and against it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from figtune.figures.captions import Caption
from figtune.figures.ink import Gap
from figtune.figures.scene import Scene
from figtune.papers.box import Box

Side = Literal["above", "below"]
"""Where the region lies, seen from the caption."""

_GUTTER = 11.0  # points that a column's figure may stick out
_OVERHANG = 60  # points that ink may cross a column's edge before it is another figure's
_CUT = 6.0  # points of white at which a region may end
_CUTS = 6  # widest whites tried
_NEAR, _FAR = 16.0, 45.0  # points from caption to region: certainly its own, certainly not
_SMALLEST = 12.0  # points
_ROW = 200.0  # points by which captions in one row may stand higher or lower
_BELOW_ROW = 60.0  # points from a caption inside a row to the wide caption under the row
_SPECK = 1.5  # points beside a wall in which ink is still the wall's


@dataclass(frozen=True, slots=True)
class Signals:
    """What speaks for a region, each in [0, 1]."""

    nearness: float
    """The caption is close."""
    alignment: float
    """The caption is centred on it and does not stick out."""
    likeness: float
    """It looks like what the caption calls it."""
    wholeness: float
    """Its far edge is a wall or wide white, not a narrow white inside something."""
    size: float


@dataclass(frozen=True, slots=True)
class Region:
    """A region proposed for a caption."""

    box: Box
    """Tight to ink, in points."""
    side: Side
    signals: Signals
    cells: int
    """Cells of the page's ink that it explains."""
    score: float


@dataclass(frozen=True, slots=True)
class _Span:
    """From where to where a region may reach, in points."""

    x0: float
    x1: float


def propose_regions(caption: Caption, scene: Scene) -> list[Region]:
    """Regions for `caption`, best first, at most one for each box."""
    regions: dict[tuple[Side, Box], Region] = {}
    for span in _spans(caption, scene):
        for side in ("above", "below"):
            for region in _regions_in(span, side, caption, scene):
                regions.setdefault((side, region.box), region)
    return sorted(regions.values(), key=lambda region: -region.score)


def _spans(caption: Caption, scene: Scene) -> list[_Span]:
    whole = _Span(0.0, scene.text.width)
    spans = [_column_span(caption, scene) or whole, whole]
    for base in tuple(spans):
        spans.extend(_spans_beside(base, caption, scene))
    return list(dict.fromkeys(spans))


def _column_span(caption: Caption, scene: Scene) -> _Span | None:
    """The caption's column with half the gutter; the outermost columns reach to the edge of the page."""
    column = scene.style.column_of(caption.box)
    if column is None:
        return None
    columns = scene.style.columns
    return _Span(
        0.0 if column == columns[0] else column.x0 - _GUTTER,
        scene.text.width if column == columns[-1] else column.x1 + _GUTTER,
    )


def _spans_beside(base: _Span, caption: Caption, scene: Scene) -> Iterator[_Span]:
    """`base` cut at the white between this caption and those beside it, wherever a region may stand."""
    for side in ("above", "below"):
        room = _room(_Span(caption.box.x0, caption.box.x1), side, caption, scene)
        if room is None:
            continue
        x0, x1 = base.x0, base.x1
        for other in scene.captions:
            if other is caption or abs(other.box.top - caption.box.top) > _ROW:
                continue
            if other.box.x0 >= caption.box.x1 - 3 and (cut := _white_between(caption.box, other.box, room, scene)):
                x1 = min(x1, cut)
            if other.box.x1 <= caption.box.x0 + 3 and (cut := _white_between(other.box, caption.box, room, scene)):
                x0 = max(x0, cut)
        if (x0, x1) != (base.x0, base.x1) and x1 > x0:
            yield _Span(x0, x1)
    yield from _spans_around(base, caption, scene)


def _spans_around(base: _Span, caption: Caption, scene: Scene) -> Iterator[_Span]:
    """A wide caption under a row in which something else has a narrower caption of its own: `base` cut between the two,
    for either of them."""
    for other in scene.captions:
        wide, narrow = (caption.box, other.box) if caption.box.width > other.box.width else (other.box, caption.box)
        apart = max(wide.top - narrow.bottom, narrow.top - wide.bottom)
        if other is caption or narrow.width > 0.7 * wide.width or apart > _BELOW_ROW or _disjoint(wide, narrow):
            continue
        middle = (narrow.x0 + narrow.x1) / 2
        height = Box(base.x0, narrow.top - _ROW / 4, base.x1, narrow.bottom)
        left = _widest_white(Box(base.x0, height.top, middle, height.bottom), scene)
        right = _widest_white(Box(middle, height.top, base.x1, height.bottom), scene)
        if narrow is caption.box:
            yield from (_Span(x0 or base.x0, x1 or base.x1) for x0, x1 in ((left, right), (None, right), (left, None)))
            continue
        if left is not None:
            yield _Span(base.x0, left)
        if right is not None:
            yield _Span(right, base.x1)


def _disjoint(one: Box, other: Box) -> bool:
    return one.x1 <= other.x0 or other.x1 <= one.x0


def _widest_white(box: Box, scene: Scene) -> float | None:
    gaps = scene.ink.gaps(box, vertical=False, width=3.0)
    widest = max(gaps, key=lambda gap: gap.width, default=None)
    return (widest.start + widest.end) / 2 if widest else None


def _white_between(left: Box, right: Box, room: Box, scene: Scene) -> float | None:
    """The middle of the widest white column between two captions beside each other, at the height of `room`."""
    start, end = (left.x0 + left.x1) / 2, (right.x0 + right.x1) / 2
    gaps = scene.ink.gaps(Box(start, room.top, end, room.bottom), vertical=False, width=2.0)
    if not gaps:
        return (left.x1 + right.x0) / 2
    best = max(gaps, key=lambda gap: gap.width + (6 if gap.start < right.x0 and gap.end > left.x1 else 0))
    return (best.start + best.end) / 2


def _room(span: _Span, side: Side, caption: Caption, scene: Scene) -> Box | None:
    """From the caption to the next wall that stands in the way."""
    inner0, inner1 = span.x0 + 4, span.x1 - 4
    blocking = [wall for wall in scene.walls if min(wall.x1, inner1) - max(wall.x0, inner0) > 4]
    if side == "above":
        top = max((wall.bottom for wall in blocking if wall.bottom <= caption.box.top + 2), default=0.0)
        return Box(span.x0, top + _SPECK, span.x1, caption.box.top) if caption.box.top - top > _SMALLEST else None
    bottom = min((wall.top for wall in blocking if wall.top >= caption.box.bottom - 2), default=scene.text.height)
    return (
        Box(span.x0, caption.box.bottom, span.x1, bottom - _SPECK) if bottom - caption.box.bottom > _SMALLEST else None
    )


def _regions_in(span: _Span, side: Side, caption: Caption, scene: Scene) -> Iterator[Region]:
    room = _room(span, side, caption, scene)
    box = scene.ink.tight(room) if room else None
    if room is None or box is None:
        return
    box = scene.ink.tight(_with_overhang(box, room, scene)) or box
    gaps = scene.ink.gaps(box, vertical=True, width=_CUT)
    cuts = sorted(sorted(gaps, key=lambda gap: -gap.width)[:_CUTS], key=lambda gap: gap.start)
    yield from _region(box, side, None, caption, scene)
    for gap in cuts:
        part = Box(box.x0, gap.end, box.x1, box.bottom) if side == "above" else Box(box.x0, box.top, box.x1, gap.start)
        tight = scene.ink.tight(part)
        if tight is not None:
            yield from _region(tight, side, gap, caption, scene)


def _with_overhang(box: Box, room: Box, scene: Scene) -> Box:
    """`box` widened where its ink runs on beyond the sides of its room."""
    wide = scene.ink.run_on(box, _OVERHANG)
    x0 = wide.x0 if box.x0 <= room.x0 + 1 else box.x0
    x1 = wide.x1 if box.x1 >= room.x1 - 1 else box.x1
    return Box(x0, box.top, x1, box.bottom)


def _region(box: Box, side: Side, cut: Gap | None, caption: Caption, scene: Scene) -> Iterator[Region]:
    if box.width < _SMALLEST or box.height < _SMALLEST:
        return
    distance = caption.box.top - box.bottom if side == "above" else box.top - caption.box.bottom
    signals = Signals(
        nearness=_falling(distance, _NEAR, _FAR),
        alignment=_alignment(box, caption.box),
        likeness=_likeness(box, caption, scene),
        wholeness=1.0 if cut is None else min(1.0, (cut.width - 3) / 15),
        size=min(1.0, box.height / 25) * min(1.0, box.width / 60),
    )
    yield Region(box, side, signals, scene.ink.spread(box), _score(signals))


def _score(signals: Signals) -> float:
    return (
        1.5 * signals.nearness
        + 1.5 * signals.alignment
        + 1.5 * signals.likeness
        + 1.0 * signals.wholeness
        + 1.0 * signals.size
    )


def _alignment(box: Box, caption: Box) -> float:
    shared = max(0.0, min(box.x1, caption.x1) - max(box.x0, caption.x0))
    contained = shared / max(1.0, min(box.width, caption.width))
    off = abs((box.x0 + box.x1) - (caption.x0 + caption.x1)) / 2
    return 0.5 * contained + 0.5 * _falling(off, 8.0, 8.0 + 0.4 * max(box.width, caption.width))


def _likeness(box: Box, caption: Caption, scene: Scene) -> float:
    """Tables are words and rules; figures are what words and rules leave."""
    words = scene.wording.amount(box) / max(1, scene.ink.amount(box))
    if caption.figure_type == "Table":
        return min(1.0, words / 0.5)
    return min(1.0, (1.0 - words) / 0.3)


def _falling(value: float, good: float, bad: float) -> float:
    """1 up to `good`, 0 from `bad` on, a straight line between."""
    return min(1.0, max(0.0, (bad - value) / (bad - good)))
