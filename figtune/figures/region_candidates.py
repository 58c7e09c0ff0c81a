"""Candidate regions of a caption, with their features: above and below it, and beside it if nothing there is good."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from figtune.figures.captions import Caption
from figtune.figures.foreground_mask import Gap
from figtune.figures.page_context import PageContext
from figtune.figures.scoring import SMALLEST, Region, Side, score_region
from figtune.pdf.geometry import Box

_GUTTER = 11.0  # points that a column's figure may stick out
_OVERHANG = 60  # points that ink may cross a column's edge before it is another figure's
_CUT = 6.0  # points of white at which a region may end
_CUTS = 6  # widest whites tried
_ROW = 200.0  # points by which captions in one row may stand higher or lower
_BELOW_ROW = 60.0  # points from a caption inside a row to the wide caption under the row
_GOOD = 5.0  # score from which a region above or below makes looking beside needless; right ones have 6 and more
_SEAM = 3.0  # points beyond a region's edge in which ink shows that it goes on
_MARGIN = 4.0  # points beyond a thing and its caption that no wall reaches into
_SPECK = 1.5  # points beside a wall in which ink is still the wall's
_TOUCH = 4.0  # points by which a wall must overlap a room to stand in its way


@dataclass(frozen=True, slots=True)
class _HorizontalSpan:
    """Limits of a region, in points."""

    x0: float
    x1: float


def propose_candidates(caption: Caption, context: PageContext) -> list[Region]:
    """Return regions for `caption`, best first, at most one for each box.

    Captions stand above or below their figure. Regions beside the caption are tried only where none above or below
    scores well; one that the caption's edge cuts out of a figure beside it does not count.
    """
    regions: dict[tuple[Side, Box], Region] = {}
    for span in _spans(caption, context):
        for side in ("above", "below"):
            for region in _regions_in(span, side, caption, context):
                regions.setdefault((side, region.box), region)
    whole = [region for region in regions.values() if not _severed(region, caption, context)]
    beside = [] if any(region.score >= _GOOD for region in whole) else list(regions_beside(caption, context))
    return sorted([*whole, *beside] if beside else regions.values(), key=lambda region: -region.score)


def _severed(region: Region, caption: Caption, context: PageContext) -> bool:
    """Return True if the region ends at the height of the caption's edge only because the search started on that
    side."""
    box, words = region.box, caption.box
    if region.side == "above":
        edge = Box(box.x0, words.top + _SPECK, box.x1, words.top + _SPECK + _SEAM)
        return box.bottom >= words.top - 1 and context.foreground.area(edge) > 0
    edge = Box(box.x0, words.bottom - _SPECK - _SEAM, box.x1, words.bottom - _SPECK)
    return box.top <= words.bottom + 1 and context.foreground.area(edge) > 0


def _spans(caption: Caption, context: PageContext) -> list[_HorizontalSpan]:
    whole = _HorizontalSpan(0.0, context.text.width)
    column = _column_span(caption, context) or whole
    spans = [column, whole]
    flowed = _span_between_text(caption, column, context)
    if flowed is not None:
        spans.append(flowed)
    for base in tuple(spans):
        spans.extend(_spans_beside(base, caption, context))
    return list(dict.fromkeys(spans))


def _span_between_text(caption: Caption, column: _HorizontalSpan, context: PageContext) -> _HorizontalSpan | None:
    """Return the room from text to text beside a caption that stands within its column, as where text flows around
    a figure."""
    level = [
        wall
        for wall in context.obstacles
        if wall != caption.box
        and min(wall.bottom, caption.box.bottom) > max(wall.top, caption.box.top)
        and column.x0 <= wall.x0
        and wall.x1 <= column.x1
    ]
    x0 = max((wall.x1 + _SPECK for wall in level if wall.x1 <= caption.box.x0 + 2), default=None)
    x1 = min((wall.x0 - _SPECK for wall in level if wall.x0 >= caption.box.x1 - 2), default=None)
    if x0 is None and x1 is None:
        return None
    return _HorizontalSpan(column.x0 if x0 is None else x0 - _MARGIN, column.x1 if x1 is None else x1 + _MARGIN)


def _column_span(caption: Caption, context: PageContext) -> _HorizontalSpan | None:
    """Return the caption's column with half the gutter; the outermost columns reach to the edge of the page."""
    column = context.style.column_of(caption.box)
    if column is None:
        return None
    columns = context.style.columns
    return _HorizontalSpan(
        0.0 if column == columns[0] else column.x0 - _GUTTER,
        context.text.width if column == columns[-1] else column.x1 + _GUTTER,
    )


def _spans_beside(base: _HorizontalSpan, caption: Caption, context: PageContext) -> Iterator[_HorizontalSpan]:
    """Yield `base` cut at the white between this caption and those beside it, wherever a region may stand."""
    for side in ("above", "below"):
        room = _search_box(_HorizontalSpan(caption.box.x0, caption.box.x1), side, caption, context)
        if room is None:
            continue
        x0, x1 = base.x0, base.x1
        for other in context.captions:
            if other is caption or abs(other.box.top - caption.box.top) > _ROW:
                continue
            if other.box.x0 >= caption.box.x1 - 3 and (cut := _white_between(caption.box, other.box, room, context)):
                x1 = min(x1, cut)
            if other.box.x1 <= caption.box.x0 + 3 and (cut := _white_between(other.box, caption.box, room, context)):
                x0 = max(x0, cut)
        if (x0, x1) != (base.x0, base.x1) and x1 > x0:
            yield _HorizontalSpan(x0, x1)
    yield from _spans_around(base, caption, context)


def _spans_around(base: _HorizontalSpan, caption: Caption, context: PageContext) -> Iterator[_HorizontalSpan]:
    """Yield the spans of a wide caption under a row in which something else has a narrower caption of its own: `base`
    cut between the two, for either of them."""
    for other in context.captions:
        wide, narrow = (caption.box, other.box) if caption.box.width > other.box.width else (other.box, caption.box)
        apart = max(wide.top - narrow.bottom, narrow.top - wide.bottom)
        if other is caption or narrow.width > 0.7 * wide.width or apart > _BELOW_ROW or _disjoint(wide, narrow):
            continue
        middle = (narrow.x0 + narrow.x1) / 2
        height = Box(base.x0, narrow.top - _ROW / 4, base.x1, narrow.bottom)
        left = _widest_white(Box(base.x0, height.top, middle, height.bottom), context)
        right = _widest_white(Box(middle, height.top, base.x1, height.bottom), context)
        if narrow is caption.box:
            yield from (
                _HorizontalSpan(x0 or base.x0, x1 or base.x1) for x0, x1 in ((left, right), (None, right), (left, None))
            )
            continue
        if left is not None:
            yield _HorizontalSpan(base.x0, left)
        if right is not None:
            yield _HorizontalSpan(right, base.x1)


def _disjoint(one: Box, other: Box) -> bool:
    return one.x1 <= other.x0 or other.x1 <= one.x0


def _widest_white(box: Box, context: PageContext) -> float | None:
    gaps = context.foreground.gaps(box, vertical=False, width=3.0)
    widest = max(gaps, key=lambda gap: gap.width, default=None)
    return (widest.start + widest.end) / 2 if widest else None


def _white_between(left: Box, right: Box, room: Box, context: PageContext) -> float | None:
    """Return the middle of the widest white column between two captions beside each other, at the height of `room`."""
    start, end = (left.x0 + left.x1) / 2, (right.x0 + right.x1) / 2
    gaps = context.foreground.gaps(Box(start, room.top, end, room.bottom), vertical=False, width=2.0)
    if not gaps:
        return (left.x1 + right.x0) / 2
    best = max(gaps, key=lambda gap: gap.width + (6 if gap.start < right.x0 and gap.end > left.x1 else 0))
    return (best.start + best.end) / 2


def _search_box(span: _HorizontalSpan, side: Side, caption: Caption, context: PageContext) -> Box | None:
    """Return the room from the caption to the next wall that stands in the way."""
    inner0, inner1 = span.x0 + 4, span.x1 - 4
    blocking = [wall for wall in context.obstacles if min(wall.x1, inner1) - max(wall.x0, inner0) > 4]
    if side == "above":
        top = max((wall.bottom for wall in blocking if wall.bottom <= caption.box.top + 2), default=0.0)
        return Box(span.x0, top + _SPECK, span.x1, caption.box.top) if caption.box.top - top > SMALLEST else None
    bottom = min((wall.top for wall in blocking if wall.top >= caption.box.bottom - 2), default=context.text.height)
    return (
        Box(span.x0, caption.box.bottom, span.x1, bottom - _SPECK) if bottom - caption.box.bottom > SMALLEST else None
    )


def _regions_in(span: _HorizontalSpan, side: Side, caption: Caption, context: PageContext) -> Iterator[Region]:
    room = _search_box(span, side, caption, context)
    box = context.foreground.bounding_box(room) if room else None
    if room is None or box is None:
        return
    yield from _regions_past_obstacles(span, box, side, caption, context)
    gaps = context.foreground.gaps(box, vertical=True, width=_CUT)
    cuts = sorted(sorted(gaps, key=lambda gap: -gap.width)[:_CUTS], key=lambda gap: gap.start)
    for gap in (None, *cuts):
        part = _beyond(box, gap, side)
        tight = context.foreground.bounding_box(part)
        if tight is not None:
            whole = context.foreground.bounding_box(_with_overhang(tight, room, context))
            yield from score_region(whole or tight, side, gap, caption, context)


def _regions_past_obstacles(
    span: _HorizontalSpan, box: Box, side: Side, caption: Caption, context: PageContext
) -> Iterator[Region]:
    """Yield regions where the room ended at text that stands only beside the thing found, as text flows around a
    figure: the same in a room as narrow as that thing."""
    narrow = _HorizontalSpan(min(box.x0, caption.box.x0) - _MARGIN, max(box.x1, caption.box.x1) + _MARGIN)
    room, taller = (_search_box(one, side, caption, context) for one in (span, narrow))
    if room and taller and narrow.x1 - narrow.x0 < span.x1 - span.x0 and taller.height > room.height + _SPECK:
        yield from _regions_in(narrow, side, caption, context)


def _beyond(box: Box, gap: Gap | None, side: Side) -> Box:
    """Return the part of `box` between the gap and the caption."""
    if gap is None:
        return box
    return Box(box.x0, gap.end, box.x1, box.bottom) if side == "above" else Box(box.x0, box.top, box.x1, gap.start)


def _with_overhang(box: Box, room: Box, context: PageContext) -> Box:
    """Return `box` widened where its ink runs on beyond the sides of its room."""
    wide = context.foreground.extend(box, _OVERHANG)
    x0 = wide.x0 if box.x0 <= room.x0 + 1 else box.x0
    x1 = wide.x1 if box.x1 >= room.x1 - 1 else box.x1
    return Box(x0, box.top, x1, box.bottom)


def regions_beside(caption: Caption, context: PageContext) -> Iterator[Region]:
    """Yield the regions on either side of `caption`: all that lies between walls, and parts of it that end at white."""
    middle = _middle_of(caption.box)
    for side in ("left", "right"):
        room = _search_box_beside(side, caption.box, context)
        box = context.foreground.bounding_box(room) if room else None
        if box is None:
            continue
        gaps = context.foreground.gaps(box, vertical=True, width=_CUT)
        for top in (None, *[gap for gap in gaps if gap.end <= middle][-1:]):
            for bottom in (None, *[gap for gap in gaps if gap.start >= middle][:1]):
                part = Box(box.x0, top.end if top else box.top, box.x1, bottom.start if bottom else box.bottom)
                tight = context.foreground.bounding_box(part)
                cut = min((gap for gap in (top, bottom) if gap), key=lambda gap: gap.width, default=None)
                if tight is not None:
                    yield from score_region(tight, side, cut, caption, context)


def _search_box_beside(side: Side, caption: Box, context: PageContext) -> Box | None:
    """Return the box from the caption to the next wall beside it, and from there to the walls above and below."""
    level = [
        wall for wall in context.obstacles if min(wall.bottom, caption.bottom) - max(wall.top, caption.top) > _TOUCH
    ]
    if side == "left":
        x1 = caption.x0
        x0 = max((wall.x1 + _SPECK for wall in level if wall.x1 <= caption.x0 + 2), default=0.0)
    else:
        x0 = caption.x1
        x1 = min((wall.x0 - _SPECK for wall in level if wall.x0 >= caption.x1 - 2), default=context.text.width)
    if x1 - x0 <= SMALLEST:
        return None
    top, bottom = _height_beside(x0, x1, caption, context.obstacles, context.text.height)
    return Box(x0, top, x1, bottom) if bottom - top > SMALLEST else None


def _height_beside(x0: float, x1: float, caption: Box, obstacles: Sequence[Box], page: float) -> tuple[float, float]:
    blocking = [wall for wall in obstacles if min(wall.x1, x1) - max(wall.x0, x0) > _TOUCH]
    middle = _middle_of(caption)
    top = max((wall.bottom + _SPECK for wall in blocking if wall.bottom <= middle), default=0.0)
    bottom = min((wall.top - _SPECK for wall in blocking if wall.top >= middle), default=page)
    return top, bottom


def _middle_of(box: Box) -> float:
    return (box.top + box.bottom) / 2
